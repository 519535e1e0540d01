"""Segmentation losses that ignore voxels without annotation, and batches that have nothing else.

Both terms are finite and have a gradient even if no voxel of a batch is annotated.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

__all__ = [
    "SparseSegmentationLoss",
    "balanced_weights",
    "sparse_cross_entropy",
    "sparse_dice_loss",
]


def sparse_cross_entropy(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy over annotated voxels, 0 if there are none.

    The zero stays in the graph so that DDP does not deadlock.

    Args:
        logits: Shape (N, C, ...), any floating type; computed in float32.
        target: Shape (N, ...), 255 = not annotated.
        class_weights: Shape (C,); weights of a weighted mean, by the class of each voxel.

    Example:
        >>> logits = torch.zeros(1, 2, 3)
        >>> sparse_cross_entropy(logits, torch.tensor([[0, 1, 255]])).item()  # log 2
        0.6931471824645996
    """
    return _cross_entropy(_voxels(logits, target), class_weights)


def sparse_dice_loss(logits: Tensor, target: Tensor, smooth: float = 0.0) -> Tensor:
    """Return the mean over all classes of 1 - soft Dice over annotated voxels.

    The Dice of a class is computed over the whole batch; a class that is not in the target adds 0.
    Equal to SMP's ``DiceLoss``, but about three times as fast: it needs no one-hot maps and shares
    the softmax with the cross-entropy.

    Args:
        logits: Shape (N, C, ...), any floating type; computed in float32.
        target: Shape (N, ...), 255 = not annotated.
        smooth: Added to the intersection and to the mean of both sizes.
    """
    return _dice_loss(_voxels(logits, target), smooth)


class _Voxels(NamedTuple):
    """A batch as a list of M voxels.

    Attributes:
        log_p: (M, C) log-probabilities, float32.
        labels: (M,) label ids, 0 where not annotated.
        annotated: (M,) bool.
        log_p_true: (M,) log-probability of each voxel's label.
    """

    log_p: Tensor
    labels: Tensor
    annotated: Tensor
    log_p_true: Tensor


def _voxels(logits: Tensor, target: Tensor) -> _Voxels:
    # A view if the logits are channels_last.
    rows = logits.movedim(1, -1).reshape(-1, logits.shape[1])
    annotated = (target != IGNORE_INDEX).reshape(-1)
    labels = target.reshape(-1).long().where(annotated, 0)
    log_p = functional.log_softmax(rows, dim=1, dtype=torch.float32)
    return _Voxels(log_p, labels, annotated, log_p.gather(1, labels[:, None])[:, 0])


def _cross_entropy(voxels: _Voxels, class_weights: Tensor | None) -> Tensor:
    weights = voxels.annotated.float()
    if class_weights is not None:
        weights = weights * class_weights.to(weights)[voxels.labels]
    mass = weights.sum()
    return -(voxels.log_p_true * weights).sum() / mass.where(mass > 0, 1)


def _dice_loss(voxels: _Voxels, smooth: float) -> Tensor:
    known = voxels.annotated.float()
    p_true = voxels.log_p_true.exp() * known
    # Class by class: a scattered sum is not deterministic on CUDA.
    masks = [voxels.labels == label for label in range(voxels.log_p.shape[1])]
    shared = torch.stack([(p_true * mask).sum() for mask in masks])
    true = torch.stack([(known * mask).sum() for mask in masks])
    predicted = known @ voxels.log_p.exp()
    dice = (shared + smooth) / ((predicted + true) / 2 + smooth).clamp(min=1e-7)
    return ((1 - dice) * (true > 0)).mean()


def balanced_weights(frequencies: NDArray[np.float64], balance: float) -> Tensor:
    """Return class weights ``frequency ** -balance``, scaled to a mean of 1 over voxels.

    Args:
        frequencies: Shape (labels,), fraction of the training voxels with each label.
        balance: 0 gives all voxels the same weight, 1 all labels the same total weight.

    Returns:
        Shape (labels,), float32; 0 for a label that never occurs.

    Example:
        >>> balanced_weights(np.array([0.25, 0.75, 0.0]), 1.0).tolist()
        [2.0, 0.6666666865348816, 0.0]
    """
    occurs = frequencies > 0
    weights = np.zeros_like(frequencies)
    weights[occurs] = frequencies[occurs] ** -balance
    mean = (weights * frequencies).sum() or 1.0
    return torch.from_numpy(weights / mean).to(torch.float32)


class SparseSegmentationLoss(nn.Module):
    """The weighted sum of :func:`sparse_cross_entropy` and :func:`sparse_dice_loss`.

    Only the cross-entropy penalises predictions of a class that is not in the batch's target.

    Args:
        cross_entropy_weight: Weight of the cross-entropy; 0 omits it.
        dice_weight: Weight of the Dice loss; 0 omits it.
        class_weights: Weight of each class in the cross-entropy, background first.
        dice_smooth: Argument ``smooth`` of the Dice loss.

    Raises:
        UsageError: Weights are negative or not finite, or all of them are 0.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        cross_entropy_weight: float = 1.0,
        dice_weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        dice_smooth: float = 0.0,
    ) -> None:
        super().__init__()
        _refuse_weights([cross_entropy_weight, dice_weight], "cross_entropy_weight, dice_weight")
        self.cross_entropy_weight = cross_entropy_weight
        self.dice_weight = dice_weight
        weights = None
        if class_weights is not None:
            _refuse_weights(class_weights, "class_weights")
            weights = torch.tensor(class_weights, dtype=torch.float32)
        # Not persistent: a checkpoint has them among its hyperparameters.
        self.register_buffer("class_weights", weights, persistent=False)
        self.dice_smooth = dice_smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a float32 scalar, of logits (N, C, ...) and target (N, ...)."""
        loss = logits.new_zeros((), dtype=torch.float32)
        with torch.autocast(logits.device.type, enabled=False):
            voxels = _voxels(logits, target)
            if self.cross_entropy_weight:
                loss = loss + self.cross_entropy_weight * _cross_entropy(voxels, self.class_weights)
            if self.dice_weight:
                loss = loss + self.dice_weight * _dice_loss(voxels, self.dice_smooth)
        return loss


def _refuse_weights(weights: Sequence[float], where: str) -> None:
    if not (weights and min(weights) >= 0 and 0 < sum(weights) < float("inf")):
        expected = "finite weights of 0 or more, not all of them 0"
        raise UsageError(where, str(list(weights)), expected)
