"""Convert a CT series into one case: an image at 5 mm, on the grid of its label maps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..archive.obtain_files import MaskArchive
from ..cases.case import Case
from ..cases.files import IMAGE_NAME
from ..cases.pairing import pair
from ..cases.source import CaseSource, whole_case
from ..dicom import SLICE_SPACING_MM, CtSeries, Stacking, find_series, read_series
from ..errors import DicomError, GridMismatchError, SarosError, TransferError
from ..labels import TASKS, Task
from ..nifti import read_grid, read_mask, write_volume
from ..volume import Volume

Masks: TypeAlias = Mapping[Task, Path]

_SAME_MM = 1e-4


@dataclass(frozen=True)
class _PairedCt:
    """A CT with the affine of its label maps."""

    volume: Volume
    stacking: Stacking = "along-normal"
    note: str = ""


def assemble(
    series: CtSeries,
    case_folder: Path,
    *,
    case: Case | None = None,
    masks: MaskArchive | None = None,
    as_published: bool = False,
    keep_patient_id: bool = False,
    work: Path | None = None,
) -> str:
    """Write the CT of ``series`` and the case's label maps into ``case_folder``, all or nothing.

    Existing label maps in the folder are used, else those in ``masks``. Image and label maps must
    have the same shape and affine, or nothing is written.

    Args:
        series: A series found by :func:`~saros_hf.dicom.find_series`.
        case_folder: ``DIR/case_XXX``.
        case: Row of the case table, ``None`` for a CT outside SAROS.
        masks: Archive of all label maps.
        as_published: The series is complete, so that an uneven slice spacing is replaced by its
            mean, as the authors did, if the label maps then fit.
        keep_patient_id: Record the PatientID of a CT outside SAROS.
        work: A folder on the same file system for unfinished files, ``DIR`` if ``None``.

    Returns:
        A note on anything unusual, empty for most cases.

    Raises:
        SarosError: The series cannot be read correctly, or the label maps are on another grid.
    """
    with whole_case(case_folder, work=work) as aside:
        paths = _masks_of(case_folder, aside, case, masks)
        ct = _read_paired(series, paths, as_published=as_published)
        write_volume(aside / IMAGE_NAME, ct.volume)
        _align(paths, ct.volume.affine, aside)
        source = _source_of(series, case, ct)
        if case is None and not keep_patient_id:
            source = replace(source, patient_id="")
        source.write(aside)
    return ct.note


def add_masks(
    case_folder: Path, case: Case, masks: MaskArchive, *, work: Path | None = None
) -> str | None:
    """Add the missing label maps to a case folder with a CT.

    Returns:
        A note on the added label maps, ``None`` if none was missing.

    Raises:
        GridMismatchError: The CT is on another grid than the label maps.
    """
    tasks = masks.tasks_of(case.case_id)
    missing = [task for task in tasks if not (case_folder / f"{task}.nii.gz").is_file()]
    if not missing:
        return None
    with whole_case(case_folder, work=work) as aside:
        paths = masks.extract_case(case.case_id, aside)
        for task in set(tasks).difference(missing):
            paths.pop(task).unlink()
        image = read_grid(case_folder / IMAGE_NAME)
        _align(paths, _pair(image, paths, case.series_instance_uid).affine, aside)
    return f"{' and '.join(missing)} added to the CT that was there"


def _masks_of(
    case_folder: Path, aside: Path, case: Case | None, masks: MaskArchive | None
) -> Masks:
    paths = {task: case_folder / f"{task}.nii.gz" for task in TASKS}
    present = {task: path for task, path in paths.items() if path.is_file()}
    if present or case is None or masks is None:
        return present
    return masks.extract_case(case.case_id, aside)


def _read_paired(series: CtSeries, masks: Masks, *, as_published: bool) -> _PairedCt:
    if not masks:
        return _PairedCt(read_series(series, spacing_mm=SLICE_SPACING_MM))
    stackings: tuple[Stacking, ...] = ("along-normal", "against-normal", "published")
    refusal: SarosError | None = None
    for stacking in stackings if as_published else stackings[:2]:
        try:
            volume = read_series(series, spacing_mm=SLICE_SPACING_MM, stacking=stacking)
            volume = _pair(volume, masks, series.uid)
        except (DicomError, GridMismatchError) as error:
            refusal = refusal or error
        else:
            return _PairedCt(volume, stacking, _note(stacking, refusal))
    raise refusal or AssertionError("there is no stacking to try")


def _pair(volume: Volume, masks: Masks, series_uid: str) -> Volume:
    """Return a CT with the affine of all its label maps."""
    for path in masks.values():
        affine = pair(volume, read_grid(path), path, series_uid=series_uid)
        shared = Volume(volume.array, affine)
        volume = replace(volume.oriented(shared.orientation), affine=affine)
    return volume


def _align(masks: Masks, affine: NDArray[np.float64], folder: Path) -> None:
    """Rewrite label maps with another affine into ``folder``; the others keep their bytes."""
    for task, path in masks.items():
        if not np.allclose(read_grid(path).affine, affine, rtol=0, atol=_SAME_MM):
            write_volume(folder / path.name, replace(read_mask(path, task), affine=affine))


def _note(stacking: Stacking, refusal: SarosError | None) -> str:
    if stacking == "published" and refusal is not None:
        return f"stacked as published although {refusal.found}"
    if stacking == "against-normal":
        return "stacked from head to foot, as its label maps are"
    return ""


def _source_of(series: CtSeries, case: Case | None, ct: _PairedCt) -> CaseSource:
    tags = series.slices[0].tags
    return CaseSource(
        series_instance_uid=series.uid,
        study_instance_uid=tags["study_instance_uid"],
        collection=case.collection if case else tags["collection"],
        patient_id=case.patient_id if case else tags["patient_id"],
        manufacturer=tags["manufacturer"],
        spacing_mm=series.spacing_mm,
        slices=len(series.slices),
        stacking=ct.stacking,
        note=ct.note,
    )


def only_series(folder: Path, series_uid: str) -> CtSeries:
    """Return the only series among the fetched files in a folder.

    Raises:
        TransferError: There is another series, none, or a damaged file.
    """
    # "*.dcm": the s5cmd of a run that was killed just now may still be writing other names.
    contents = find_series(sorted(folder.glob("*.dcm")))
    found = [series for series in contents.series if series.uid == series_uid]
    if len(found) != 1 or contents.broken:
        uids = ", ".join(series.uid for series in contents.series) or "none"
        raise TransferError(
            f"series {series_uid}",
            f"{len(contents.broken)} damaged files and CT series {uids}",
            "that series alone",
            "The archive may have revised it; try the other --source.",
        )
    return found[0]
