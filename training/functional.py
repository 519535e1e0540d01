"""Scores of each class of one case, as pure functions.

All take numpy arrays or torch tensors of whole-numbered labels, on any device, and return a float64
tensor on the CPU with one score per class, background first. A class in neither map is NaN, a
class in one of them only is 0 (infinite for a distance): the convention of the authors'
evaluation, from which the paper's Table 4 comes.
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .label_maps import LabelMap, annotated_slices, as_labels, comparable, refuse_spacing
from .surfaces import SurfaceElements, nearest_mm, surface_elements, within_reach

SurfaceProtocol: TypeAlias = Literal["slice", "volume", "published"]
SURFACE_PROTOCOLS: tuple[SurfaceProtocol, ...] = ("slice", "volume", "published")


def confusion_matrix(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return how many annotated voxels have each pair of labels.

    Args:
        pred: Labels of any shape; what it says where ``target`` is 255 does not matter.
        target: Labels of the same shape, 255 = not annotated.
        num_classes: Number of labels, background included.

    Returns:
        int64 (num_classes, num_classes), rows the target's labels, columns the prediction's.

    Raises:
        GridMismatchError: The shapes differ.
        UnknownLabelError: An annotated voxel holds a value outside 0 to ``num_classes`` - 1.
        UsageError: The labels are no whole numbers.
    """
    predicted, truth = comparable(pred, target, num_classes)
    annotated = truth != IGNORE_INDEX
    predicted = as_labels("prediction", predicted[annotated], num_classes)
    truth = as_labels("target", truth[annotated], num_classes)
    pairs = truth.to(torch.int32) * num_classes + predicted
    counts = torch.bincount(pairs, minlength=num_classes**2).cpu()
    return counts.reshape(num_classes, num_classes)


def dice_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the Dice score of each class; arguments and errors of :func:`confusion_matrix`."""
    counts = confusion_matrix(pred, target, num_classes=num_classes)
    return dice_of(counts)


def precision_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the share of what is predicted that is right, as :func:`dice_per_class` does."""
    return precision_of(confusion_matrix(pred, target, num_classes=num_classes))


def recall_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the share of the target that is predicted, as :func:`dice_per_class` does."""
    return precision_of(confusion_matrix(pred, target, num_classes=num_classes).T)


def volume_difference_per_class(
    pred: LabelMap,
    target: LabelMap,
    *,
    spacing_mm: tuple[float, float, float],
    num_classes: int = 14,
) -> Tensor:
    """Return what is predicted less what there is, in ml of annotated voxels, NaN as for Dice."""
    refuse_spacing(spacing_mm)
    return volume_difference_of(
        confusion_matrix(pred, target, num_classes=num_classes), spacing_mm=spacing_mm
    )


def dice_of(counts: Tensor) -> Tensor:
    """Return the Dice score of each class of a confusion matrix."""
    return _ratio(2 * counts.diagonal(), counts.sum(0) + counts.sum(1))


def precision_of(counts: Tensor) -> Tensor:
    """Return each class's precision, of the transposed matrix its recall."""
    precision = _ratio(counts.diagonal(), counts.sum(0))
    return torch.where((counts.sum(0) == 0) & (counts.sum(1) > 0), 0.0, precision)


def volume_difference_of(counts: Tensor, *, spacing_mm: tuple[float, float, float]) -> Tensor:
    """Return each class's predicted less its true volume in ml."""
    voxels = (counts.sum(0) - counts.sum(1)).to(torch.float64)
    missing = counts.sum(0) + counts.sum(1) == 0
    return torch.where(missing, math.nan, voxels * math.prod(spacing_mm) / 1000)


def surface_dice_per_class(
    pred: LabelMap,
    target: LabelMap,
    *,
    spacing_mm: tuple[float, float, float],
    num_classes: int = 14,
    tolerance_mm: float = 3.0,
    protocol: SurfaceProtocol = "slice",
    include_background: bool = True,
) -> Tensor:
    """Return the share of each class's surface that lies within a tolerance of the other map's.

    Surfaces and their sizes are DeepMind's, as in the paper (Technical Validation). The protocols
    differ in which surface they look at (DESIGN, decision 4):

    * ``slice``: the contours of each annotated axial slice, in 2-D; lengths are pooled over the
      case, and a contour without counterpart in its slice is outside any tolerance.
    * ``volume``: the 3-D surfaces after every slice that is not annotated has become background
      in both maps, so that each isolated slice also counts its flat faces.
    * ``published``: the same with the spacing in the order in which the authors passed it, that
      of k to i and of i to k. Good only for comparing with the paper's Table 4.

    Args:
        pred: Labels, shape (I, J, K), k axial.
        target: Labels of the same shape, 255 = not annotated.
        spacing_mm: Distance between voxels along i, j and k.
        num_classes: Number of labels, background included.
        tolerance_mm: Largest distance that counts as the same surface.
        protocol: Which surface to look at.
        include_background: Whether to score class 0, the most expensive one; NaN if not.

    Returns:
        Shape (num_classes,), float64, background first; NaN where a class is in neither map.

    Raises:
        GridMismatchError: The shapes differ.
        UnknownLabelError: A scored voxel holds a value outside 0 to ``num_classes`` - 1.
        UsageError: No slice is annotated, or another argument makes no sense.
    """
    if not 0 <= tolerance_mm < math.inf:
        raise UsageError(
            "tolerance_mm",
            found=str(tolerance_mm),
            expected="0 mm or more",
            remedy="Correct this argument.",
        )
    ours, theirs, spacing = _both_surfaces(
        pred, target, spacing_mm, num_classes, protocol, skip_background=not include_background
    )
    within, whole = torch.zeros(2, num_classes, dtype=torch.float64)
    for one, other in ((ours, theirs), (theirs, ours)):
        reached = within_reach(one, other, spacing_mm=spacing, tolerance_mm=tolerance_mm)
        within += one.size_per_label(num_classes, reached).cpu()
        whole += one.size_per_label(num_classes).cpu()
    return _ratio(within, whole)


