"""Dice and normalised surface Dice (NSD) of each class of one case, as pure functions.

Both accept numpy arrays or torch tensors of whole-numbered labels and return a float64 tensor on
the CPU with one score per class, background first. A class in neither map is NaN, a class in one
of them only is 0: the convention of the authors' evaluation, from which the paper's Table 4 comes.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from saros_hf.errors import GridMismatchError, UnknownLabelError, UsageError
from saros_hf.labels import IGNORE_INDEX
from saros_hf.volume import annotated_slices

from .surfaces import Surfaces

LabelMap: TypeAlias = NDArray[Any] | Tensor
SurfaceProtocol: TypeAlias = Literal["slice", "volume", "published"]
SURFACE_PROTOCOLS: tuple[SurfaceProtocol, ...] = ("slice", "volume", "published")

_Array: TypeAlias = NDArray[Any]


def dice_per_class(pred: LabelMap, target: LabelMap, *, num_classes: int = 14) -> Tensor:
    """Return the Dice score of each class over the annotated voxels of one case.

    Args:
        pred: Labels of any shape; what it says where ``target`` is 255 does not matter.
        target: Labels of the same shape, 255 = not annotated.
        num_classes: Number of labels, background included.

    Returns:
        Shape (num_classes,), float64, background first; NaN where a class is in neither map, so
        NaN throughout if nothing is annotated.

    Raises:
        GridMismatchError: The shapes differ.
        UnknownLabelError: An annotated voxel holds a value outside 0 to ``num_classes`` - 1.
        UsageError: The labels are no whole numbers.
    """
    predicted, truth = _arrays(pred, target)
    annotated = truth != IGNORE_INDEX
    predicted = _labels("prediction", predicted[annotated], num_classes)
    truth = _labels("target", truth[annotated], num_classes)
    hits = np.bincount(truth[predicted == truth], minlength=num_classes)
    sizes = np.bincount(predicted, minlength=num_classes)
    sizes += np.bincount(truth, minlength=num_classes)
    return _ratio(2 * hits, sizes)


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
    _refuse_quantities(spacing_mm, tolerance_mm, protocol)
    predicted, truth = _arrays(pred, target)
    _refuse_without_slices(truth)
    surfaces = _surfaces(spacing_mm, protocol)
    within, whole = np.zeros(num_classes), np.zeros(num_classes)
    for one, other in _scored_pairs(predicted, truth, protocol):
        ours = _labels("prediction", one, num_classes)
        theirs = _labels("target", other, num_classes)
        for label, box in _boxes(ours, theirs):
            if label == 0 and not include_background:
                continue
            agreed = surfaces.agreement(ours[box] == label, theirs[box] == label, tolerance_mm)
            within[label] += agreed.within
            whole[label] += agreed.whole
    return _ratio(within, whole)


def _surfaces(spacing_mm: tuple[float, float, float], protocol: SurfaceProtocol) -> Surfaces:
    """Return the surfaces of a protocol; ``published`` takes the spacing back to front.

    The authors index (z, y, x) and pass SimpleITK's (x, y, z) spacing with it, which on our
    (i, j, k) gives k the spacing of i. DeepMind's tables do not change when axes trade places.
    """
    if protocol == "slice":
        return Surfaces(spacing_mm[:2])
    return Surfaces(spacing_mm if protocol == "volume" else spacing_mm[::-1])


def _scored_pairs(
    pred: _Array, target: _Array, protocol: SurfaceProtocol
) -> Iterator[tuple[_Array, _Array]]:
    """Yield prediction and target, slice by slice or as one volume with background put in."""
    slices = annotated_slices(target)
    if protocol == "slice":
        for k in slices:
            yield pred[:, :, k], target[:, :, k]
        return
    if protocol == "volume":
        known = np.isin(np.arange(target.shape[2]), slices)
    else:
        known = target != IGNORE_INDEX
    yield np.where(known, pred, 0), np.where(known, target, 0)


def _boxes(pred: _Array, target: _Array) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Yield each label of either map with the smallest box that holds it in both."""
    highest = int(max(pred.max(), target.max())) + 1
    found = zip(
        ndimage.find_objects(pred + 1, highest),
        ndimage.find_objects(target + 1, highest),
        strict=True,
    )
    for label, (ours, theirs) in enumerate(found):
        either = ours or theirs
        if either:
            pairs = zip(ours or either, theirs or either, strict=True)
            yield label, tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)


def _ratio(part: _Array, whole: _Array) -> Tensor:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return torch.from_numpy(shares)


def _arrays(pred: LabelMap, target: LabelMap) -> tuple[_Array, _Array]:
    """Return both as numpy arrays of one shape, refusing probabilities and logits."""
    predicted, truth = _whole_numbers("prediction", pred), _whole_numbers("target", target)
    if predicted.shape != truth.shape:
        raise GridMismatchError(
            "prediction",
            found=f"shape {predicted.shape}",
            expected=f"the target's shape {truth.shape}",
            remedy="Bring the prediction back to the grid of the label map.",
        )
    return predicted, truth


def _whole_numbers(where: str, labels: LabelMap) -> _Array:
    is_float = isinstance(labels, Tensor) and labels.is_floating_point()
    # numpy has no bfloat16, so a tensor is asked before it is converted.
    if not is_float:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
        if array.dtype.kind in "biu":
            return array
    raise UsageError(
        where,
        found=f"labels of type {labels.dtype}",
        expected="whole numbers",
        remedy="Give label maps; of logits take the argmax over classes first.",
    )


def _labels(where: str, values: _Array, num_classes: int) -> NDArray[np.uint8]:
    """Return values as uint8 after checking that each is a label."""
    if not 1 <= num_classes <= IGNORE_INDEX:
        raise UsageError(
            "num_classes",
            found=str(num_classes),
            expected=f"1 to {IGNORE_INDEX}",
            remedy="Count the labels, background included.",
        )
    if values.size and not 0 <= values.min() <= values.max() < num_classes:
        raise UnknownLabelError(
            where,
            found=f"labels from {values.min()} to {values.max()} in annotated voxels",
            expected=f"0 to {num_classes - 1}",
            remedy="Check num_classes, and that both label maps belong to the same task.",
        )
    return values.astype(np.uint8)


def _refuse_quantities(
    spacing_mm: tuple[float, float, float], tolerance_mm: float, protocol: str
) -> None:
    if len(spacing_mm) != 3 or not all(0 < step < math.inf for step in spacing_mm):
        where, found, expected = "spacing_mm", str(spacing_mm), "three positive lengths in mm"
    elif not 0 <= tolerance_mm < math.inf:
        where, found, expected = "tolerance_mm", str(tolerance_mm), "0 mm or more"
    elif protocol not in SURFACE_PROTOCOLS:
        where, found, expected = "protocol", protocol, f"one of {', '.join(SURFACE_PROTOCOLS)}"
    else:
        return
    raise UsageError(where, found=found, expected=expected, remedy="Correct this argument.")


def _refuse_without_slices(target: _Array) -> None:
    if target.ndim == 3 and annotated_slices(target).size:
        return
    raise UsageError(
        "target",
        found=f"no annotated slice in shape {target.shape}",
        expected=f"(I, J, K) with at least one axial slice [:, :, k] free of {IGNORE_INDEX}",
        remedy="Check that k is the axial axis, or leave this case out.",
    )
