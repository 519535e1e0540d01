"""Label maps of whole volumes, slice by slice."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .spec import InputSpec
from .transforms import normalise_hu

STRIDE = 32
"""Encoders halve the image five times."""


class Prediction(NamedTuple):
    """The label maps of one CT, in parts: Lightning takes no frozen dataclass from a step."""

    image: str
    arrays: dict[Task, NDArray[np.uint8]]
    affine: NDArray[np.float64]


def predict_maps(
    network: nn.Module,
    image: Volume,
    spec: InputSpec,
    *,
    batch_size: int = 16,
    progress: OnProgress | None = None,
) -> dict[Task, Volume]:
    """Return each task's label map of a CT on the CT's own grid and orientation.

    Args:
        network: Maps (B, C, I, J) in [-1, 1] to logits (B, classes of all tasks, I, J); in eval
            mode.
        image: Hounsfield units, any spacing and orientation.
        spec: What the network was trained on.
        batch_size: Slices at once.
        progress: Called with (slices done, slices in all).

    Returns:
        uint8 labels by task; memory is bounded by the volume, not by classes times volume.
    """
    ras = image.to_ras()
    labels = {task: np.zeros(ras.shape, np.uint8) for task in spec.tasks}
    scale = spec.in_plane_scale(float(np.mean(ras.spacing_mm[:2])))
    device = next(network.parameters()).device
    done = 0
    for slices, batch in _batches(ras, spec, batch_size):
        with torch.inference_mode():
            logits = _at_scale(network, batch.to(device), scale)
        for task, share in spec.by_task(logits).items():
            found = share.argmax(dim=1).to(torch.uint8).cpu().numpy()
            labels[task][..., slices] = np.moveaxis(found, 0, -1)
        done += len(slices)
        if progress is not None:
            progress(done, ras.shape[2])
    return {task: _turned_back(array, ras, image) for task, array in labels.items()}


def _turned_back(labels: NDArray[np.uint8], ras: Volume, image: Volume) -> Volume:
    array = Volume(labels, ras.affine).oriented(image.orientation).array
    return Volume(np.ascontiguousarray(array), image.affine)


def padded_forward(network: nn.Module, images: Tensor) -> Tensor:
    """Return logits of images (B, C, I, J) of any size, padded with air to whole strides."""
    i, j = images.shape[-2:]
    padded = functional.pad(images, (0, -j % STRIDE, 0, -i % STRIDE), value=-1.0)
    logits: Tensor = network(padded)
    return logits[..., :i, :j]


def _at_scale(network: nn.Module, images: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return padded_forward(network, images)
    size = tuple(images.shape[-2:])
    scaled = tuple(max(1, round(length * scale)) for length in size)
    resized = functional.interpolate(images, scaled, mode="bilinear", antialias=True)
    logits = padded_forward(network, resized).float()
    return functional.interpolate(logits, size, mode="bilinear")


def _batches(
    ras: Volume, spec: InputSpec, batch_size: int
) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
    depth = ras.shape[2]
    step = max(1, round(spec.slice_spacing_mm / ras.spacing_mm[2]))
    offsets = step * np.arange(-spec.context, spec.context + 1)
    for first in range(0, depth, batch_size):
        slices = np.arange(first, min(first + batch_size, depth))
        neighbours = np.clip(slices[:, None] + offsets, 0, depth - 1)
        images = np.moveaxis(ras.array[..., neighbours], (2, 3), (0, 1))
        yield slices, normalise_hu(torch.from_numpy(images.astype(np.float32)), spec.window)