def average_surface_distance_per_class(
    pred: LabelMap,
    target: LabelMap,
    *,
    spacing_mm: tuple[float, float, float],
    num_classes: int = 14,
    protocol: SurfaceProtocol = "slice",
    include_background: bool = True,
) -> Tensor:
    """Return the average symmetric surface distance of each class in mm.

    The mean over both surfaces, weighted by length or area, of the distance to the other one.
    With the protocol ``slice`` that is the nearest contour in any annotated slice, so that a
    contour without counterpart in its own slice counts, too.

    Arguments and errors are those of :func:`surface_dice_per_class`.

    Returns:
        Shape (num_classes,), float64; NaN where a class is in neither map, infinite where it is
        in one of them only.
    """
    ours, theirs, spacing = _both_surfaces(
        pred, target, spacing_mm, num_classes, protocol, skip_background=not include_background
    )
    heights = None
    if protocol == "slice":
        truth = comparable(pred, target, num_classes)[1]
        heights = annotated_slices(truth).to(torch.float64) * spacing_mm[2]
    total, whole = torch.zeros(2, num_classes, dtype=torch.float64)
    for one, other in ((ours, theirs), (theirs, ours)):
        distances = nearest_mm(one, other, spacing_mm=spacing, heights_mm=heights)
        total += one.size_per_label(num_classes, distances.to(one.sizes.device)).cpu()
        whole += one.size_per_label(num_classes).cpu()
    return _ratio(total, whole)


def _both_surfaces(
    pred: LabelMap,
    target: LabelMap,
    spacing_mm: tuple[float, float, float],
    num_classes: int,
    protocol: SurfaceProtocol,
    *,
    skip_background: bool,
) -> tuple[SurfaceElements, SurfaceElements, tuple[float, ...]]:
    """Return the surfaces of both maps under a protocol, and the spacing that goes with them.

    ``published`` takes the spacing back to front: the authors index (z, y, x) and pass
    SimpleITK's (x, y, z) spacing with it, which on our (i, j, k) gives k the spacing of i.
    DeepMind's tables do not change when axes trade places.
    """
    refuse_spacing(spacing_mm)
    if protocol not in SURFACE_PROTOCOLS:
        raise UsageError(
            "protocol",
            found=protocol,
            expected=f"one of {', '.join(SURFACE_PROTOCOLS)}",
            remedy="Correct this argument.",
        )
    predicted, truth = comparable(pred, target, num_classes)
    slices = annotated_slices(truth).to(truth.device)
    if protocol == "slice":
        spacing: tuple[float, ...] = spacing_mm[:2]
        scored = [one[..., slices].movedim(-1, 0) for one in (predicted, truth)]
    else:
        spacing = spacing_mm if protocol == "volume" else spacing_mm[::-1]
        known = truth != IGNORE_INDEX
        if protocol == "volume":
            known = torch.zeros_like(truth, dtype=torch.bool)
            known[..., slices] = True
        scored = [torch.where(known, one, 0) for one in (predicted, truth)]
    names = ("prediction", "target")
    maps = [as_labels(name, one, num_classes) for name, one in zip(names, scored, strict=True)]
    if skip_background:
        # The slices stay: their heights are known by their number.
        maps = _cropped(maps, axes=(1, 2) if protocol == "slice" else (0, 1, 2))
    ours, theirs = (
        surface_elements(one, spacing, num_classes=num_classes, skip_background=skip_background)
        for one in maps
    )
    return ours, theirs, spacing


def _cropped(maps: list[Tensor], *, axes: tuple[int, ...]) -> list[Tensor]:
    """Return the part of both maps that holds all foreground of either."""
    foreground = (maps[0] != 0) | (maps[1] != 0)
    for axis in axes:
        others = [other for other in (0, 1, 2) if other != axis]
        found = foreground.any(others[1]).any(others[0]).nonzero().flatten()
        if len(found):
            first, count = int(found[0]), int(found[-1] - found[0]) + 1
            maps = [one.narrow(axis, first, count) for one in maps]
    return maps


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    # 0 / 0 is NaN, as it should be for a class in neither map.
    return part.to(torch.float64) / whole.to(torch.float64)
