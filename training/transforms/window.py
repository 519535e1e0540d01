"""Hounsfield units to what a network sees, and labels to those of the mirror image."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from torch import Tensor, float32

from saros_hf.errors import UsageError
from saros_hf.labels import MIRRORED_PARTS
from training.patches import PatchBatch

Window: TypeAlias = tuple[float, float]
DEFAULT_WINDOW: Window = (-250.0, 350.0)
"""Fat, soft tissue with contrast and marrow, in Hounsfield units."""


def refuse_bad_window(window: Window) -> None:
    """Raise unless a window has a lower end, and an upper one above it.

    Raises:
        UsageError: It has not.
    """
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            "window",
            found=f"{low:g} to {high:g} HU",
            expected="a lower end, then an upper one",
            remedy=f"The default is {DEFAULT_WINDOW[0]:g} to {DEFAULT_WINDOW[1]:g}.",
        )


def normalise_hu(image: Tensor, window: Window) -> Tensor:
    """Map Hounsfield units to float32 in [-1, 1], clipped at both ends of ``window``."""
    low, high = window
    return image.to(float32, copy=True).clamp_(low, high).sub_(low).mul_(2 / (high - low)).sub_(1)


def to_hu(image: Tensor, window: Window) -> Tensor:
    """Undo :func:`normalise_hu`, but for what it clipped."""
    low, high = window
    return (image + 1) * ((high - low) / 2) + low


class Normalisation:
    """Batches as they are, but for the window.

    Args:
        window: Hounsfield units that become -1 and 1.
    """

    def __init__(self, window: Window) -> None:
        refuse_bad_window(window)
        self.window = window

    def __call__(self, batch: PatchBatch) -> PatchBatch:
        """Return the batch, its image float32 in [-1, 1]."""
        return replace(batch, image=normalise_hu(batch.image, self.window))


def mirror_labels(mask: Tensor, name: str) -> Tensor:
    """Return the labels that a mirrored map of task ``name`` has: left is right."""
    return swap_labels(mask, MIRRORED_PARTS) if name == "body-parts" else mask


def swap_labels(mask: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Return ``mask`` with the two labels of every pair exchanged."""
    swapped = mask.clone()
    for one, other in pairs:
        swapped[mask == one] = other
        swapped[mask == other] = one
    return swapped
