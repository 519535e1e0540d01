"""Label maps that can be compared: checked, as numpy arrays with the axial slices in front."""

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
"""Of which surfaces are found at once: bits of a whole number."""


def comparable(
    pred: LabelMap, target: LabelMap, num_classes: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as arrays of one shape, the last axis in front: (K, I, J) of (I, J, K).

    Raises:
        GridMismatchError: The shapes differ.
        UsageError: The labels are no whole numbers, or there are too many classes.
    """
    if not 1 <= num_classes <= _MOST_CLASSES:
        raise UsageError(
            "num_classes",
            str(num_classes),
            f"1 to {_MOST_CLASSES}",
            "Count the labels, background included.",
        )
    predicted, truth = _whole_numbers("prediction", pred), _whole_numbers("target", target)
    if predicted.shape != truth.shape:
        raise GridMismatchError(
            "prediction",
            f"shape {predicted.shape}",
            f"the target's shape {truth.shape}",
            "Bring the prediction back to the grid of the label map.",
        )
    if not truth.ndim:
        return predicted.reshape(1), truth.reshape(1)
    return np.moveaxis(predicted, -1, 0), np.moveaxis(truth, -1, 0)


def as_labels(where: str, values: NDArray[Any], num_classes: int) -> NDArray[np.uint8]:
    """Return values as uint8.

    Raises:
        UnknownLabelError: One of them is no label.
    """
    if values.size:
        low, high = values.min(), values.max()
        if not 0 <= low <= high < num_classes:
            raise UnknownLabelError(
                where,
                f"labels from {low} to {high} in annotated voxels",
                f"0 to {num_classes - 1}",
                "Check num_classes, and that both label maps belong to the same task.",
            )
    return values.astype(np.uint8, copy=False)


def required_slices(truth: NDArray[Any]) -> NDArray[np.intp]:
    """Return the k of every annotated slice of a map (K, I, J).

    Raises:
        UsageError: There is none.
    """
    if truth.ndim == 3:
        found = annotated_slices(np.moveaxis(truth, 0, -1))
        if found.size:
            return found
    raise UsageError(
        "target",
        f"no annotated slice in shape {(*truth.shape[1:], len(truth))}",
        f"(I, J, K) with at least one axial slice [:, :, k] free of {IGNORE_INDEX}",
        "Check that k is the axial axis, or leave this case out.",
    )


def refuse_spacing(spacing_mm: tuple[float, float, float]) -> None:
    """Raise if a spacing is none.

    Raises:
        UsageError: A length is missing, or not positive.
    """
    if len(spacing_mm) != 3 or not all(0 < step < math.inf for step in spacing_mm):
        raise UsageError("spacing_mm", str(spacing_mm), "three positive lengths in mm")


def _whole_numbers(where: str, labels: LabelMap) -> NDArray[Any]:
    # numpy has no bfloat16, so a tensor is asked before it is converted.
    if isinstance(labels, Tensor) and labels.is_floating_point():
        kind = str(labels.dtype)
    else:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
        if array.dtype.kind in "biu":
            return array
        kind = str(array.dtype)
    raise UsageError(
        where,
        f"labels of type {kind}",
        "whole numbers",
        "Give label maps; of logits take the argmax over classes first.",
    )
