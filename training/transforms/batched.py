"""Augmentation of a whole batch at once, on the device that trains."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from saros_hf.labels import IGNORE_INDEX

from ..data.crop import AIR_HU
from ..data.patch_batches import PatchBatch
from ..hu_window import Window, normalise_hu, refuse_bad_window
from .augmentation import CONTROL_POINTS, MARGIN, Augmentation, Draws
from .mirror import mirror_labels


class BatchedAugmentation:
    """Random flips, deformations and intensity changes, as tensor operations on the device.

    One grid per patch and one resampling for the batch; the slices of a patch in three
    dimensions share a grid.

    Args:
        augmentation: Bounds of all changes.
        window: Hounsfield units that become -1 and 1.
    """

    def __init__(self, augmentation: Augmentation, window: Window) -> None:
        refuse_bad_window(window)
        self.augmentation = augmentation
        self.window = window

    @torch.no_grad()
    def __call__(self, batch: PatchBatch) -> PatchBatch:
        """Return the batch, its image float32 in [-1, 1]."""
        draws = self.augmentation.draw(batch.seed, len(batch.image))
        is_flat = batch.image.ndim == 4
        image = batch.image if is_flat else batch.image[:, 0].movedim(-1, 1)
        source = source_positions(draws, image.shape[-2:], image.device)
        image = resample_image(image, source)
        masks = {}
        for task, mask in batch.masks.items():
            planes = mask[:, None] if is_flat else mask.movedim(-1, 1)
            moved = resample_labels(planes, source)
            flip = torch.from_numpy(draws.flip).to(moved.device).reshape(-1, 1, 1, 1)
            moved = torch.where(flip, mirror_labels(moved, task), moved)
            masks[task] = moved[:, 0] if is_flat else moved.movedim(1, -1)
        image = _in_value(normalise_hu(image, self.window).add_(1).div_(2), draws, batch.seed)
        image = image.clamp_(0, 1).mul_(2).sub_(1)
        image = image if is_flat else image.movedim(1, -1)[:, None]
        return replace(batch, image=image, masks=masks)


def source_positions(draws: Draws, shape: torch.Size, device: torch.device) -> Tensor:
    """Return where each voxel's value comes from: (B, I, J, 2) indices along i and j."""
    size = torch.tensor(shape, dtype=torch.float32, device=device)
    middle = (size - 1) / 2
    # One array to the device; many small ones would each wait for it.
    angle = np.radians(draws.degrees)
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1)
    linear = turn.reshape(-1, 2, 2) / draws.scale[:, None, :]
    linear[:, 0] *= np.where(draws.flip, -1.0, 1.0)[:, None]
    linear_there = torch.from_numpy(linear.astype(np.float32)).to(device)
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    offset = (position - middle).expand(len(draws.flip), *shape, 2)
    if draws.control.any():
        offset = offset + _displacement(draws.control, shape, device)
    return torch.einsum("bxy,bijy->bijx", linear_there, offset) + middle


def _displacement(control: NDArray[np.float64], shape: torch.Size, device: torch.device) -> Tensor:
    along_i, along_j = (_spline_weights(n).to(device) for n in shape)
    coefficients = torch.from_numpy(control.astype(np.float32)).to(device)
    return torch.einsum("ia,bacx,jc->bijx", along_i, coefficients, along_j)


def _spline_weights(length: int) -> Tensor:
    """Return the share of each control point in each voxel, (length, 7).

    A uniform cubic B-spline over the extent of the patch and its margin.
    """
    spans = CONTROL_POINTS - 3
    voxel = torch.arange(length, dtype=torch.float64) + MARGIN + 0.5
    place = voxel / (length + 2 * MARGIN) * spans
    distance = (place[:, None] - torch.arange(CONTROL_POINTS) + 1).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).to(torch.float32)


def resample_image(image: Tensor, source: Tensor) -> Tensor:
    """Return float32 values (B, C, I, J) at ``source`` by linear interpolation, air outside."""
    *_, height, width = image.shape
    scale = source.new_tensor([2 / max(height - 1, 1), 2 / max(width - 1, 1)])
    # grid_sample wants the last axis first.
    grid = (source * scale - 1).flip(-1)
    values = functional.grid_sample(
        image.to(torch.float32), grid, padding_mode="border", align_corners=True
    )
    return values.masked_fill_(_outside(source, height, width)[:, None], AIR_HU)


