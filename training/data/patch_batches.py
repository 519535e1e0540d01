"""Batches of training patches: a pure function of (seed, number)."""

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

from .crop import AIR_HU, copy_window
from .patch_centres import Centre, CentreDraw, MaskOf
from .slice_store import SliceStore

PatchSize: TypeAlias = tuple[int, int] | tuple[int, int, int]
_Arrays: TypeAlias = tuple[NDArray[np.int16], dict[Task, NDArray[np.uint8]]]


def refuse_thick_patches(patch_size: PatchSize) -> None:
    """Raise if a network that sees one slice at a time would get patches of several.

    Raises:
        UsageError: Patches have three dimensions.
    """
    if len(patch_size) != 2:
        raise UsageError(
            "--data.patch_size",
            str(list(patch_size)),
            "voxels along i and j: the networks are two-dimensional",
            "Leave out the third; --data.context gives neighbouring slices as channels.",
        )


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """What a training step receives.

    Attributes:
        image: (B, C, I, J), or (B, 1, I, J, K) in three dimensions: int16 Hounsfield units as
            read, float32 in [-1, 1] once transformed.
        masks: For each task uint8 labels (B, I, J) or (B, I, J, K), 255 where nothing is known.
        position: (B, 2) of the slice in the middle, as of :func:`training.model.input_spec.with_position`.
        seed: Of all that is random about the batch.
    """

    image: Tensor
    masks: dict[Task, Tensor]
    position: Tensor
    seed: int

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "PatchBatch":
        """Return a copy on ``device``; Lightning calls this."""
        return self._each(lambda one: one.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "PatchBatch":
        """Return a copy in page-locked memory; the loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, function: Callable[[Tensor], Tensor]) -> "PatchBatch":
        masks = {task: function(mask) for task, mask in self.masks.items()}
        return replace(
            self, image=function(self.image), masks=masks, position=function(self.position)
        )


class PatchDataset(Dataset[PatchBatch]):
    """Batches of patches around annotated voxels, the labels drawn evenly.

    Item ``n`` is the same whatever process asks for it, so that runs repeat and no two workers
    or ranks share a stream. What lies beyond the border is air and 255.

    Args:
        store: Annotated slices to cut from.
        patch_size: Voxels along i and j, or along i, j and k.
        batch_size: Patches of an item.
        seed: Seed of all draws.
        label_weights: As of :class:`training.data.patch_centres.CentreDraw`.
        transform: Applied to every batch, in the process that cuts it.

    Raises:
        UsageError: Patches in three dimensions of slices that have neighbours as channels.
    """

    def __init__(
        self,
        store: SliceStore,
        *,
        patch_size: PatchSize,
        batch_size: int,
        seed: int,
        label_weights: Mapping[Task, Sequence[float]] | None = None,
        transform: Callable[[PatchBatch], PatchBatch] | None = None,
    ) -> None:
        self.store = store
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.seed = seed
        self.transform = transform
        self._centres = CentreDraw(store, label_weights)
        self._channels = len(store.image(int(store.annotated[0])))
        if len(patch_size) == 3 and self._channels > 1:
            raise UsageError(
                "context",
                f"{self._channels // 2} with patches in three dimensions",
                "0, since they hold the neighbouring slices",
                "Leave context out, or give patch_size two numbers.",
            )

    def __getitem__(self, number: int) -> PatchBatch:
        rng = np.random.default_rng([self.seed, number])
        mask_of = cache(self.store.mask)  # a packed one is unpacked once
        centres = self._centres.draw(rng, self.batch_size, mask_of)
        cut = self._stacked if len(self.patch_size) == 3 else self._flat
        image, masks = cut(centres, mask_of)
        batch = PatchBatch(
            image=torch.from_numpy(image),
            masks={task: torch.from_numpy(mask) for task, mask in masks.items()},
            position=torch.from_numpy(self.store.positions[[row for row, _, _ in centres]]),
            seed=int(rng.integers(2**63)),
        )
        return batch if self.transform is None else self.transform(batch)

    def _flat(self, centres: Sequence[Centre], mask_of: MaskOf) -> _Arrays:
        size = self.patch_size[:2]
        image, masks = self._empty((self._channels, *size), size)
        for n, (row, i, j) in enumerate(centres):
            first = i - size[0] // 2, j - size[1] // 2
            copy_window(self.store.image(row), image[n], first, AIR_HU)
            for task, mask in masks.items():
                copy_window(mask_of(task, row), mask[n], first, IGNORE_INDEX)
        return image, masks

    def _stacked(self, centres: Sequence[Centre], mask_of: MaskOf) -> _Arrays:
        """Return patches with an axis k; in memory it comes before i and j, as in the store."""
        *size, depth = self.patch_size
        image, masks = self._empty((depth, *size), (depth, *size))
        offsets = range(-(depth // 2), depth - depth // 2)
        for n, (row, i, j) in enumerate(centres):
            first = i - size[0] // 2, j - size[1] // 2
            for k, neighbour in enumerate(self.store.neighbours(row, offsets)):
                planes = {task: mask[n, k] for task, mask in masks.items()}
                self._copy_plane(neighbour, first, image[n, k], planes, mask_of)
        volumes = {task: np.moveaxis(mask, 1, -1) for task, mask in masks.items()}
        return np.moveaxis(image, 1, -1)[:, None], volumes

    def _copy_plane(
        self,
        row: int | None,
        first: tuple[int, int],
        image: NDArray[np.int16],
        masks: dict[Task, NDArray[np.uint8]],
        mask_of: MaskOf,
    ) -> None:
        if row is None:
            image[...] = AIR_HU
        else:
            copy_window(self.store.image(row)[0], image, first, AIR_HU)
        for task, mask in masks.items():
            if row is None or not self.store.is_annotated(row):
                mask[...] = IGNORE_INDEX
            else:
                copy_window(mask_of(task, row), mask, first, IGNORE_INDEX)

    def _empty(self, image: tuple[int, ...], mask: tuple[int, ...]) -> _Arrays:
        masks: dict[Task, NDArray[np.uint8]] = {
            task: np.empty((self.batch_size, *mask), np.uint8) for task in self.store.tasks
        }
        return np.empty((self.batch_size, *image), np.int16), masks

    def label_frequencies(self, task: Task, patches: int = 1000) -> NDArray[np.float64]:
        """Return the share of each label id in the annotated voxels of the first patches.

        A label that none of them shows though the slices hold it counts as the rarest that is
        shown: 0 is for labels that nobody annotated.
        """
        counts = np.zeros(IGNORE_INDEX + 1, np.int64)
        size = self.patch_size[:2]
        window = np.empty(size, np.uint8)
        for number in range(-(-patches // self.batch_size)):
            rng = np.random.default_rng([self.seed, number])
            for row, i, j in self._centres.draw(rng, self.batch_size):
                first = i - size[0] // 2, j - size[1] // 2
                copy_window(self.store.mask(task, row), window, first, IGNORE_INDEX)
                counts += np.bincount(window.reshape(-1), minlength=len(counts))
        shown = counts[: num_classes(task)]
        held = np.array([one.rows.size > 0 for one in self.store.index[task]])
        shown[held & (shown == 0)] = min(shown[shown > 0], default=1)
        frequencies: NDArray[np.float64] = shown / max(shown.sum(), 1)
        return frequencies
