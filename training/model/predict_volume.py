"""Label maps of whole volumes, slice by slice."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..transforms import normalise_hu
from .input_spec import InputSpec
from .postprocess import cleaned
from .test_time_averaging import PredictOptions, slice_scores


class Prediction(NamedTuple):
    """The label maps of one CT, in parts: Lightning takes no frozen dataclass from a step."""

    image: str
    arrays: dict[Task, NDArray[np.uint8]]
    affine: NDArray[np.float64]


def predict_maps(
    networks: Sequence[nn.Module],
    image: Volume,
    spec: InputSpec,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    *,
    slices: Sequence[int] | None = None,
    progress: OnProgress | None = None,
) -> dict[Task, Volume]:
    """Return each task's label map of a CT on the CT's own grid and orientation.

    Args:
        networks: Each maps (B, C, I, J) in [-1, 1] to logits (B, classes of all tasks, I, J); in
            eval mode. Of several, such as one per fold, the probabilities are averaged.
        image: Hounsfield units, any spacing and orientation.
        spec: What the networks were trained on.
        options: Averaging over mirror images, tiles, clean-up.
        slices: Axial slices to label, counted from the feet, all if ``None``; others stay background.
        progress: Called with (slices done, slices in all).

    Returns:
        uint8 labels by task; memory is bounded by the volume, not by classes times volume.
    """
    ras = image.to_ras()
    labels = {task: np.zeros(ras.shape, np.uint8) for task in spec.tasks}
    scales = [spec.in_plane_scale(step) for step in ras.spacing_mm[:2]]
    device = next(networks[0].parameters()).device
    chosen = np.arange(ras.shape[2]) if slices is None else np.asarray(slices)
    for first in range(0, len(chosen), options.batch_size):
        few = chosen[first : first + options.batch_size]
        batch, position = _slices(ras, few, spec), _position(few, ras).to(device)
        with torch.inference_mode():
            resized = _resized(batch.to(device), scales)
            scores = slice_scores(networks, resized, position, spec, options)
            scores = _to_size(scores, ras.shape[:2])
        for task, share in spec.by_task(scores).items():
            found = share.argmax(dim=1).to(torch.uint8).cpu().numpy()
            labels[task][..., few] = np.moveaxis(found, 0, -1)
        if progress is not None:
            progress(first + len(few), len(chosen))
    if options.clean:
        labels = {task: cleaned(array, task) for task, array in labels.items()}
    return {task: _turned_back(array, ras, image) for task, array in labels.items()}


def _turned_back(labels: NDArray[np.uint8], ras: Volume, image: Volume) -> Volume:
    array = Volume(labels, ras.affine).oriented(image.orientation).array
    return Volume(np.ascontiguousarray(array), image.affine)


def _resized(images: Tensor, scales: Sequence[float]) -> Tensor:
    """Return images whose spacing along i and along j is one that the networks were trained on."""
    sides = zip(images.shape[-2:], scales, strict=True)
    size = [max(1, round(length * scale)) for length, scale in sides]
    if size == list(images.shape[-2:]):
        return images
    return functional.interpolate(images, size, mode="bilinear", antialias=True)


def _to_size(scores: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(scores.shape[-2:]) == size:
        return scores
    return functional.interpolate(scores, size, mode="bilinear")


def _position(slices: NDArray[np.intp], ras: Volume) -> Tensor:
    """Return height in mm and share of the scan (N, 2) of slices counted from the feet."""
    heights = slices * ras.spacing_mm[2]
    shares = slices / max(ras.shape[2] - 1, 1)
    return torch.from_numpy(np.stack([heights, shares], axis=1).astype(np.float32))


def _slices(ras: Volume, slices: NDArray[np.intp], spec: InputSpec) -> Tensor:
    """Return slices with their neighbours as channels (N, C, I, J), in [-1, 1]."""
    step = max(1, round(spec.slice_spacing_mm / ras.spacing_mm[2]))
    offsets = step * np.arange(-spec.context, spec.context + 1)
    neighbours = np.clip(slices[:, None] + offsets, 0, ras.shape[2] - 1)
    images = np.moveaxis(ras.array[..., neighbours], (2, 3), (0, 1))
    return normalise_hu(torch.from_numpy(images.astype(np.float32)), spec.window)