def resample_labels(mask: Tensor, source: Tensor) -> Tensor:
    """Return the labels (B, M, I, J) nearest to ``source``, 255 outside."""
    *_, height, width = mask.shape
    i = source[..., 0].round().clamp_(0, height - 1)
    j = source[..., 1].round().clamp_(0, width - 1)
    nearest = (i * width + j).to(torch.int64).flatten(1)[:, None].expand(-1, mask.shape[1], -1)
    labels = mask.flatten(2).gather(2, nearest).reshape(mask.shape)
    return labels.masked_fill_(_outside(source, height, width)[:, None], IGNORE_INDEX)


def _outside(source: Tensor, height: int, width: int) -> Tensor:
    i, j = source.unbind(-1)
    return (i < -0.5) | (i > height - 0.5) | (j < -0.5) | (j > width - 0.5)


def _in_value(image: Tensor, draws: Draws, seed: int) -> Tensor:
    """Return values in [0, 1] (B, C, I, J) changed in place; patches left alone cost nothing."""
    bent = np.flatnonzero(draws.gamma != 1)
    if bent.size:
        image[bent] = image[bent].pow_(_column(draws.gamma[bent], image))
    blurred = np.flatnonzero(draws.blur.any(axis=1))
    if blurred.size:
        image[blurred] = _blurred(image[blurred], draws.blur[blurred])
    for axis in (0, 1):
        coarse = np.flatnonzero((draws.coarse_factor != 1) & (draws.coarse_axis == axis))
        if coarse.size:
            image[coarse] = _coarse(image[coarse], draws.coarse_factor[coarse], 2 + axis)
    noisy = np.flatnonzero(draws.noise)
    if noisy.size:
        generator = torch.Generator(image.device).manual_seed(seed)
        noise = torch.randn(image[noisy].shape, generator=generator, device=image.device)
        image[noisy] += noise.mul_(_column(draws.noise[noisy], image))
    return image


def _column(values: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like.device).reshape(-1, 1, 1, 1)


def _blurred(image: Tensor, std: NDArray[np.float64]) -> Tensor:
    """Return each patch under a Gaussian of its own, cut off at 4 deviations, as SciPy does it."""
    for axis in (0, 1):
        radius = max(int(4 * float(std[:, axis].max()) + 0.5), 1)
        steps = np.arange(-radius, radius + 1)
        width = np.maximum(std[:, axis, None], 1e-6)
        within = np.abs(steps) <= (4 * width + 0.5).astype(int)
        kernel = np.where(within, np.exp(-0.5 * (steps / width) ** 2), 0)
        kernel /= kernel.sum(axis=1, keepdims=True)
        weights = torch.from_numpy(kernel.astype(np.float32)).to(image.device)
        image = _convolved(image.movedim(2 + axis, -1), weights).movedim(-1, 2 + axis)
    return image


def _convolved(image: Tensor, weights: Tensor) -> Tensor:
    """Return (B, C, X, Y) convolved along Y with a kernel for each of B."""
    radius = weights.shape[1] // 2
    length = image.shape[-1]
    # Mirrored at both edges, to and fro where the kernel reaches over the whole patch.
    place = torch.arange(-radius, length + radius, device=image.device) % (2 * length)
    padded = image[..., torch.minimum(place, 2 * length - 1 - place)]
    shares = weights.reshape(len(weights), 1, 1, -1)
    shifted = (padded[..., n : n + length] * shares[..., n : n + 1] for n in range(2 * radius + 1))
    total = next(shifted).clone()
    for one in shifted:
        total += one
    return total


def _coarse(image: Tensor, factor: NDArray[np.float64], axis: int) -> Tensor:
    """Return patches that keep every so-many-th voxel along ``axis``, linear between them."""
    length = image.shape[axis]
    count = np.maximum(np.floor(length / factor), 1)[:, None]
    first = (length - 1) / 2 - (count - 1) / 2 * factor[:, None]
    place = np.clip((np.arange(length) - first) / factor[:, None], 0, count - 1)
    lower = np.floor(place)
    share = torch.from_numpy((place - lower).astype(np.float32)).to(image.device)
    shape = [-1, 1, 1, 1]
    shape[axis] = length

    def kept(step: NDArray[np.float64]) -> Tensor:
        voxel = np.floor(first + np.minimum(step, count - 1) * factor[:, None] + 0.5)
        index = torch.from_numpy(voxel.astype(np.int64)).to(image.device)
        return image.gather(axis, index.reshape(shape).expand(image.shape))

    return torch.lerp(kept(lower), kept(lower + 1), share.reshape(shape))
