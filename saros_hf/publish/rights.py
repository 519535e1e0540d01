"""Rules for what may be published: a guard against mistakes, not against forgery."""

import gzip
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ..archive.idc_index import find_public
from ..archive.obtain_files import MASKS, MaskArchive
from ..cases.case import PHANTOM_DESCRIPTION, Case
from ..cases.files import CaseFiles
from ..cases.licenses import LICENSES, License
from ..cases.source import SOURCE_NAME, source_uid
from ..errors import RightsError
from ..nifti import read_mask

Part: TypeAlias = Literal["masks", "cc-by", "cc-by-nc"]
"""All label maps, the CTs under CC BY, the CTs under CC BY-NC."""

_PHANTOM_UID = "2.25."
_REMEDY = "Move the case folder away and fetch it again."


@dataclass(frozen=True)
class Rights:
    """Publishable cases of a folder.

    Attributes:
        allowed: Case ids by part.
        withheld: Reason why a CT is in no part, by case id.
        left_out: Reason why not even the label maps are published, by case id.
    """

    allowed: Mapping[Part, Sequence[str]]
    withheld: Mapping[str, str]
    left_out: Mapping[str, str]


def check_rights(data_dir: Path, cases: Iterable[Case], parts: Collection[Part]) -> Rights:
    """Return the cases of a folder that may be published.

    A CT needs the licence of its collection, an entry of the IDC index under the same licence,
    and evidence in its folder that it is the CT of its table row: ``source.json`` names the
    series, or the official ZIP of label maps in ``data_dir`` has the same body regions. Label maps
    need only a collection of SAROS.

    Args:
        data_dir: Folder of cases.
        cases: All rows of its table.
        parts: Parts to publish.

    Raises:
        RightsError: The files of a case belong to another case.
        UsageError: CTs are to be published and the IDC index is not installed.
    """
    left_out = {
        one.case_id: f"{one.collection}: no collection of SAROS"
        for one in cases
        if one.license == "unknown"
    }
    cases = [one for one in cases if one.case_id not in left_out]
    allowed: dict[Part, list[str]] = {part: [] for part in parts}
    allowed["masks"] = [one.case_id for one in cases]
    pixels = [part for part in LICENSES if part in parts]
    if not pixels:
        return Rights(allowed, {}, left_out)
    withheld = objections(cases, public_licenses(cases))
    archive = MaskArchive(data_dir / MASKS.name) if (data_dir / MASKS.name).is_file() else None
    for part in pixels:
        for case in (one for one in cases if one.license in LICENSES[part]):
            reason = withheld.get(case.case_id)
            reason = reason or _missing_evidence(CaseFiles(case, data_dir / case.case_id), archive)
            if reason:
                withheld[case.case_id] = reason
            else:
                allowed[part].append(case.case_id)
    return Rights(allowed, withheld, left_out)


def public_licenses(cases: Iterable[Case]) -> dict[str, License]:
    """Return the licence of every series in the IDC index, by SeriesInstanceUID.

    Phantoms are not looked up, so a table of phantoms needs no index.

    Raises:
        UsageError: The index is not installed.
    """
    uids = [one.series_instance_uid for one in cases if one.license != "synthetic"]
    return {uid: one.license for uid, one in find_public(uids).items()} if uids else {}


def objections(cases: Sequence[Case], public: Mapping[str, License]) -> dict[str, str]:
    """Return why table or index forbid to publish a CT, by case id.

    Args:
        cases: All rows of the case table.
        public: Licences from :func:`public_licenses`.
    """
    rows = Counter(one.series_instance_uid for one in cases)
    found = {}
    for case in cases:
        uid, license_ = case.series_instance_uid, case.license
        if license_ in ("NIH controlled access", "unknown"):
            found[case.case_id] = f"{case.collection}: {license_}"
        elif rows[uid] > 1:
            found[case.case_id] = f"{rows[uid]} rows of the table have series {uid}"
        elif license_ == "synthetic":
            if not uid.startswith(_PHANTOM_UID):
                found[case.case_id] = f"series {uid} is no phantom"
        elif uid not in public:
            found[case.case_id] = f"series {uid} is not public"
        elif public[uid] != license_:
            found[case.case_id] = f"{license_} by its collection, {public[uid]} by the archive"
    return found


def _missing_evidence(files: CaseFiles, archive: MaskArchive | None) -> str | None:
    """Return why a folder does not show that its CT belongs to its row, ``None`` if it does."""
    case, regions = files.case, files.mask("body-regions")
    if not files.image.is_file():
        return "not in the folder: saros download fetches it"
    uid, expected = source_uid(files.folder), case.series_instance_uid
    if uid not in ("", expected):
        raise RightsError(
            files.folder / SOURCE_NAME, f"series {uid}", f"{expected} as in the case table", _REMEDY
        )
    if case.license == "synthetic":
        return None if _has_phantom_header(files.image) else "its NIfTI header names no phantom"
    is_in_zip = archive is not None and "body-regions" in archive.tasks_of(case.case_id)
    if archive is not None and is_in_zip and regions.is_file():
        if not _same_regions(archive, case.case_id, regions):
            expected = f"those of {case.case_id} in {MASKS.name}"
            raise RightsError(regions, "other body regions", expected, _REMEDY)
        return None
    return None if uid else f"no {SOURCE_NAME} and no {MASKS.name} to show which series it is"


def _has_phantom_header(image: Path) -> bool:
    try:
        with gzip.open(image) as file:
            return PHANTOM_DESCRIPTION.encode() in file.read(348)
    except (OSError, EOFError):
        return False


def _same_regions(archive: MaskArchive, case_id: str, regions: Path) -> bool:
    """Return whether the voxels are those in the ZIP; a corrected affine does not matter."""
    if archive.holds(case_id, "body-regions", regions):
        return True
    with tempfile.TemporaryDirectory(prefix="saros-masks-") as folder:
        official = archive.extract_case(case_id, Path(folder))["body-regions"]
        found = read_mask(regions, "body-regions").array
        return np.array_equal(found, read_mask(official, "body-regions").array)
