"""Check what is to be measured, before anything is counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import GridMismatchError, UnknownLabelError, UsageError
from ..labels import IGNORE_INDEX, BodyPart, BodyRegion, Task, num_classes
from ..volume import Volume, annotated_slices
from .compartments import COMPARTMENTS, members
from .slice_counts import SliceCounts

__all__ = ["MeasureInput", "checked_input", "on_grid", "refuse_counts"]

_HEIGHTS_CM = (40.0, 260.0)
_DENSE_HU = 150
_MOST_DENSE_SHARE = 0.03
"""Subcutaneous tissue holds hardly any voxel above 150 HU, a torso holds bone."""


@dataclass(frozen=True)
class MeasureInput:
    """Label maps on the grid and in the orientation of the CT.

    Attributes:
        regions: Body regions, uint8.
        parts: Body parts, uint8.
        vertebrae: Vertebrae.
        measured: Indices of the slices that are annotated in regions and parts.
    """

    regions: Volume
    parts: Volume | None
    vertebrae: Volume | None
    measured: NDArray[np.intp]


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
        UsageError: The height is not in cm, or a label map is empty or not annotated.
    """
    _refuse_height(height_cm)
    placed = _label_map(ct, regions, "body-regions")
    placed_parts = None if parts is None else _label_map(ct, parts, "body-parts")
    measured = _annotated(placed, "body-regions")
    if placed_parts is not None:
        measured = _annotated_in_both(placed, measured, placed_parts)
    spine = None if vertebrae is None else on_grid(ct, vertebrae, "vertebrae")
    return MeasureInput(placed, placed_parts, spine, measured)


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
    if placed.array.min() < 0 or placed.array.max() > highest:
        _refuse_unknown(placed, task, highest)
    return Volume(placed.array.astype(np.uint8, copy=False), ct.affine)


def _refuse_unknown(mask: Volume, task: Task, highest: int) -> None:
    values = mask.array
    wrong = (values != IGNORE_INDEX) & ((values < 0) | (values > highest))
    if wrong.any():
        raise UnknownLabelError(
            task,
            f"label {values[wrong].flat[0]:g}",
            f"labels 0 to {highest}, or {IGNORE_INDEX} where nothing is annotated",
            "Check that this is the label map of the right task.",
        )


def _annotated(mask: Volume, task: Task) -> NDArray[np.intp]:
    """Return the annotated slices of a label map that is not empty."""
    measured = annotated_slices(mask.array)
    if not measured.size:
        raise UsageError(
            task,
            "no slice without 255",
            "at least one annotated slice",
            "A slice counts only if each of its voxels has a label.",
        )
    if not any(mask.array[..., k].any() for k in measured):
        remedy = "Check that the right file was given."
        raise UsageError(task, "no label but background", "the labels of a body", remedy)
    return measured


def _refuse_height(height_cm: float | None) -> None:
    low, high = _HEIGHTS_CM
    if height_cm is None or low <= height_cm <= high:
        return
    remedy = f"Write {height_cm * 100:g}." if low <= height_cm * 100 <= high else ""
    raise UsageError("height", f"{height_cm:g} cm", f"{low:g} to {high:g} cm", remedy)


def _annotated_in_both(
    regions: Volume, measured: NDArray[np.intp], parts: Volume
) -> NDArray[np.intp]:
    """Return the slices that are annotated in the body parts too."""
    if np.array_equal(regions.array, parts.array):
        remedy = "Give body-parts.nii.gz, or leave the parts out."
        raise UsageError("body-parts", "the map of the body regions", "that of the parts", remedy)
    both = np.intersect1d(measured, _annotated(parts, "body-parts"))
    if not both.size:
        raise UsageError(
            "body-parts",
            "no slice that is annotated in both label maps",
            "at least one",
            "Leave the parts out, or give the label map that belongs to these regions.",
        )
    return both


def refuse_counts(counts: SliceCounts) -> None:
    """Raise if the CT is not in HU, or the regions are body parts, whose labels are a subset.

    Raises:
        UsageError: There is no HU below 0, or no label above 6 and much bone in label 1.
    """
    if counts.lowest_hu >= 0:
        raise UsageError(
            "CT",
            f"no value below {counts.lowest_hu}",
            "Hounsfield units, air near -1000",
            "Export the CT with its rescale intercept, or subtract 1024 if it was left out.",
        )
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
