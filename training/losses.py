"""Losses that are finite, with a gradient, on a batch without one annotated voxel."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.losses import DiceLoss
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
    labels = target.long()
    annotated = labels != IGNORE_INDEX
    weights = None if class_weights is None else class_weights.to(logits.device, torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        # Summed here, because CUDA's own sum inside this loss is not deterministic.
        total = functional.cross_entropy(
            logits.float(), labels, weights, ignore_index=IGNORE_INDEX, reduction="none"
        ).sum()
    if weights is None:
        return total / annotated.sum().clamp(min=1)
    mass = (weights[labels.where(annotated, 0)] * annotated).sum()
    return total / mass.where(mass > 0, 1)


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
    return torch.from_numpy(weights / (weights * frequencies).sum()).to(torch.float32)


class SparseSegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy and SMP's Dice loss over annotated voxels.

    The Dice loss pools the batch and averages over all classes; a class that the batch's truth
    lacks adds 0 to it and is held down by the cross-entropy alone.

    Args:
        cross_entropy_weight: Factor of the cross-entropy, 0 leaves it out.
        dice_weight: Factor of the Dice loss, 0 leaves it out.
        class_weights: One weight per class for the cross-entropy, background first.
        dice_smooth: Added to numerator and denominator of each class's Dice score.
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
        self.dice = DiceLoss(
            mode="multiclass", from_logits=True, smooth=dice_smooth, ignore_index=IGNORE_INDEX
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a float32 scalar, of logits (N, C, ...) and target (N, ...)."""
        loss = logits.new_zeros((), dtype=torch.float32)
        if self.cross_entropy_weight:
            entropy = sparse_cross_entropy(logits, target, self.class_weights)
            loss = loss + self.cross_entropy_weight * entropy
        if self.dice_weight:
            with torch.autocast(logits.device.type, enabled=False):
                loss = loss + self.dice_weight * self.dice(logits.float(), target.long())
        return loss


def _refuse_weights(weights: Sequence[float], where: str) -> None:
    if weights and min(weights) >= 0 and 0 < sum(weights) < float("inf"):
        return
    raise UsageError(
        where,
        found=str(list(weights)),
        expected="finite weights of 0 or more, not all of them 0",
        remedy="Leave a term out by giving it 0 and the other a positive weight.",
    )
