"""The HU window: maps Hounsfield units to network input in [-1, 1] and back."""

import math
from typing import TypeAlias

from torch import Tensor, float32

from saros_hf.errors import UsageError

__all__ = ["DEFAULT_WINDOW", "Window", "normalise_hu", "refuse_bad_window", "to_hu"]

Window: TypeAlias = tuple[float, float]
"""Hounsfield units at the lower and upper end of the window."""

DEFAULT_WINDOW: Window = (-250.0, 350.0)
"""Covers fat, contrast-enhanced soft tissue and marrow, in Hounsfield units."""


def refuse_bad_window(window: Window) -> None:
    """Raise unless a window has finite ends, the lower one first.

    Raises:
        UsageError: An end is not finite, or the lower end is not below the upper one.
    """
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        found, expected = f"{low:g} to {high:g} HU", "a lower end, then an upper one"
        default = f"The default is {DEFAULT_WINDOW[0]:g} to {DEFAULT_WINDOW[1]:g}."
        raise UsageError("window", found, expected, default)


def normalise_hu(image: Tensor, window: Window) -> Tensor:
    """Map Hounsfield units to float32 in [-1, 1], clipped at both ends of ``window``.

    Example:
        >>> import torch
        >>> normalise_hu(torch.tensor([-1024, -250, 50, 350, 2000]), (-250.0, 350.0)).tolist()
        [-1.0, -1.0, 0.0, 1.0, 1.0]
    """
    low, high = window
    return image.to(float32, copy=True).clamp_(low, high).sub_(low).mul_(2 / (high - low)).sub_(1)


def to_hu(image: Tensor, window: Window) -> Tensor:
    """Invert :func:`normalise_hu`; clipped values stay at the ends of the window."""
    low, high = window
    return (image + 1) * ((high - low) / 2) + low
