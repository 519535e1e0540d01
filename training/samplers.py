"""TorchIO sampler of patches around annotated voxels, all labels equally likely."""

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

from .data.crop import AIR_HU, copy_crop
from .data.label_weights import refuse_bad_weights

__all__ = ["AnnotatedPatchSampler"]


class AnnotatedPatchSampler(RandomSampler):
    """TorchIO sampler that centres every patch on an annotated voxel.

    The label of the centre is drawn first, evenly over the labels of the subject unless weighted,
    then one voxel of that label. TorchIO's ``LabelSampler`` counts 255 as foreground by default
    and cannot centre a patch near the border. Here patches may reach over the border: images are
    padded with air, label maps with 255. Draws depend on (seed, epoch, rank, worker) and on the
    number of subjects seen before.

    Args:
        patch_size: Number of voxels along i, j and k; use 1 along k for 2-D patches.
        label_weights: Weight of each label id, background first; equal weights if ``None``.
        mask_name: Name of the label map to draw centres from.
        context: Number of neighbouring slices on each side that become channels of a 2-D patch;
            the outermost slice is repeated at the ends of the scan.
        pad_value: Value beyond the border of an image: one number for all images, or a number by
            name, air (-1024) for images not named. Set it for images that are not in HU.
        seed: Seed for all random draws.

    Raises:
        UsageError: An option cannot be used.

    Example:
        >>> mask = torch.full((1, 16, 16, 10), 255, dtype=torch.uint8)
        >>> mask[..., 4] = 1  # the annotated slice
        >>> image = tio.ScalarImage(tensor=torch.zeros(1, 16, 16, 10))
        >>> subject = tio.Subject(image=image, mask=tio.LabelMap(tensor=mask))
        >>> patch = next(AnnotatedPatchSampler((8, 8, 1), seed=0)(subject))
        >>> patch.spatial_shape, int(patch["mask"].data[0, 4, 4, 0])
        ((8, 8, 1), 1)
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
            found = f"{context} with patches of {self.patch_size[2]} slices"
            raise UsageError("context", found, "patches of one", "Set patch_size to (I, J, 1).")
        if label_weights is not None:
            refuse_bad_weights("label_weights", label_weights)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, float)
        self.mask_name = mask_name
        self.context = context
        self.pad_value = pad_value
        self.seed = seed
        # Epoch number and count of set_epoch calls, in shared memory so that persistent workers
        # see the next epoch.
        self._epoch = torch.zeros(2, dtype=torch.int64).share_memory_()
        self._rank_of_parent = 0
        self._epochs_begun = 0
        self._subjects_seen = 0

    def __getstate__(self) -> dict[str, Any]:
        """Include the rank of this process: a spawned worker cannot ask for it."""
        return self.__dict__ | {"_rank_of_parent": self._rank()}

    def set_epoch(self, epoch: int) -> None:
        """Start the draws of an epoch, as with ``DistributedSampler``, in workers as well."""
        self._epoch[0] = epoch
        self._epoch[1] += 1

    def __call__(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        """Yield ``num_patches`` patches of ``subject``, or patches without end if ``None``.

        Raises:
            UsageError: The subject has no annotated voxel, no label with a weight above 0, or an
                image whose data type cannot hold its ``pad_value``.
        """
        subject.check_consistent_space()
        return self._generate_patches(subject, num_patches)

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        rng = self._generator()
        mask = subject.get_image(self.mask_name).numpy()[0]
        labels = self._labels(mask)
        chances = self._chances(labels)
        voxels = {int(label): np.flatnonzero(mask == label) for label in labels}
        made = 0
        while num_patches is None or made < num_patches:
            label = int(rng.choice(labels, p=chances))
            centre = np.unravel_index(rng.choice(voxels[label]), mask.shape)
            yield self._patch_around(subject, np.array(centre))
            made += 1

    def _labels(self, mask: NDArray[Any]) -> NDArray[np.intp]:
        """Return the label ids in a mask, which TorchIO's transforms may have made floats."""
        labels = np.setdiff1d(mask, [IGNORE_INDEX])
        if not labels.size:
            found = f"no annotated voxel in {self.mask_name!r}"
            remedy = "Leave cases without annotation out of the training set."
            raise UsageError("subject", found, "at least one", remedy)
        bad = labels[~np.isin(labels, range(IGNORE_INDEX))]
        if bad.size:
            found = f"{bad[0]:g} in {self.mask_name!r}"
            remedy = "Interpolate label maps with the nearest neighbour."
            raise UsageError("subject", found, "label ids, whole numbers from 0 on", remedy)
        return labels.astype(np.intp)

    def _chances(self, labels: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return the probability of each of the labels of a subject."""
        if self.label_weights is None:
            return None
        if labels.max() >= len(self.label_weights):
            found = f"{len(self.label_weights)}, and label {labels.max()} in a subject"
            raise UsageError("label_weights", found, "one for each label id, background first")
        weights: NDArray[np.float64] = self.label_weights[labels]
        if not weights.any():
            found = f"0 for each label of a subject, {', '.join(map(str, labels))}"
            remedy = "Leave such subjects out of the training set."
            raise UsageError("label_weights", found, "one above 0 among them", remedy)
        chances: NDArray[np.float64] = weights / weights.sum()
        return chances

    def _generator(self) -> np.random.Generator:
        epoch, begun = self._epoch.tolist()
        if begun != self._epochs_begun:
            self._epochs_begun, self._subjects_seen = begun, 0
        self._subjects_seen += 1
        worker = get_worker_info()
        number = 0 if worker is None else 1 + worker.id
        return np.random.default_rng([self.seed, epoch, self._rank(), number, self._subjects_seen])

    def _rank(self) -> int:
        return distributed.get_rank() if distributed.is_initialized() else self._rank_of_parent

    def _patch_around(self, subject: tio.Subject, centre: NDArray[np.intp]) -> tio.Subject:
        """Return a copy of the subject cropped so that voxel ``patch_size // 2`` is ``centre``."""
        size = self.patch_size.astype(int)
        first = centre - size // 2
        patch = copy.copy(subject)
        for name, image in subject.get_images_dict(intensity_only=False).items():
            if isinstance(image, tio.LabelMap):
                patch[name] = _crop(image, first, size, IGNORE_INDEX)
            else:
                patch[name] = _crop(image, first, size, self._padding(name, image), self.context)
        patch[tio.LOCATION] = torch.as_tensor([*first, *(first + size)])
        patch.update_attributes()
        patch.applied_transforms = list(subject.applied_transforms)
        return patch

    def _padding(self, name: str, image: tio.Image) -> float:
        given = self.pad_value
        value = given.get(name, AIR_HU) if isinstance(given, Mapping) else given
        dtype = image.numpy().dtype
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            found = f"{value} for the {dtype} image {name!r}"
            raise UsageError("pad_value", found, f"{np.iinfo(dtype).min} to {np.iinfo(dtype).max}")
        return value


def _crop(
    image: tio.Image,
    first: NDArray[np.intp],
    size: NDArray[np.intp],
    outside: float,
    context: int = 0,
) -> tio.Image:
    """Return a crop of ``image`` that may reach over its border, neighbours as channels."""
    source = image.numpy()
    crops = []
    for offset in range(-context, context + 1):
        i, j, k = first.tolist()
        if context:  # at the ends of the scan, repeat the outermost slice
            k = min(max(k + offset, 0), source.shape[-1] - 1)
        crops.append(np.empty((len(source), *size), source.dtype))
        copy_crop(source, crops[-1], (i, j, k), outside)
    affine = image.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    return type(image)(tensor=torch.from_numpy(np.concatenate(crops)), affine=affine)
