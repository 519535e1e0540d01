"""Make one case of a CT series: its image at 5 mm, on the grid of its published label maps."""

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
    """A CT on the affine that it shares with its label maps."""

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
    work: Path | None = None,
) -> str:
    """Write the CT of ``series`` and the case's label maps into ``case_folder``, all or nothing.

    The label maps are those in the folder already, else those of ``masks``. Image and label maps
    then have one shape and one affine, or nothing is written.

    Args:
        series: As :func:`~saros_hf.dicom.find_series` found it.
        case_folder: ``DIR/case_XXX``.
        case: Its row of the case table, ``None`` for a CT that is no case of SAROS.
        masks: The archive of all label maps.
        as_published: The series is known to be complete, so that one without an even grid is
            read as the authors read it if their label maps then fit.
        work: A folder of the same file system to write in, ``DIR`` if it is ``None``.

    Returns:
        What is unusual about this case, empty for most.

    Raises:
        SarosError: The series cannot be read correctly, or the label maps are on another grid.
    """
    with whole_case(case_folder, work=work) as aside:
        paths = _masks_of(case_folder, aside, case, masks)
        ct = _read_paired(series, paths, as_published=as_published)
        write_volume(aside / IMAGE_NAME, ct.volume)
        _align(paths, ct.volume.affine, aside)
        _source_of(series, case, ct).write(aside)
    return ct.note


def add_masks(
    case_folder: Path, case: Case, masks: MaskArchive, *, work: Path | None = None
) -> str | None:
    """Put the label maps that a case folder with a CT still lacks into it.

    Returns:
        What was added, ``None`` if nothing was missing.

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
    raise refusal or AssertionError("no way of stacking was tried")


def _pair(volume: Volume, masks: Masks, series_uid: str) -> Volume:
    """Return a CT on the affine that it shares with all label maps."""
    for path in masks.values():
        affine = pair(volume, read_grid(path), path, series_uid=series_uid)
        volume = replace(volume, affine=affine)
    return volume


def _align(masks: Masks, affine: NDArray[np.float64], folder: Path) -> None:
    """Write label maps with another affine anew into ``folder``; the others stay byte by byte."""
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
    """Return the one series in a folder of fetched files.

    Raises:
        TransferError: There is another one, none, or a damaged file.
    """
    contents = find_series(sorted(path for path in folder.iterdir() if path.is_file()))
    found = [series for series in contents.series if series.uid == series_uid]
    if len(found) != 1 or contents.broken:
        raise TransferError(
            f"series {series_uid}",
            f"{len(contents.broken)} damaged files and CT series "
            f"{', '.join(one.uid for one in contents.series) or 'none'}",
            "that series alone",
            "The archive may have revised it; try the other --source.",
        )
    return found[0]
