"""Where TorchIO cuts a patch: around annotated voxels, every label equally often."""

from collections.abc import Generator, Sequence

import numpy as np
import torch
import torchio as tio
from torch import distributed
from torch.utils.data import get_worker_info
from torchio.data.sampler.sampler import RandomSampler

from saros_hf.labels import IGNORE_INDEX

from .windows import AIR_HU, copy_window


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
        seed: Of all draws.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int, int],
        *,
        label_weights: Sequence[float] | None = None,
        mask_name: str = "mask",
        context: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(patch_size)
        if context and self.patch_size[2] != 1:
            raise ValueError(
                f"context: found {context} with patches of {self.patch_size[2]} slices, expected "
                "patches of one. Set patch_size to (I, J, 1)."
            )
        self.label_weights = None if label_weights is None else np.asarray(label_weights, float)
        self.mask_name = mask_name
        self.context = context
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Begin the draws of an epoch, as ``DistributedSampler`` does."""
        self._epoch = epoch
        self._subjects_seen = 0

    def __call__(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        """Yield ``num_patches`` patches of ``subject``, endlessly many if ``None``."""
        subject.check_consistent_space()
        return self._generate_patches(subject, num_patches)

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        rng = self._generator()
        mask = subject.get_image(self.mask_name).numpy()[0]
        labels = np.setdiff1d(mask, [IGNORE_INDEX])
        if not labels.size:
            raise ValueError(
                f"subject: found no annotated voxel in {self.mask_name!r}, expected at least one. "
                "Leave cases without annotation out of the training set."
            )
        weights = None
        if self.label_weights is not None:
            weights = self.label_weights[labels] / self.label_weights[labels].sum()
        voxels = {int(label): np.flatnonzero(mask == label) for label in labels}
        made = 0
        while num_patches is None or made < num_patches:
            label = int(rng.choice(labels, p=weights))
            centre = np.unravel_index(rng.choice(voxels[label]), mask.shape)
            yield self._patch_around(subject, np.array(centre))
            made += 1

    def _generator(self) -> np.random.Generator:
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        worker = get_worker_info()
        place = (rank, 0 if worker is None else 1 + worker.id)
        self._subjects_seen += 1
        return np.random.default_rng([self.seed, self._epoch, *place, self._subjects_seen])

    def _patch_around(self, subject: tio.Subject, centre: np.ndarray) -> tio.Subject:
        """Return the patch whose voxel ``patch_size // 2`` is ``centre``."""
        size = self.patch_size.astype(int)
        first = centre - size // 2
        images: dict[str, tio.Image] = {}
        for name, image in subject.get_images_dict(intensity_only=False).items():
            is_mask = isinstance(image, tio.LabelMap)
            if self.context and not is_mask:
                images[name] = self._with_context(image, first, size)
            else:
                outside = IGNORE_INDEX if is_mask else AIR_HU
                images[name] = _window(image, first, size, outside)
        patch = tio.Subject(images)
        patch[tio.LOCATION] = torch.as_tensor([*first, *(first + size)])
        return patch

    def _with_context(self, image: tio.Image, first: np.ndarray, size: np.ndarray) -> tio.Image:
        last = image.spatial_shape[2] - 1
        slices = np.clip(first[2] + np.arange(-self.context, self.context + 1), 0, last)
        planes = [
            _window(image, np.array([*first[:2], k]), size, AIR_HU).data for k in slices.tolist()
        ]
        affine = _window(image, first, size, AIR_HU).affine
        return type(image)(tensor=torch.cat(planes), affine=affine)


def _window(image: tio.Image, first: np.ndarray, size: np.ndarray, outside: int) -> tio.Image:
    """Return a box of ``image`` that may reach over its border."""
    source = image.numpy()
    box = np.empty((len(source), *size), source.dtype)
    copy_window(source, box, first.tolist(), outside)
    affine = image.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    return type(image)(tensor=torch.from_numpy(box), affine=affine)
