"""Scores of each class of one case, as pure functions.

Label maps are numpy arrays or torch tensors of integers, on any device, and 255 in the target means
"not annotated". Unless stated otherwise a function returns a float64 tensor on the CPU with one
score per class, background first. A class in neither map is NaN, a class in only one of them is 0
(infinite for a distance). This is the convention of the authors' evaluation, which produced the
paper's Table 4.

Example:
    >>> import numpy as np
    >>> target = np.array([[0, 0, 1, 1], [255, 255, 255, 255]])
    >>> prediction = np.array([[0, 1, 1, 1], [2, 2, 2, 2]])
    >>> dice_per_class(prediction, target, num_classes=3).tolist()
    [0.6666666666666666, 0.8, nan]
"""

import math

import numpy as np
import torch
from torch import Tensor

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .surfaces.distances import beyond_tolerance, nearest_mm
from .surfaces.label_maps import LabelMap, as_labels, comparable, refuse_spacing, required_slices
from .surfaces.protocols import SurfaceProtocol, both_surfaces, protocol_tolerance

__all__ = [
    "LabelMap",
    "SurfaceProtocol",
    "average_surface_distance_per_class",
    "confusion_matrix",
    "dice_of",
    "dice_per_class",
    "precision_of",
    "precision_per_class",
    "recall_per_class",
    "surface_dice_per_class",
    "volume_difference_of",
    "volume_difference_per_class",
]


