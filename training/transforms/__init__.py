"""Hounsfield window, and the augmentation of patches that hold 255, in two forms that agree."""

from ..hu_window import DEFAULT_WINDOW, Window, normalise_hu, refuse_bad_window, to_hu
from .augmentation import Augmentation
from .batched import BatchedAugmentation
from .mirror import swap_labels
from .normalisation import Normalisation
from .per_patch import PerPatchAugmentation

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
