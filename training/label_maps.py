"""Label maps that can be compared: checked, as tensors on one device."""

import math
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from saros_hf.errors import GridMismatchError, UnknownLabelError, UsageError
from saros_hf.labels import IGNORE_INDEX

LabelMap: TypeAlias = NDArray[Any] | Tensor

_MOST_CLASSES = 62
"""Of which surfaces are found at once: bits of a whole number."""


def comparable(pred: LabelMap, target: LabelMap, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return both as tensors of one shape on the device of ``target``.

    Raises:
        GridMismatchError: The shapes differ.
        UsageError: The labels are no whole numbers, or there are too many classes.
    """
    if not 1 <= num_classes <= _MOST_CLASSES:
        raise UsageError(
            "num_classes",
            found=str(num_classes),
            expected=f"1 to {_MOST_CLASSES}",
            remedy="Count the labels, background included.",
        )
    predicted, truth = _whole_numbers("prediction", pred), _whole_numbers("target", target)
    if predicted.shape != truth.shape:
        raise GridMismatchError(
            "prediction",
            found=f"shape {tuple(predicted.shape)}",
            expected=f"the target's shape {tuple(truth.shape)}",
            remedy="Bring the prediction back to the grid of the label map.",
        )
    return predicted.to(truth.device), truth


def as_labels(where: str, values: Tensor, num_classes: int) -> Tensor:
    """Return values as uint8.

    Raises:
        UnknownLabelError: One of them is no label.
    """
    if values.numel():
        low, high = (int(one) for one in torch.aminmax(values))
        if not 0 <= low <= high < num_classes:
            raise UnknownLabelError(
                where,
                found=f"labels from {low} to {high} in annotated voxels",
                expected=f"0 to {num_classes - 1}",
                remedy="Check num_classes, and that both label maps belong to the same task.",
            )
    return values.to(torch.uint8)


def annotated_slices(target: Tensor) -> Tensor:
    """Return the k of every slice (I, J, K) that has no 255, on the CPU.

    Raises:
        UsageError: There is none.
    """
    if target.ndim == 3:
        found = (target != IGNORE_INDEX).all(0).all(0).nonzero().flatten().cpu()
        if len(found):
            return found
    raise UsageError(
        "target",
        found=f"no annotated slice in shape {tuple(target.shape)}",
        expected=f"(I, J, K) with at least one axial slice [:, :, k] free of {IGNORE_INDEX}",
        remedy="Check that k is the axial axis, or leave this case out.",
    )


def refuse_spacing(spacing_mm: tuple[float, float, float]) -> None:
    """Raise if a spacing is none.

    Raises:
        UsageError: A length is missing, or not positive.
    """
    if len(spacing_mm) != 3 or not all(0 < step < math.inf for step in spacing_mm):
        raise UsageError(
            "spacing_mm",
            found=str(spacing_mm),
            expected="three positive lengths in mm",
            remedy="Correct this argument.",
        )


def _whole_numbers(where: str, labels: LabelMap) -> Tensor:
    if not isinstance(labels, Tensor) and labels.dtype.kind in "biu":
        # torch knows few unsigned types, and no negative strides.
        narrow = labels if labels.dtype.kind != "u" or labels.itemsize == 1 else labels.astype(int)
        return torch.from_numpy(narrow if _is_plain(narrow) else narrow.copy())
    if isinstance(labels, Tensor) and not labels.is_floating_point() and not labels.is_complex():
        wide = labels.dtype in (torch.uint16, torch.uint32, torch.uint64)
        return labels.detach().to(torch.int64) if wide else labels.detach()
    raise UsageError(
        where,
        found=f"labels of type {labels.dtype}",
        expected="whole numbers",
        remedy="Give label maps; of logits take the argmax over classes first.",
    )


def _is_plain(array: NDArray[Any]) -> bool:
    return array.flags.writeable and min(array.strides, default=0) >= 0
