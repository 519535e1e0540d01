"""Checks of the label maps and spacings that users pass to :mod:`training.functional`."""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from saros_hf.errors import GridMismatchError, UnknownLabelError, UsageError
from saros_hf.labels import IGNORE_INDEX
from saros_hf.volume import annotated_slices

LabelMap: TypeAlias = NDArray[Any] | Tensor

_MOST_CLASSES = 62
"""Number of label bits in an int64."""


def comparable(
    pred: LabelMap, target: LabelMap, num_classes: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both maps as arrays with the last axis moved to the front: (K, I, J) from (I, J, K).

    Raises:
        GridMismatchError: The shapes differ.
        UsageError: The labels are not integers, or there are too many classes.
    """
    if not 1 <= num_classes <= _MOST_CLASSES:
        raise UsageError("num_classes", str(num_classes), f"1 to {_MOST_CLASSES} with background")
    predicted, truth = _integers("prediction", pred), _integers("target", target)
    if predicted.shape != truth.shape:
        found, expected = f"shape {predicted.shape}", f"the target's shape {truth.shape}"
        raise GridMismatchError("prediction", found, expected)
    if not truth.ndim:
        return predicted.reshape(1), truth.reshape(1)
    return np.moveaxis(predicted, -1, 0), np.moveaxis(truth, -1, 0)


def as_labels(where: str, values: NDArray[Any], num_classes: int) -> NDArray[np.uint8]:
    """Return values as uint8.

    Raises:
        UnknownLabelError: A value is not between 0 and ``num_classes`` - 1.
    """
    if values.size and not 0 <= values.min() <= values.max() < num_classes:
        found = f"labels from {values.min()} to {values.max()} in annotated voxels"
        remedy = "Check num_classes, and that both label maps belong to the same task."
        raise UnknownLabelError(where, found, f"0 to {num_classes - 1}", remedy)
    return values.astype(np.uint8, copy=False)


def required_slices(truth: NDArray[Any]) -> NDArray[np.intp]:
    """Return the index k of every annotated slice of a map (K, I, J).

    Raises:
        UsageError: No slice is annotated.
    """
    if truth.ndim == 3:
        slices = annotated_slices(np.moveaxis(truth, 0, -1))
        if slices.size:
            return slices
    raise UsageError(
        "target",
        f"no annotated slice in shape {(*truth.shape[1:], len(truth))}",
        f"(I, J, K) with at least one axial slice [:, :, k] free of {IGNORE_INDEX}",
        "Check that k is the axial axis, or leave this case out.",
    )


def refuse_spacing(spacing_mm: tuple[float, float, float]) -> None:
    """Raise ``UsageError`` unless a spacing has three positive values."""
    if len(spacing_mm) != 3 or not all(0 < step < math.inf for step in spacing_mm):
        raise UsageError("spacing_mm", str(spacing_mm), "three positive lengths in mm")


def _integers(where: str, labels: LabelMap) -> NDArray[Any]:
    # numpy has no bfloat16, so the dtype of a tensor is checked before it is converted.
    if isinstance(labels, Tensor) and labels.is_floating_point():
        kind = str(labels.dtype)
    else:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
        if array.dtype.kind in "biu":
            return array
        kind = str(array.dtype)
    remedy = "Take the argmax of logits over the classes first."
    raise UsageError(where, f"labels of type {kind}", "integers", remedy)
