"""Hounsfield units to what a network sees, and labels to those of the mirror image."""

import math
from typing import TypeAlias

from torch import Tensor, float32

from saros_hf.errors import UsageError

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
            f"{low:g} to {high:g} HU",
            "a lower end, then an upper one",
            f"The default is {DEFAULT_WINDOW[0]:g} to {DEFAULT_WINDOW[1]:g}.",
        )


def normalise_hu(image: Tensor, window: Window) -> Tensor:
    """Map Hounsfield units to float32 in [-1, 1], clipped at both ends of ``window``."""
    low, high = window
    return image.to(float32, copy=True).clamp_(low, high).sub_(low).mul_(2 / (high - low)).sub_(1)


def to_hu(image: Tensor, window: Window) -> Tensor:
    """Undo :func:`normalise_hu`, but for what it clipped."""
    low, high = window
    return (image + 1) * ((high - low) / 2) + low
