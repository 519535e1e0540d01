"""Training patches: a pure function of (seed, epoch, index)."""

from collections.abc import Iterator
from typing import Any, TypedDict, cast

import numpy as np
import torch
import torchio as tio
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from saros_hf.labels import IGNORE_INDEX, Task

from .samplers import IMAGE, MASK, AnnotatedPatchSampler
from .store import SliceStore
from .transforms import Window, flip_left_right, in_plane_augmentation, normalise_hu


class PatchBatch(TypedDict):
    """What a training step receives; a single patch lacks the batch axis.

    Attributes:
        image: float32 (B, C, I, J) in [-1, 1].
        mask: int64 (B, I, J), 255 where nothing is known.
    """

    image: Tensor
    mask: Tensor


class PatchDataset(Dataset[PatchBatch]):
    """Patches of annotated slices, the label of their centre drawn evenly over all labels.

    Item ``n`` is the same whatever process asks for it, so that runs repeat and no two workers
    or ranks share a stream.

    Args:
        store: Annotated slices to cut from.
        task: Decides which labels a mirrored patch exchanges.
        patch_size: Voxels along i and j.
        window: Hounsfield units that become -1 and 1.
        augment: Scale, rotate, mirror and add noise.
        seed: Seed of all draws.
    """

    def __init__(
        self,
        store: SliceStore,
        *,
        task: Task,
        patch_size: tuple[int, int],
        window: Window,
        augment: bool,
        seed: int,
    ) -> None:
        self.store = store
        self.task = task
        self.patch_size = (*patch_size, 1)
        self.window = window
        self.augmentation = in_plane_augmentation() if augment else None
        self.seed = seed
        self._present = [label for label, found in enumerate(store.slices_with) if found.size]

    def __getitem__(self, index: int) -> PatchBatch:
        patch = self._augment(*self._cut(index))
        return {
            "image": normalise_hu(patch.get_image(IMAGE).data[..., 0], self.window),
            "mask": patch.get_image(MASK).data[0, ..., 0].to(torch.int64),
        }

    def _cut(self, index: int) -> tuple[np.random.Generator, tio.Subject]:
        """Return patch ``index`` and the generator, for what else is drawn for it."""
        rng = np.random.default_rng([self.seed, index])
        sampler = AnnotatedPatchSampler(self.patch_size, rng=rng)
        label = sampler.draw_label(self._present)
        annotated = self.store[int(rng.choice(self.store.slices_with[label]))]
        voxels = np.flatnonzero(annotated.mask == label)
        centre = sampler.draw_centre(voxels, (*annotated.mask.shape, 1))
        subject = slice_subject(annotated.image, annotated.mask)
        return rng, sampler.patch_around(subject, centre)

    def label_frequencies(self, patches: int = 200) -> NDArray[np.float64]:
        """Return the share of each label id in the annotated voxels of the first patches."""
        counts = np.zeros(len(self.store.slices_with), np.int64)
        for index in range(patches):
            _, patch = self._cut(index)
            labels = patch.get_image(MASK).numpy()
            counts += np.bincount(labels[labels != IGNORE_INDEX], minlength=len(counts))
        frequencies: NDArray[np.float64] = counts / counts.sum()
        return frequencies

    def _augment(self, rng: np.random.Generator, patch: tio.Subject) -> tio.Subject:
        if self.augmentation is None:
            return patch
        if rng.random() < 0.5:
            patch = flip_left_right(patch, self.task)
        # torchio draws from torch's global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            return self.augmentation(patch)


class EpochSampler(DistributedSampler[Any]):
    """Hands rank r of w the item numbers r, r + w, ... of the current epoch.

    A ``DistributedSampler``, so that Lightning tells it the epoch and leaves it in place.

    Args:
        patches_per_epoch: Patches of one epoch over all ranks.
        world_size: Number of ranks.
        rank: This process's number.
    """

    def __init__(self, patches_per_epoch: int, *, world_size: int, rank: int) -> None:
        super().__init__(cast("Dataset[Any]", range(patches_per_epoch)), world_size, rank)
        self.per_rank = patches_per_epoch // world_size

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.per_rank * self.num_replicas + self.rank
        return iter(range(first, first + self.per_rank * self.num_replicas, self.num_replicas))

    def __len__(self) -> int:
        return self.per_rank


def slice_subject(image: np.ndarray, mask: np.ndarray) -> tio.Subject:
    """Return a torchio subject of one slice: image (C, I, J, 1) float32, mask (1, I, J, 1)."""
    return tio.Subject(
        {
            IMAGE: tio.ScalarImage(tensor=torch.from_numpy(image.astype(np.float32))[..., None]),
            MASK: tio.LabelMap(tensor=torch.from_numpy(mask.copy())[None, ..., None]),
        }
    )
