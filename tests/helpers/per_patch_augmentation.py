"""Augmentation patch by patch with TorchIO: the oracle for the batched augmentation."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torchio as tio
from torch import Tensor
from torch.nn import functional

from saros_hf.labels import IGNORE_INDEX
from training.data.crop import AIR_HU
from training.data.patch_batches import PatchBatch
from training.hu_window import Window, normalise_hu
from training.transforms.augmentation import CONTROL_POINTS, MARGIN, Augmentation, Draws
from training.transforms.mirror import mirror_labels

_IMAGE = "image"


class PerPatchAugmentation:
    """The transforms of ``BatchedAugmentation``, with the same draws, done by TorchIO."""

    def __init__(self, augmentation: Augmentation, window: Window) -> None:
        self.augmentation = augmentation
        self.window = window

    def __call__(self, batch: PatchBatch) -> PatchBatch:
        """Return the batch, its image float32 in [-1, 1]."""
        draws = self.augmentation.draw(batch.seed, len(batch.image))
        # TorchIO asks torch's global generator even for what always happens.
        with torch.random.fork_rng(devices=[]):
            subjects = [self._augmented(batch, n, draws) for n in range(len(batch.image))]
        is_flat = batch.image.ndim == 4

        def stacked(name: str) -> Tensor:
            tensors = torch.stack([subject.get_image(name).data for subject in subjects])
            return tensors[..., 0] if is_flat else tensors

        masks = {task: stacked(task)[:, 0].to(torch.uint8) for task in batch.masks}
        noise = self._noise(batch, draws)
        image = stacked(_IMAGE).add_(noise).clamp_(0, 1).mul_(2).sub_(1)
        return replace(batch, image=image, masks=masks)

    def _augmented(self, batch: PatchBatch, n: int, draws: Draws) -> tio.Subject:
        subject = _mirrored(_subject(batch, n), flip=bool(draws.flip[n]))
        for transform in _in_space(draws, n):
            subject = transform(subject)
        unit = normalise_hu(subject.get_image(_IMAGE).data, self.window).add_(1).div_(2)
        subject.get_image(_IMAGE).set_data(unit)
        for transform in _in_value(draws, n, subject):
            subject = transform(subject)
        return subject

    def _noise(self, batch: PatchBatch, draws: Draws) -> Tensor:
        generator = torch.Generator().manual_seed(batch.seed)
        std = torch.from_numpy(draws.noise).to(torch.float32)
        shape = (-1, *[1] * (batch.image.ndim - 1))
        return torch.randn(batch.image.shape, generator=generator) * std.reshape(shape)


def _subject(batch: PatchBatch, n: int) -> tio.Subject:
    """Return patch ``n`` as images (C, I, J, K), one voxel to the millimetre."""
    flat = batch.image.ndim == 4
    image = batch.image[n].to(torch.float32)
    images: dict[str, tio.Image] = {
        _IMAGE: tio.ScalarImage(tensor=image[..., None] if flat else image)
    }
    for task, masks in batch.masks.items():
        mask = masks[n][None]
        images[task] = tio.LabelMap(tensor=mask[..., None] if flat else mask)
    return tio.Subject(images)


def _mirrored(subject: tio.Subject, *, flip: bool) -> tio.Subject:
    if flip:
        for name, image in subject.get_images_dict(intensity_only=False).items():
            image.set_data(mirror_labels(image.data.flip(1), name))
    return subject


def _in_space(draws: Draws, n: int) -> Iterator[tio.Transform]:
    if draws.degrees[n] or np.any(draws.scale[n] != 1):
        yield tio.Affine(
            scales=(*draws.scale[n].tolist(), 1.0),
            degrees=(0.0, 0.0, float(draws.degrees[n])),
            translation=(0.0, 0.0, 0.0),
            default_pad_value=AIR_HU,
            default_pad_label=IGNORE_INDEX,
        )
    if draws.control[n].any():
        # TorchIO fills what an elastic deformation brings in with the smallest label there is,
        # background; with a margin of air and 255 it brings in those.
        yield tio.Lambda(lambda image: _padded(image, AIR_HU), [tio.INTENSITY])
        yield tio.Lambda(lambda mask: _padded(mask, IGNORE_INDEX), [tio.LABEL])
        yield _Bend(draws, n)
        yield tio.Crop((MARGIN, MARGIN, MARGIN, MARGIN, 0, 0))


def _in_value(draws: Draws, n: int, subject: tio.Subject) -> Iterator[tio.Transform]:
    if draws.gamma[n] != 1:
        yield tio.Gamma(float(draws.gamma[n]))
    if draws.blur[n].any():
        yield tio.Blur((*draws.blur[n].tolist(), 0.0))
    if draws.coarse_factor[n] != 1:
        factor = float(draws.coarse_factor[n])
        spacing = (1.0, factor, 1.0) if draws.coarse_axis[n] else (factor, 1.0, 1.0)
        grid = subject.spatial_shape, subject.get_image(_IMAGE).affine
        yield tio.Resample(spacing, image_interpolation="nearest", scalars_only=True)
        yield tio.Resample(grid, image_interpolation="linear", scalars_only=True)


def _padded(tensor: Tensor, value: int) -> Tensor:
    return functional.pad(tensor, (0, 0, MARGIN, MARGIN, MARGIN, MARGIN), value=value)


class _Bend(tio.ElasticDeformation):
    """TorchIO's elastic deformation, the same for every slice."""

    def __init__(self, draws: Draws, n: int) -> None:
        control = np.zeros((CONTROL_POINTS, CONTROL_POINTS, 4, 3))
        # TorchIO counts in LPS, patches in RAS.
        control[..., :2] = -draws.control[n][::-1, ::-1, None]
        largest = float(np.abs(control).max())
        super().__init__(control, (largest, largest, 0.0))

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        with warnings.catch_warnings():
            # Small patches have their control points close together.
            warnings.filterwarnings("ignore", "The maximum displacement is larger")
            return super().apply_transform(subject)
