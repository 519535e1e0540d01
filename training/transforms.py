"""Hounsfield window and in-plane augmentation of patches that hold 255."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torchio as tio
from torch import Tensor

from saros_hf.labels import IGNORE_INDEX, MIRRORED_PARTS, Task

from .samplers import AIR_HU, MASK

Window: TypeAlias = tuple[float, float]
DEFAULT_WINDOW: Window = (-250.0, 350.0)
"""Fat, soft tissue with contrast and marrow, in Hounsfield units."""


def normalise_hu(image: Tensor, window: Window) -> Tensor:
    """Map Hounsfield units to float32 in [-1, 1], clipped at both ends of ``window``."""
    low, high = window
    return image.to(torch.float32).clamp(low, high).sub_(low).mul_(2 / (high - low)).sub_(1)


def in_plane_augmentation(
    *, scale: float = 0.15, degrees: float = 10.0, noise_hu: float = 15.0
) -> tio.Transform:
    """Return random scaling, rotation and noise that never leave the axial plane.

    Rotating out of it would smear one annotated slice over its unannotated neighbours. What
    comes in from outside the patch is air in the image and 255, not background, in the mask.

    Args:
        scale: Largest relative change of size.
        degrees: Largest rotation about the body's long axis.
        noise_hu: Largest standard deviation of added noise.
    """
    smallest, largest = 1 - scale, 1 + scale
    return tio.Compose(
        [
            tio.RandomAffine(
                scales=(smallest, largest, smallest, largest, 1, 1),
                degrees=(0, 0, 0, 0, -degrees, degrees),
                default_pad_value=AIR_HU,
                default_pad_label=IGNORE_INDEX,
                p=0.7,
            ),
            tio.RandomNoise(std=(0, noise_hu), p=0.5),
        ]
    )


def flip_left_right(patch: tio.Subject, task: Task) -> tio.Subject:
    """Return the mirror image, with left and right arm and leg labels trading places."""
    flipped = tio.Subject(
        {
            name: type(image)(tensor=image.data.flip(1), affine=image.affine)
            for name, image in patch.get_images_dict(intensity_only=False).items()
        }
    )
    if task == "body-parts":
        mask = flipped.get_image(MASK)
        mask.set_data(swap_labels(mask.data, MIRRORED_PARTS))
    return flipped


def swap_labels(mask: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Return ``mask`` with the two labels of every pair exchanged."""
    swapped = mask.clone()
    for one, other in pairs:
        swapped[mask == one] = other
        swapped[mask == other] = one
    return swapped