def confusion_matrix(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the number of annotated voxels with each pair of labels.

    Args:
        pred: Labels of any shape; ignored where ``target`` is 255.
        target: Labels of the same shape, 255 = not annotated.
        num_classes: Number of labels, background included.

    Returns:
        Shape (num_classes, num_classes), int64; rows are the target's labels, columns the
        prediction's.

    Raises:
        GridMismatchError: The shapes differ.
        UnknownLabelError: An annotated voxel holds a value outside 0 to ``num_classes`` - 1.
        UsageError: The labels are not integers, or no voxel is annotated.
    """
    predicted, truth = comparable(pred, target, num_classes)
    # Drop slices without annotation first: masking all their voxels would cost the most time.
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
    # The narrowest type is the fastest: this is limited by memory bandwidth.
    narrow = np.min_scalar_type(num_classes**2 - 1)
    pairs = np.multiply(truth, num_classes, dtype=narrow) + predicted
    pairs = pairs.astype(np.int16, copy=False) if pairs.itemsize > 1 else pairs
    counts = torch.bincount(torch.from_numpy(pairs.ravel()), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def dice_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the Dice score of each class over annotated voxels.

    Arguments and errors are those of :func:`confusion_matrix`.
    """
    return dice_of(confusion_matrix(pred, target, num_classes=num_classes))


def precision_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the precision of each class; arguments and errors of :func:`confusion_matrix`."""
    return precision_of(confusion_matrix(pred, target, num_classes=num_classes))


def recall_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the recall of each class; arguments and errors of :func:`confusion_matrix`."""
    return precision_of(confusion_matrix(pred, target, num_classes=num_classes).T)


def volume_difference_per_class(
    pred: LabelMap,
    target: LabelMap,
    *,
    spacing_mm: tuple[float, float, float],
    num_classes: int = 14,
) -> Tensor:
    """Return the predicted minus the true volume of each class's annotated voxels in ml.

    A class in neither map is NaN. The other arguments are those of :func:`confusion_matrix`.
    """
    refuse_spacing(spacing_mm)
    counts = confusion_matrix(pred, target, num_classes=num_classes)
    return volume_difference_of(counts, spacing_mm=spacing_mm)


def dice_of(counts: Tensor) -> Tensor:
    """Return the Dice score of each class from a confusion matrix."""
    return _ratio(2 * counts.diagonal(), counts.sum(0) + counts.sum(1))


def precision_of(counts: Tensor) -> Tensor:
    """Return the precision of each class from a confusion matrix, the recall if transposed."""
    precision = _ratio(counts.diagonal(), counts.sum(0))
    return torch.where((counts.sum(0) == 0) & (counts.sum(1) > 0), 0.0, precision)


def volume_difference_of(counts: Tensor, *, spacing_mm: tuple[float, float, float]) -> Tensor:
    """Return the predicted minus the true volume of each class in ml from a confusion matrix."""
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
    """Return the NSD of each class: the fraction of both surfaces within a tolerance of the other.

    Surface elements and their sizes are those of DeepMind's surface-distance package, as in the
    paper (Technical Validation). The protocols differ in the surfaces they compare:

    * ``slice``: the 2-D contours of each annotated axial slice. Lengths are pooled over the case,
      and a contour without a counterpart in its slice is outside any tolerance.
    * ``volume``: the 3-D surfaces after all slices without annotation were set to background in
      both maps, so that the flat faces of each isolated slice count as well.
    * ``published``: as ``volume``, but with the spacing in the order in which the authors passed
      it: k gets the spacing of i and i that of k. Use it only to compare with the paper's Table 4.

    Args:
        pred: Labels, shape (I, J, K), k axial.
        target: Labels of the same shape, 255 = not annotated.
        spacing_mm: Voxel spacing along i, j and k.
        num_classes: Number of labels, background included.
        tolerance_mm: Largest distance that counts as the same surface.
        protocol: Surfaces to compare.
        include_background: Whether to score class 0, which takes the longest; NaN if not.

    Returns:
        Shape (num_classes,), float64, background first; NaN for a class in neither map.

    Raises:
        GridMismatchError: The shapes differ.
        UnknownLabelError: A scored voxel holds a value outside 0 to ``num_classes`` - 1.
        UsageError: No slice is annotated, or another argument is invalid.

    Example:
        >>> target = np.zeros((8, 8, 2), np.uint8)
        >>> target[2:6, 2:6] = 1
        >>> prediction = np.roll(target, 1, axis=0)
        >>> surface_dice_per_class(
        ...     prediction, target, spacing_mm=(1.0, 1.0, 5.0), num_classes=3
        ... ).tolist()
        [1.0, 1.0, nan]
    """
    if not 0 <= tolerance_mm < math.inf:
        raise UsageError("tolerance_mm", str(tolerance_mm), "0 mm or more")
    tolerance = protocol_tolerance(spacing_mm, tolerance_mm, protocol)
    pair = both_surfaces(
        pred, target, tolerance, num_classes, protocol, skip_background=not include_background
    )
    within, whole = np.zeros((2, num_classes))
    for one, other in (pair, pair[::-1]):
        within += one.sizes(without=beyond_tolerance(one, other))
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
    """Return the average symmetric surface distance (ASSD) of each class in mm.

    This is the mean distance to the other surface over both surfaces, weighted by length or area.
    The protocol ``slice`` measures to the nearest contour of any annotated slice, so that a
    contour without a counterpart in its own slice has a finite distance.

    Arguments and errors are those of :func:`surface_dice_per_class`.

    Returns:
        Shape (num_classes,), float64; NaN for a class in neither map, infinite for a class in only
        one of them.
    """
    tolerance = protocol_tolerance(spacing_mm, math.inf, protocol)
    pair = both_surfaces(
        pred, target, tolerance, num_classes, protocol, skip_background=not include_background
    )
    heights = None
    if protocol == "slice":
        slices = required_slices(comparable(pred, target, num_classes)[1])
        heights = slices.astype(np.float64) * spacing_mm[2]
    whole = pair[0].sizes() + pair[1].sizes()
    total = np.zeros(num_classes)
    elements = [surfaces.elements() for surfaces in pair]
    for one, other in (elements, elements[::-1]):
        distances = nearest_mm(one, other, tolerance.spacing_mm, heights_mm=heights)
        weighted = one.sizes(tolerance.spacing_mm) * distances
        total += np.bincount(one.labels, weights=weighted, minlength=num_classes)
    return _ratio(torch.from_numpy(total), torch.from_numpy(whole))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return the quotient; 0 / 0 is NaN, as it should be for a class in neither map."""
    return part.to(torch.float64) / whole.to(torch.float64)
