"""Losses that are finite, with a gradient, on a batch without one annotated voxel."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX


def sparse_cross_entropy(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy over annotated voxels, 0 when the batch has none.

    That 0 still hangs on the network, so that under DDP no process waits for gradients that
    another one never sends.

    Args:
        logits: Shape (N, C, ...), any floating type; the sum is taken in float32.
        target: Shape (N, ...), 255 = not annotated.
        class_weights: Shape (C,); the mean is then weighted by each voxel's class.
    """
    return _cross_entropy(_Voxels.of(logits, target), class_weights)


def sparse_dice_loss(logits: Tensor, target: Tensor, smooth: float = 0.0) -> Tensor:
    """Return 1 - Dice of probabilities over annotated voxels, as a mean over all classes.

    Each class's Dice is that of the whole batch; a class that the truth lacks adds 0. This is
    SMP's ``DiceLoss`` in a third of its time: no one-hot maps, and the probabilities are those
    of the cross-entropy.

    Args:
        logits: Shape (N, C, ...), any floating type; sums are taken in float32.
        target: Shape (N, ...), 255 = not annotated.
        smooth: Added to the intersection and to the mean of both sizes.
    """
    return _dice_loss(_Voxels.of(logits, target), smooth)


class _Voxels(NamedTuple):
    """A batch as a list of M voxels.

    Attributes:
        log_p: (M, C) float32 logarithms of the probabilities.
        labels: (M,) ids, 0 where nothing is annotated.
        annotated: (M,) bool.
        log_p_true: (M,) of each voxel's own label.
    """

    log_p: Tensor
    labels: Tensor
    annotated: Tensor
    log_p_true: Tensor

    @classmethod
    def of(cls, logits: Tensor, target: Tensor) -> "_Voxels":
        # Of channels_last logits this is a view.
        rows = logits.movedim(1, -1).reshape(-1, logits.shape[1])
        annotated = (target != IGNORE_INDEX).reshape(-1)
        labels = target.reshape(-1).long().where(annotated, 0)
        log_p = functional.log_softmax(rows, dim=1, dtype=torch.float32)
        return cls(log_p, labels, annotated, log_p.gather(1, labels[:, None])[:, 0])


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
    mine = [voxels.labels == label for label in range(voxels.log_p.shape[1])]
    shared = torch.stack([(p_true * voxels_of).sum() for voxels_of in mine])
    true = torch.stack([(known * voxels_of).sum() for voxels_of in mine])
    predicted = known @ voxels.log_p.exp()
    dice = (shared + smooth) / ((predicted + true) / 2 + smooth).clamp(min=1e-7)
    return ((1 - dice) * (true > 0)).mean()


def balanced_weights(frequencies: NDArray[np.float64], balance: float) -> Tensor:
    """Return a weight per label: frequency to the power of ``-balance``, their mean over voxels 1.

    Args:
        frequencies: Share of each label among the training voxels, summing to 1.
        balance: 0 weighs all voxels alike, 1 gives every label the same sum of weights.

    Returns:
        Shape (labels,), float32; 0 for a label that never occurs.
    """
    occurs = frequencies > 0
    weights = np.zeros_like(frequencies)
    weights[occurs] = frequencies[occurs] ** -balance
    mean = (weights * frequencies).sum() or 1.0
    return torch.from_numpy(weights / mean).to(torch.float32)


class SparseSegmentationLoss(nn.Module):
    """Weighted sum of :func:`sparse_cross_entropy` and :func:`sparse_dice_loss`.

    A class that the batch's truth lacks is held down by the cross-entropy alone.

    Args:
        cross_entropy_weight: Factor of the cross-entropy, 0 leaves it out.
        dice_weight: Factor of the Dice loss, 0 leaves it out.
        class_weights: One weight per class for the cross-entropy, background first.
        dice_smooth: ``smooth`` of the Dice loss.
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
        # Not persistent: a checkpoint already keeps them among the hyperparameters.
        self.register_buffer("class_weights", weights, persistent=False)
        self.dice_smooth = dice_smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a float32 scalar, of logits (N, C, ...) and target (N, ...)."""
        loss = logits.new_zeros((), dtype=torch.float32)
        with torch.autocast(logits.device.type, enabled=False):
            voxels = _Voxels.of(logits, target)
            if self.cross_entropy_weight:
                loss = loss + self.cross_entropy_weight * _cross_entropy(voxels, self.class_weights)
            if self.dice_weight:
                loss = loss + self.dice_weight * _dice_loss(voxels, self.dice_smooth)
        return loss


def _refuse_weights(weights: Sequence[float], where: str) -> None:
    if weights and min(weights) >= 0 and 0 < sum(weights) < float("inf"):
        return
    raise UsageError(
        where,
        str(list(weights)),
        "finite weights of 0 or more, not all of them 0",
        "Leave a term out by giving it 0 and the other a positive weight.",
    )
