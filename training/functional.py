"""Scores of each class of one case, as pure functions.

All take numpy arrays or torch tensors of whole-numbered labels, on any device, and return a float64
tensor on the CPU with one score per class, background first. A class in neither map is NaN, a
class in one of them only is 0 (infinite for a distance): the convention of the authors'
evaluation, from which the paper's Table 4 comes.
"""

import math

import numpy as np
import torch
from torch import Tensor

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .surfaces.distances import nearest_mm, out_of_reach
from .surfaces.label_maps import LabelMap, as_labels, comparable, refuse_spacing, required_slices
from .surfaces.protocol_names import SurfaceProtocol
from .surfaces.protocols import both_surfaces, ruler_of


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
        UsageError: The labels are no whole numbers, or no voxel is annotated.
    """
    predicted, truth = comparable(pred, target, num_classes)
    # Slices without annotation first, as looking at every voxel of them costs the most.
    axes = tuple(range(1, truth.ndim))
    annotated = truth != IGNORE_INDEX
    kept = np.flatnonzero(annotated.any(axis=axes))
    if not kept.size:
        raise UsageError("target", "no annotated voxel", f"at least one that is not {IGNORE_INDEX}")
    predicted, truth, annotated = predicted[kept], truth[kept], annotated[kept]
    if not annotated.all():
        predicted, truth = predicted[annotated], truth[annotated]
    predicted = as_labels("prediction", predicted, num_classes)
    truth = as_labels("target", truth, num_classes)
    # In the narrowest type there is room in: memory is what this waits for.
    narrow = np.min_scalar_type(num_classes**2 - 1)
    pairs = np.multiply(truth, num_classes, dtype=narrow) + predicted
    pairs = pairs.astype(np.int16, copy=False) if pairs.itemsize > 1 else pairs
    counts = torch.bincount(torch.from_numpy(pairs.ravel()), minlength=num_classes**2)
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
        raise UsageError("tolerance_mm", str(tolerance_mm), "0 mm or more")
    ruler = ruler_of(spacing_mm, tolerance_mm, protocol)
    pair = both_surfaces(
        pred, target, ruler, num_classes, protocol, skip_background=not include_background
    )
    within, whole = np.zeros((2, num_classes))
    for one, other in (pair, pair[::-1]):
        within += one.sizes(without=out_of_reach(one, other))
        whole += one.sizes()
    return _ratio(torch.from_numpy(within), torch.from_numpy(whole))


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
    ruler = ruler_of(spacing_mm, math.inf, protocol)
    pair = both_surfaces(
        pred, target, ruler, num_classes, protocol, skip_background=not include_background
    )
    heights = None
    if protocol == "slice":
        slices = required_slices(comparable(pred, target, num_classes)[1])
        heights = slices.astype(np.float64) * spacing_mm[2]
    whole = pair[0].sizes() + pair[1].sizes()
    total = np.zeros(num_classes)
    elements = [one.elements() for one in pair]
    for one, other in (elements, elements[::-1]):
        weighted = one.sizes(ruler) * nearest_mm(one, other, ruler, heights_mm=heights)
        total += np.bincount(one.labels, weights=weighted, minlength=num_classes)
    return _ratio(torch.from_numpy(total), torch.from_numpy(whole))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    # 0 / 0 is NaN, as it should be for a class in neither map.
    return part.to(torch.float64) / whole.to(torch.float64)
