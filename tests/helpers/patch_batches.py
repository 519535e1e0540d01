"""Batches of synthetic patches for tests of augmentation."""

import numpy as np
import torch
from scipy import ndimage

from training.data.patch_batches import PatchBatch
from training.transforms import Augmentation

WINDOW = (-250.0, 350.0)
STILL = {
    f"{name}_share": 0.0
    for name in ("flip", "affine", "elastic", "gamma", "blur", "low_resolution", "noise")
}


def only(**options: float) -> Augmentation:
    """Return an augmentation with the named changes alone."""
    return Augmentation(**{**STILL, **options})


def smooth_batch(
    seed: int = 5, *, count: int = 6, shape: tuple[int, ...] = (73, 65), depth: int | None = None
) -> PatchBatch:
    """Return smooth images with labels that follow them; the first rows are not annotated.

    With odd lengths, no voxel of a coarser grid lies half-way between two voxels.
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (count, *shape, depth or 1))
    image = ndimage.gaussian_filter(noise, [0, 5, 5, 0]) * 3000
    parts = np.clip(image / 150 + 3, 0, 6).astype(np.uint8)
    regions = np.where(parts > 3, 12, parts)
    parts[:, :6] = regions[:, :6] = 255
    if depth is None:
        image, parts, regions = (array[..., 0] for array in (image, parts, regions))
    return PatchBatch(
        image=torch.from_numpy(image.astype(np.int16))[:, None],
        masks={"body-regions": torch.from_numpy(regions), "body-parts": torch.from_numpy(parts)},
        position=torch.zeros(count, 2),
        seed=seed,
    )


def ramps(seed: int, *, count: int = 8, size: int = 48) -> PatchBatch:
    """Return channels 10 (i + 1) and 10 (j + 1), which encode the origin of a voxel.

    The left half of each slice is annotated, the right half is not.
    """
    i, j = np.indices((size, size))
    image = np.stack([10 * i + 10, 10 * j + 10]).astype(np.int16)
    mask = np.where(i < size // 2, 1 + j % 6, 255).astype(np.uint8)
    return PatchBatch(
        image=torch.from_numpy(np.repeat(image[None], count, 0)),
        masks={"body-regions": torch.from_numpy(np.repeat(mask[None], count, 0))},
        position=torch.zeros(count, 2),
        seed=seed,
    )
