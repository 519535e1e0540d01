"""Label maps of whole volumes, predicted slice by slice."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saros_hf.errors import UsageError
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..transforms import normalise_hu
from .input_spec import InputSpec
from .postprocess import cleaned
from .test_time_averaging import PredictOptions, slice_scores


class Prediction(NamedTuple):
    """Label maps of one CT as plain parts: a step may not return a frozen dataclass."""

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
    """Return the label map of each task on the grid and orientation of a CT.

    Args:
        networks: Networks in eval mode that map (B, C, I, J) in [-1, 1] to logits (B, classes of
            all tasks, I, J). The probabilities of several, such as one per fold, are averaged.
        image: CT in Hounsfield units with any spacing and orientation.
        spec: Input that the networks were trained on.
        options: Mirror averaging, tiles and clean-up.
        slices: Axial slices to label, counted from the feet, all if ``None``; the others stay
            background.
        progress: Called with (slices done, slices in all).

    Returns:
        uint8 labels by task. Memory grows with the volume, not with classes times volume.

    Raises:
        UsageError: The networks return NaN.
    """
    ras = image.to_ras()
    labels = {task: np.zeros(ras.shape, np.uint8) for task in spec.tasks}
    like = next(networks[0].parameters())  # float32, unless trained in another precision
    chosen = np.arange(ras.shape[2]) if slices is None else np.asarray(slices)
    for first in range(0, len(chosen), options.batch_size):
        batch = chosen[first : first + options.batch_size]
        images = _images(ras, batch, spec).to(like.device)
        position = _position(batch, ras).to(like.device)
        with torch.inference_mode():
            resized = _resized(images, ras, spec).to(like.dtype)
            scores = slice_scores(networks, resized, position, spec, options)
            if scores.shape[-2:] != images.shape[-2:]:
                scores = functional.interpolate(scores, images.shape[-2:], mode="bilinear")
        if scores.isnan().any():  # argmax would call it background
            remedy = "Try --precision 32-true; else the weights are damaged."
            raise UsageError("the network", "scores of NaN", "numbers", remedy)
        for task, of_task in spec.by_task(scores).items():
            found = of_task.argmax(dim=1).to(torch.uint8).cpu().numpy()
            labels[task][..., batch] = np.moveaxis(found, 0, -1)
        if progress is not None:
            progress(first + len(batch), len(chosen))
    if options.clean:
        labels = {task: cleaned(array, task) for task, array in labels.items()}
    return {task: _on_grid_of(image, array, ras) for task, array in labels.items()}


def _on_grid_of(image: Volume, labels: NDArray[np.uint8], ras: Volume) -> Volume:
    array = Volume(labels, ras.affine).oriented(image.orientation).array
    return Volume(np.ascontiguousarray(array), image.affine)


def _resized(images: Tensor, ras: Volume, spec: InputSpec) -> Tensor:
    """Return images with an in-plane spacing that the networks were trained on."""
    sides = zip(images.shape[-2:], ras.spacing_mm[:2], strict=True)
    size = [max(1, round(length * spec.in_plane_scale(spacing))) for length, spacing in sides]
    if size == list(images.shape[-2:]):
        return images
    return functional.interpolate(images, size, mode="bilinear", antialias=True)


def _position(slices: NDArray[np.intp], ras: Volume) -> Tensor:
    """Return the height in mm and the fraction of the scan below (N, 2) of slices."""
    heights = slices * ras.spacing_mm[2]
    fractions = slices / max(ras.shape[2] - 1, 1)
    return torch.from_numpy(np.stack([heights, fractions], axis=1).astype(np.float32))


def _images(ras: Volume, slices: NDArray[np.intp], spec: InputSpec) -> Tensor:
    """Return slices with their neighbours as channels (N, C, I, J), in [-1, 1]."""
    step = max(1, round(spec.slice_spacing_mm / ras.spacing_mm[2]))
    offsets = step * np.arange(-spec.context, spec.context + 1)
    neighbours = np.clip(slices[:, None] + offsets, 0, ras.shape[2] - 1)
    images = np.moveaxis(ras.array[..., neighbours], (2, 3), (0, 1))
    return normalise_hu(torch.from_numpy(images.astype(np.float32)), spec.window)
