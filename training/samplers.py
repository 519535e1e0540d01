"""Where TorchIO cuts a patch: around annotated voxels, every label equally often."""

import copy
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import get_worker_info
from torchio.data.sampler.sampler import RandomSampler

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .data.crop import AIR_HU, copy_window
from .data.label_weights import refuse_bad_weights


class AnnotatedPatchSampler(RandomSampler):
    """A torchio sampler whose every patch is centred on an annotated voxel.

    The label of the centre is drawn first, evenly over the labels present unless weighted, then
    one of its voxels. torchio's own ``LabelSampler`` counts 255 as foreground by default and
    cannot centre a patch near the border; here patches reach over it, the image padded with air
    and the mask with 255. Draws are a function of (seed, epoch, rank, worker) and of how many
    subjects came before.

    Args:
        patch_size: Voxels along i, j and k; use 1 along k for 2-D patches.
        label_weights: Weight of each label id, background first; even if ``None``.
        mask_name: Name of the label map that is drawn from.
        context: Neighbouring slices on each side that a 2-D patch gets as channels of its images,
            the outermost repeated at the ends of the scan.
        pad_value: What lies beyond the border of an image: air in Hounsfield units, unless they
            were rescaled before. One for all images, or by name; those not named get air.
        seed: Of all draws.

    Raises:
        UsageError: An option cannot be used.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int, int],
        *,
        label_weights: Sequence[float] | None = None,
        mask_name: str = "mask",
        context: int = 0,
        pad_value: float | Mapping[str, float] = AIR_HU,
        seed: int = 0,
    ) -> None:
        super().__init__(patch_size)
        if context and self.patch_size[2] != 1:
            raise UsageError(
                "context",
                f"{context} with patches of {self.patch_size[2]} slices",
                "patches of one",
                "Set patch_size to (I, J, 1).",
            )
        if label_weights is not None:
            refuse_bad_weights("label_weights", label_weights)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, float)
        self.mask_name = mask_name
        self.context = context
        self.pad_value = pad_value
        self.seed = seed
        # Shared, so that workers that outlive an epoch hear of the next: its number, and how
        # often one was begun.
        self._epoch = torch.zeros(2, dtype=torch.int64).share_memory_()
        self._rank_of_parent = 0
        self._epochs_begun = 0
        self._subjects_seen = 0

    def __getstate__(self) -> dict[str, Any]:
        """Take this process's rank along: a spawned worker cannot ask for it."""
        return self.__dict__ | {"_rank_of_parent": self._rank()}

    def set_epoch(self, epoch: int) -> None:
        """Begin the draws of an epoch, as ``DistributedSampler`` does; workers hear of it."""
        self._epoch[0] = epoch
        self._epoch[1] += 1

    def __call__(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        """Yield ``num_patches`` patches of ``subject``, endlessly many if ``None``.

        Raises:
            UsageError: The subject has no annotated voxel, none of the labels that have a weight,
                or an image that cannot hold its ``pad_value``.
        """
        subject.check_consistent_space()
        return self._generate_patches(subject, num_patches)

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        rng = self._generator()
        mask = subject.get_image(self.mask_name).numpy()[0]
        labels = np.setdiff1d(mask, [IGNORE_INDEX])
        if not labels.size:
            raise UsageError(
                "subject",
                f"no annotated voxel in {self.mask_name!r}",
                "at least one",
                "Leave cases without annotation out of the training set.",
            )
        weights = self._weights(labels)
        voxels = {int(label): np.flatnonzero(mask == label) for label in labels}
        made = 0
        while num_patches is None or made < num_patches:
            label = int(rng.choice(labels, p=weights))
            centre = np.unravel_index(rng.choice(voxels[label]), mask.shape)
            yield self._patch_around(subject, np.array(centre))
            made += 1

    def _weights(self, labels: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return the chance of each of the labels that a subject has."""
        if self.label_weights is None:
            return None
        if labels.max() >= len(self.label_weights):
            raise UsageError(
                "label_weights",
                f"{len(self.label_weights)}, and label {labels.max()} in a subject",
                "one for each label id, background first",
                "Add the missing ones; 0 leaves a label out.",
            )
        weights: NDArray[np.float64] = self.label_weights[labels]
        if not weights.any():
            raise UsageError(
                "label_weights",
                f"0 for each label of a subject, {', '.join(map(str, labels))}",
                "one above 0 among them",
                "Leave subjects without the labels that are weighted out.",
            )
        shares: NDArray[np.float64] = weights / weights.sum()
        return shares

    def _generator(self) -> np.random.Generator:
        epoch, begun = self._epoch.tolist()
        if begun != self._epochs_begun:
            self._epochs_begun, self._subjects_seen = begun, 0
        self._subjects_seen += 1
        worker = get_worker_info()
        place = self._rank(), 0 if worker is None else 1 + worker.id
        return np.random.default_rng([self.seed, epoch, *place, self._subjects_seen])

    def _rank(self) -> int:
        return distributed.get_rank() if distributed.is_initialized() else self._rank_of_parent

    def _patch_around(self, subject: tio.Subject, centre: NDArray[np.intp]) -> tio.Subject:
        """Return the patch whose voxel ``patch_size // 2`` is ``centre``, and all else as it is."""
        size = self.patch_size.astype(int)
        first = centre - size // 2
        patch = copy.copy(subject)
        for name, image in subject.get_images_dict(intensity_only=False).items():
            if isinstance(image, tio.LabelMap):
                patch[name] = _window(image, first, size, IGNORE_INDEX)
                continue
            outside = self._pad_value(name, image)
            if self.context:
                patch[name] = self._with_context(image, first, size, outside)
            else:
                patch[name] = _window(image, first, size, outside)
        patch[tio.LOCATION] = torch.as_tensor([*first, *(first + size)])
        patch.update_attributes()
        patch.applied_transforms = list(subject.applied_transforms)
        return patch

    def _pad_value(self, name: str, image: tio.Image) -> float:
        given = self.pad_value
        value = given.get(name, AIR_HU) if isinstance(given, Mapping) else given
        dtype = image.numpy().dtype
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise UsageError(
                "pad_value",
                f"{value} for the {dtype} image {name!r}",
                f"{np.iinfo(dtype).min} to {np.iinfo(dtype).max}",
                "Say what lies beyond the border of such images.",
            )
        return value

    def _with_context(
        self, image: tio.Image, first: NDArray[np.intp], size: NDArray[np.intp], outside: float
    ) -> tio.Image:
        last = image.spatial_shape[2] - 1
        slices = np.clip(first[2] + np.arange(-self.context, self.context + 1), 0, last)
        planes = [
            _window(image, np.array([*first[:2], k]), size, outside).data for k in slices.tolist()
        ]
        affine = _window(image, first, size, outside).affine
        return type(image)(tensor=torch.cat(planes), affine=affine)


def _window(
    image: tio.Image, first: NDArray[np.intp], size: NDArray[np.intp], outside: float
) -> tio.Image:
    """Return a box of ``image`` that may reach over its border."""
    source = image.numpy()
    box = np.empty((len(source), *size), source.dtype)
    copy_window(source, box, first.tolist(), outside)
    affine = image.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    return type(image)(tensor=torch.from_numpy(box), affine=affine)
