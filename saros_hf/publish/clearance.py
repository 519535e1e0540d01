"""What of a folder may be published: its table, the archive and the files are asked."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..archive.idc_index import find_public
from ..archive.obtain_files import MASKS, MaskArchive
from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.source import SOURCE_NAME, source_uid
from ..errors import RightsError
from ..nifti import read_grid, read_image, read_mask
from ..phantom.write_cohort import Cohort, cohort_in
from .rights import Part, Rights, rights

_NOT_HERE = "not in the folder: saros download fetches it"
_NO_WITNESS = (
    f"nothing tells which series it is: no {SOURCE_NAME} of saros convert, no official ZIP of "
    "label maps with the same body regions"
)
_NO_PHANTOM = "not the phantom that saros phantom makes: make the folder anew"


def clear(data_dir: Path, cases: Sequence[Case], parts: Iterable[Part]) -> Rights:
    """Return what may be published.

    Pixels need a witness in the folder besides table and archive: the record of the conversion
    names the series, or the body regions are those that the official ZIP has for the case. Of
    phantoms the CT is made anew and compared.

    Args:
        data_dir: Folder of cases.
        cases: All rows of its table.
        parts: What is asked for. For the label maps alone neither the archive's index nor a CT
            is looked at, and nothing is said of CTs.

    Raises:
        RightsError: A case's files are not those of its row, or its CT is that of another case.
        UsageError: The archive's index is not installed, and some case is no phantom.
        UnreadableFileError: A CT is no NIfTI file.
    """
    pixels = [part for part in parts if part != "masks"]
    cohort = cohort_in(data_dir)
    uids = [one.series_instance_uid for one in cases if one.license != "synthetic"]
    listed = find_public(uids) if pixels and uids else {}
    archive = {uid: series.license for uid, series in listed.items()}
    known = rights(cases, archive, () if cohort is None else cohort.cases)
    attested = _attested_by_zip(data_dir, known.allowed["masks"])
    if not pixels:
        return Rights({"masks": known.allowed["masks"]}, {}, known.left_out)
    folders = {one.case_id: CaseFiles(one, data_dir / one.case_id) for one in cases}
    _refuse_shared_cts(folders.values(), known)
    objections = {
        case_id: why
        for part in pixels
        for case_id in known.allowed[part]
        if (why := _objection(folders[case_id], cohort, attested=case_id in attested))
    }
    return _without(known, objections)


def _objection(files: CaseFiles, cohort: Cohort | None, *, attested: bool) -> str | None:
    """Return why the files do not show that a CT is that of its row, ``None`` if they do."""
    case = files.case
    if not files.image.is_file():
        return _NOT_HERE
    if case.license == "synthetic":
        return None if cohort is not None and _is_phantom(files, cohort) else _NO_PHANTOM
    uid = source_uid(files.folder)
    if uid not in ("", case.series_instance_uid):
        raise RightsError(
            files.folder / SOURCE_NAME,
            f"the CT of series {uid}",
            f"{case.series_instance_uid}, as the case table says",
            "Move the case folder away and fetch it again.",
        )
    return None if uid or attested else _NO_WITNESS


def _is_phantom(files: CaseFiles, cohort: Cohort) -> bool:
    found, made = read_image(files.image), cohort.scan(files.case).image
    return found.same_grid(made) and np.array_equal(found.array, made.array)


def _attested_by_zip(data_dir: Path, case_ids: Iterable[str]) -> frozenset[str]:
    """Return the cases whose body regions are those of the ZIP beside them.

    Raises:
        RightsError: Those of a case are others.
    """
    path = data_dir / MASKS.name
    if not path.is_file():
        return frozenset()
    archive = MaskArchive(path)
    attested = set()
    for case_id in case_ids:
        regions = data_dir / case_id / "body-regions.nii.gz"
        if not regions.is_file() or "body-regions" not in archive.tasks_of(case_id):
            continue
        same = archive.holds(case_id, "body-regions", regions)
        if not same and not _same_labels(archive, case_id, regions):
            raise RightsError(
                regions,
                "other label maps than those of the official ZIP beside it",
                f"body regions of {case_id}",
                "Move the case folder away and fetch it again.",
            )
        attested.add(case_id)
    return frozenset(attested)


def _same_labels(archive: MaskArchive, case_id: str, regions: Path) -> bool:
    """Return whether the voxels are the same: files with a corrected affine are written anew."""
    with tempfile.TemporaryDirectory(prefix="saros-masks-") as folder:
        official = archive.extract_case(case_id, Path(folder))["body-regions"]
        found = read_mask(regions, "body-regions").array
        return np.array_equal(found, read_mask(official, "body-regions").array)


def _refuse_shared_cts(folders: Iterable[CaseFiles], known: Rights) -> None:
    images = (files.image for files in folders if files.image.is_file())
    closed = {*known.withheld, *known.left_out}
    for first, second in _same_pixels(images):
        if not {first.parent.name, second.parent.name} <= closed:
            raise RightsError(
                second,
                f"the same CT as in {first.parent.name}",
                "one of its own",
                "Delete the folder of both cases and fetch them again.",
            )


def _same_pixels(images: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield pairs of files with the same grid and voxels, however they are compressed."""
    by_grid: dict[bytes, list[Path]] = {}
    for image in images:
        grid = read_grid(image)
        key = np.array(grid.shape).tobytes() + np.round(grid.affine, 4).tobytes()
        by_grid.setdefault(key, []).append(image)
    for alike in by_grid.values():
        yield from _same_voxels(alike if len(alike) > 1 else [])


def _same_voxels(images: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    seen: dict[bytes, Path] = {}
    for image in images:
        voxels = np.ascontiguousarray(read_image(image).array.T)
        digest = hashlib.sha256(voxels.data).digest()
        if seen.setdefault(digest, image) is not image:
            yield seen[digest], image


def _without(known: Rights, objections: Mapping[str, str]) -> Rights:
    allowed: dict[Part, dict[str, str]] = {
        part: {
            case_id: uid
            for case_id, uid in members.items()
            if part == "masks" or case_id not in objections
        }
        for part, members in known.allowed.items()
    }
    return Rights(allowed, {**known.withheld, **objections}, known.left_out)
