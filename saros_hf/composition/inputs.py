"""Check what is to be measured, before anything is counted."""

from dataclasses import dataclass

import numpy as np

from ..errors import GridMismatchError, UnknownLabelError, UsageError
from ..labels import IGNORE_INDEX, BodyPart, BodyRegion, Task, num_classes
from ..volume import Volume, annotated_slices
from .compartments import COMPARTMENTS, members
from .slice_counts import SliceCounts

__all__ = ["MeasureInput", "checked_input", "on_grid", "refuse_other_task"]

_HEIGHTS_CM = (40.0, 260.0)
_DENSE_HU = 150
_MOST_DENSE_SHARE = 0.03
"""Subcutaneous tissue holds hardly any voxel above 150 HU, a torso holds bone."""


@dataclass(frozen=True)
class MeasureInput:
    """Label maps on the grid and in the orientation of the CT; regions and parts are uint8."""

    regions: Volume
    parts: Volume | None
    vertebrae: Volume | None


def checked_input(
    ct: Volume,
    regions: Volume,
    *,
    parts: Volume | None,
    vertebrae: Volume | None,
    height_cm: float | None,
) -> MeasureInput:
    """Return the label maps on the CT's grid.

    Raises:
        GridMismatchError: A label map has another grid.
        UnknownLabelError: A label map holds a label that its task does not have.
        UsageError: The CT has no HU below 0, the height is not in cm, or a label map is empty.
    """
    _refuse_height(height_cm)
    lowest = ct.array.min()
    if not lowest < 0:
        raise UsageError(
            "CT",
            f"no value below {lowest:g}",
            "Hounsfield units, air near -1000",
            "Export the CT with its rescale intercept, or subtract 1024 if it was left out.",
        )
    placed = MeasureInput(
        _label_map(ct, regions, "body-regions"),
        None if parts is None else _label_map(ct, parts, "body-parts"),
        None if vertebrae is None else on_grid(ct, vertebrae, "vertebrae"),
    )
    if placed.parts is not None:
        _refuse_parts(placed.regions, placed.parts)
    return placed


def on_grid(ct: Volume, mask: Volume, name: str) -> Volume:
    """Return a label map with its axes flipped and permuted to those of the CT.

    Raises:
        GridMismatchError: Its grid is another one.
    """
    oriented = mask.oriented(ct.orientation)
    if not oriented.same_grid(ct):
        raise GridMismatchError(
            name,
            mask.describe_grid(),
            f"the grid of the CT, {ct.describe_grid()}",
            "Resample the label map to the CT with nearest neighbour, or make it from this CT.",
        )
    return oriented


def _label_map(ct: Volume, mask: Volume, task: Task) -> Volume:
    """Return a label map of SAROS as uint8 on the CT's grid."""
    placed = on_grid(ct, mask, task)
    highest = num_classes(task) - 1
    annotated = placed.array != IGNORE_INDEX
    wrong = annotated & ((placed.array < 0) | (placed.array > highest))
    if wrong.any():
        raise UnknownLabelError(
            task,
            f"label {placed.array[wrong].flat[0]:g}",
            f"labels 0 to {highest}, or {IGNORE_INDEX} where nothing is annotated",
            "Check that this is the label map of the right task.",
        )
    if not annotated_slices(placed.array).size:
        raise UsageError(
            task,
            "no slice without 255",
            "at least one annotated slice",
            "A slice counts only if each of its voxels has a label.",
        )
    if not (annotated & (placed.array > 0)).any():
        remedy = "Check that the right file was given."
        raise UsageError(task, "no label but background", "the labels of a body", remedy)
    return Volume(placed.array.astype(np.uint8, copy=False), ct.affine)


def _refuse_height(height_cm: float | None) -> None:
    low, high = _HEIGHTS_CM
    if height_cm is None or low <= height_cm <= high:
        return
    remedy = f"Write {height_cm * 100:g}." if low <= height_cm * 100 <= high else ""
    raise UsageError("height", f"{height_cm:g} cm", f"{low:g} to {high:g} cm", remedy)


def _refuse_parts(regions: Volume, parts: Volume) -> None:
    if np.array_equal(regions.array, parts.array):
        remedy = "Give body-parts.nii.gz, or leave the parts out."
        raise UsageError("body-parts", "the map of the body regions", "that of the parts", remedy)
    if not np.intersect1d(annotated_slices(regions.array), annotated_slices(parts.array)).size:
        raise UsageError(
            "body-parts",
            "no slice that is annotated in both label maps",
            "at least one",
            "Leave the parts out, or give the label map that belongs to these regions.",
        )


def refuse_other_task(counts: SliceCounts) -> None:
    """Raise if the body regions are a label map of body parts, whose labels are a subset.

    Raises:
        UsageError: There is no label above 6, and much bone in label 1.
    """
    voxels = counts.histogram.sum(axis=1)
    regions = {one.region for one, row in zip(COMPARTMENTS, voxels, strict=True) if row.any()}
    label_1 = voxels[members(BodyRegion.SUBCUTANEOUS_TISSUE)].sum(axis=0)
    dense = label_1[max(_DENSE_HU - counts.lowest_hu, 0) :].sum() / max(label_1.sum(), 1)
    if max(regions) <= max(BodyPart) and dense > _MOST_DENSE_SHARE:
        raise UsageError(
            "body-regions",
            f"no label above {max(regions):d}, and {dense:.0%} of label 1 as dense as bone",
            "body regions, whose label 1 is subcutaneous tissue",
            "This looks like a label map of body parts: give that one as the parts.",
        )
