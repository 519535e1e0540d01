"""Class scores of slices: mirror averaging, averaging over networks, and overlapping tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import torch
import torchio as tio
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from saros_hf.errors import UsageError
from saros_hf.labels import MIRRORED_PARTS

from .input_spec import InputSpec, with_position

STRIDE = 32
"""Encoders halve the image five times."""

Forward: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps images (B, C, I, J) and positions (B, 2) to scores (B, classes, I, J)."""


@dataclass(frozen=True)
class PredictOptions:
    """Options for the prediction of label maps.

    Attributes:
        mirror: Mirror averaging: average the probabilities with those of the image mirrored left
            to right, with left and right labels swapped back.
        tile: Tile length in pixels. Slices longer than this along i or j are predicted in tiles
            that overlap by half; lower it to save memory.
        batch_size: Number of slices or tiles in one forward pass.
        clean: Remove small pieces, see :mod:`training.model.postprocess`.

    Raises:
        UsageError: ``tile`` or ``batch_size`` is too small.
    """

    mirror: bool = False
    tile: int = 1024
    batch_size: int = 16
    clean: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("tile", self.tile, STRIDE), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise UsageError(name, str(value), f"at least {least}")


def padded_forward(network: nn.Module, images: Tensor, position: Tensor | None = None) -> Tensor:
    """Return logits of images (B, C, I, J) of any size, padded with air to a multiple of 32.

    Args:
        network: Network for sizes that are multiples of ``STRIDE``.
        images: Images in [-1, 1].
        position: (B, 2) for a network with position channels, else ``None``.
    """
    i, j = images.shape[-2:]
    padded = functional.pad(images, (0, -j % STRIDE, 0, -i % STRIDE), value=-1.0)
    if position is not None:
        padded = with_position(padded, position)
    logits: Tensor = network(padded)
    return logits[..., :i, :j]


def slice_scores(
    networks: Sequence[nn.Module],
    images: Tensor,
    position: Tensor,
    spec: InputSpec,
    options: PredictOptions,
) -> Tensor:
    """Return scores (B, classes of all tasks, I, J); within a task the highest score wins.

    Scores are logits for one network without mirror averaging, else mean probabilities.
    """
    forwards: list[Forward] = [partial(_forward, network, spec) for network in networks]
    if options.mirror:
        forwards += [partial(_mirrored, forward, spec) for forward in tuple(forwards)]
    if max(images.shape[-2:]) > options.tile:
        forwards = [partial(_tiled, forward, options) for forward in forwards]
    if len(forwards) == 1:
        return forwards[0](images, position).float()
    total = _add_probabilities(None, forwards[0](images, position), spec)
    for forward in forwards[1:]:
        total = _add_probabilities(total, forward(images, position), spec)
    return total.div_(len(forwards))


def _add_probabilities(total: Tensor | None, scores: Tensor, spec: InputSpec) -> Tensor:
    """Add the probabilities of ``scores`` to ``total``, which starts at 0.

    In place and task by task: the scores of one batch take hundreds of megabytes.
    """
    if total is None:
        total = torch.zeros_like(scores, dtype=torch.float32)
    sums = spec.by_task(total)
    for task, logits in spec.by_task(scores).items():
        sums[task].add_(logits.float().softmax(dim=1))
    return total


def _forward(network: nn.Module, spec: InputSpec, images: Tensor, position: Tensor) -> Tensor:
    return padded_forward(network, images, position if spec.position else None)


def _mirrored(forward: Forward, spec: InputSpec, images: Tensor, position: Tensor) -> Tensor:
    """Return the scores of the mirrored images, mirrored back, left and right labels swapped."""
    scores = forward(images.flip(-2), position).flip(-2)
    parts = spec.by_task(scores).get("body-parts")
    if parts is not None:
        for one, other in MIRRORED_PARTS:
            parts[:, [one, other]] = parts[:, [other, one]]
    return scores


def _tiled(forward: Forward, options: PredictOptions, images: Tensor, position: Tensor) -> Tensor:
    """Return scores of slices that are too large for one pass, from overlapping tiles."""
    stack = images.movedim(0, -1).float().cpu()  # slices are TorchIO's third axis
    subject = tio.Subject(image=tio.ScalarImage(tensor=stack))
    i, j = (min(options.tile, length) for length in images.shape[-2:])
    # TorchIO requires even overlaps.
    sampler = tio.GridSampler(subject, (i, j, 1), (i // 4 * 2, j // 4 * 2, 0))
    aggregator = tio.GridAggregator(sampler, overlap_mode="hann")
    for batch in tio.SubjectsLoader(cast("Dataset[Any]", sampler), batch_size=options.batch_size):
        location = batch[tio.LOCATION]
        tiles = batch["image"][tio.DATA][..., 0].to(images)
        scores = forward(tiles, position[location[:, 2].to(position.device)])
        aggregator.add_batch(scores.float().cpu()[..., None], location)
    return aggregator.get_output_tensor().movedim(-1, 0).to(images.device)
