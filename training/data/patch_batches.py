"""Batches of training patches; each is a function of the seed and the batch number alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX, Task, num_classes

from .crop import AIR_HU, copy_crop
from .patch_centres import Centre, CentreDraw, MaskReader
from .slice_store import SliceStore

PatchSize: TypeAlias = tuple[int, int] | tuple[int, int, int]


def refuse_thick_patches(patch_size: PatchSize) -> None:
    """Raise if three-dimensional patches are meant for a two-dimensional network.

    Raises:
        UsageError: ``patch_size`` has three numbers.
    """
    if len(patch_size) != 2:
        expected = "voxels along i and j: the networks are two-dimensional"
        remedy = "Leave out the third; --data.context gives neighbouring slices as channels."
        raise UsageError("--data.patch_size", str(list(patch_size)), expected, remedy)


@dataclass(eq=False)  # not frozen, for Lightning's conversion to another precision
class PatchBatch:
    """Input of one training step.

    Attributes:
        image: (B, C, I, J), or (B, 1, I, J, K) in three dimensions; int16 Hounsfield units as
            read, float32 in [-1, 1] once transformed.
        masks: uint8 labels (B, I, J) or (B, I, J, K) by task, 255 where not annotated.
        position: (B, 2) of the central slice, see :func:`training.model.input_spec.with_position`.
        seed: Seed for the augmentation and dropout of this batch.
    """

    image: Tensor
    masks: dict[Task, Tensor]
    position: Tensor
    seed: int

    def to(self, device: torch.device) -> "PatchBatch":
        """Return a copy on ``device``; called by Lightning."""
        return self._map(lambda tensor: tensor.to(device))

    def pin_memory(self) -> "PatchBatch":
        """Return a copy in page-locked memory; called by the data loader."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "PatchBatch":
        masks = {task: function(mask) for task, mask in self.masks.items()}
        image, position = function(self.image), function(self.position)
        return replace(self, image=image, masks=masks, position=position)


class PatchDataset(Dataset[PatchBatch]):
    """Batches of patches centred on annotated voxels, all labels equally likely by default.

    Item ``n`` is the same in every process, so runs are reproducible and no two workers or ranks
    share a random stream. Beyond the border of a slice, images are air and masks are 255.

    Args:
        store: Slices to cut patches from; every slice of each case for patches with three
            dimensions, without context.
        patch_size: Number of voxels along i and j, or along i, j and k.
        batch_size: Number of patches in one item.
        seed: Seed for all random draws.
        label_weights: Weight of each label id by task, see
            :class:`training.data.patch_centres.CentreDraw`.
    """

    def __init__(
        self,
        store: SliceStore,
        *,
        patch_size: PatchSize,
        batch_size: int,
        seed: int,
        label_weights: Mapping[Task, Sequence[float]] | None = None,
    ) -> None:
        self.store = store
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.seed = seed
        self._centres = CentreDraw(store, label_weights)

    def __getitem__(self, number: int) -> PatchBatch:
        rng = np.random.default_rng([self.seed, number])
        read_mask = cache(self.store.mask)  # unpacks a compressed mask only once
        centres = self._centres.draw(rng, self.batch_size, read_mask)
        image, masks = self._cut(centres, read_mask)
        return PatchBatch(
            image=torch.from_numpy(image),
            masks={task: torch.from_numpy(mask) for task, mask in masks.items()},
            position=torch.from_numpy(self.store.positions[[row for row, _, _ in centres]]),
            seed=int(rng.integers(2**63)),
        )

    def _cut(
        self, centres: Sequence[Centre], read_mask: MaskReader
    ) -> tuple[NDArray[np.int16], dict[Task, NDArray[np.uint8]]]:
        """Return the patches; in memory axis k comes before i and j, as in the store."""
        height, width, *depth = self.patch_size
        planes = depth[0] if depth else 1
        offsets = range(-(planes // 2), planes - planes // 2)
        channels = len(self.store.image(centres[0][0]))
        shape = len(centres), planes, height, width
        image = np.empty((*shape[:2], channels, *shape[2:]), np.int16)
        masks = {task: np.empty(shape, np.uint8) for task in self.store.tasks}
        for n, (row, i, j) in enumerate(centres):
            first = i - height // 2, j - width // 2
            rows = self.store.neighbours(row, offsets) if depth else [row]
            for k, neighbour in enumerate(rows):
                if neighbour is None:
                    image[n, k] = AIR_HU
                else:
                    copy_crop(self.store.image(neighbour), image[n, k], first, AIR_HU)
                for task, mask in masks.items():
                    if neighbour is None or not self.store.is_annotated(neighbour):
                        mask[n, k] = IGNORE_INDEX
                    else:
                        copy_crop(read_mask(task, neighbour), mask[n, k], first, IGNORE_INDEX)
        if not depth:
            return image[:, 0], {task: mask[:, 0] for task, mask in masks.items()}
        volumes = {task: np.moveaxis(mask, 1, -1) for task, mask in masks.items()}
        return np.moveaxis(image, 1, -1), volumes

    def label_frequencies(self, task: Task, patches: int = 1000) -> NDArray[np.float64]:
        """Return the fraction of each label id among the annotated voxels of the first patches.

        An annotated label that none of these patches shows gets the count of the rarest label
        that they show, so that only labels without any annotation have frequency 0.
        """
        counts = np.zeros(IGNORE_INDEX + 1, np.int64)
        height, width = self.patch_size[:2]
        patch = np.empty((height, width), np.uint8)
        for number in range(-(-patches // self.batch_size)):
            rng = np.random.default_rng([self.seed, number])
            for row, i, j in self._centres.draw(rng, self.batch_size):
                first = i - height // 2, j - width // 2
                copy_crop(self.store.mask(task, row), patch, first, IGNORE_INDEX)
                counts += np.bincount(patch.reshape(-1), minlength=len(counts))
        shown = counts[: num_classes(task)]
        annotated = np.array([label.rows.size > 0 for label in self.store.index[task]])
        shown[annotated & (shown == 0)] = min(shown[shown > 0], default=1)
        frequencies: NDArray[np.float64] = shown / max(shown.sum(), 1)
        return frequencies
