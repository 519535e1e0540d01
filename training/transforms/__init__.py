"""Hounsfield window, and the augmentation of patches that hold 255, in two forms that agree."""

from .batched import BatchedAugmentation
from .draws import Augmentation
from .per_patch import PerPatchAugmentation
from .window import (
    DEFAULT_WINDOW,
    Normalisation,
    Window,
    normalise_hu,
    refuse_bad_window,
    swap_labels,
    to_hu,
)

__all__ = [
    "DEFAULT_WINDOW",
    "Augmentation",
    "BatchedAugmentation",
    "Normalisation",
    "PerPatchAugmentation",
    "Window",
    "normalise_hu",
    "refuse_bad_window",
    "swap_labels",
    "to_hu",
]
