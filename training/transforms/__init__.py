"""Hounsfield window and augmentation of patches in which unannotated voxels are 255."""

from ..hu_window import DEFAULT_WINDOW, Window, normalise_hu, refuse_bad_window, to_hu
from .augmentation import Augmentation
from .batched import BatchedAugmentation
from .mirror import swap_labels
from .normalisation import Normalisation

__all__ = [
    "DEFAULT_WINDOW",
    "Augmentation",
    "BatchedAugmentation",
    "Normalisation",
    "Window",
    "normalise_hu",
    "refuse_bad_window",
    "swap_labels",
    "to_hu",
]
