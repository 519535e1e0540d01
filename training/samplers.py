"""Where a patch is cut: around annotated voxels, every label equally often."""

from collections.abc import Generator, Sequence

import numpy as np
import torch
import torchio as tio
from torchio.data.sampler.sampler import RandomSampler

from saros_hf.labels import IGNORE_INDEX

IMAGE = "image"
MASK = "mask"
AIR_HU = -1024


class AnnotatedPatchSampler(RandomSampler):
    """A torchio sampler whose every patch is centred on an annotated voxel.

    The label of the centre is drawn first, evenly over the labels present unless weighted, then
    one of its voxels. torchio's own ``LabelSampler`` counts 255 as foreground by default and
    cannot centre a patch near the border; here patches reach over it, the image padded with air
    and the mask with 255.

    Args:
        patch_size: Voxels along i, j and k; use 1 along k for 2-D patches.
        label_weights: Weight of each label id, background first; even if ``None``.
        mask_name: Name of the label map in the subject.
        rng: Source of randomness; a fresh unseeded one if ``None``.
    """

    def __init__(
        self,
        patch_size: int | tuple[int, int, int],
        *,
        label_weights: Sequence[float] | None = None,
        mask_name: str = MASK,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(patch_size)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, float)
        self.mask_name = mask_name
        self.rng = rng if rng is not None else np.random.default_rng()

    def __call__(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        """Yield ``num_patches`` patches of ``subject``, endlessly many if ``None``."""
        subject.check_consistent_space()
        return self._generate_patches(subject, num_patches)

    def _generate_patches(
        self, subject: tio.Subject, num_patches: int | None = None
    ) -> Generator[tio.Subject]:
        mask = subject.get_image(self.mask_name).numpy()[0]
        labels = np.setdiff1d(mask, [IGNORE_INDEX])
        if not labels.size:
            raise ValueError(
                f"subject: found no annotated voxel in {self.mask_name!r}, expected at least one. "
                "Leave cases without annotation out of the training set."
            )
        voxels = {int(label): np.flatnonzero(mask == label) for label in labels}
        made = 0
        while num_patches is None or made < num_patches:
            label = self.draw_label(sorted(voxels))
            yield self.patch_around(subject, self.draw_centre(voxels[label], mask.shape))
            made += 1

    def draw_label(self, present: Sequence[int]) -> int:
        """Return one of the label ids ``present``, by weight."""
        if self.label_weights is None:
            return int(self.rng.choice(present))
        weights = self.label_weights[list(present)]
        return int(self.rng.choice(present, p=weights / weights.sum()))

    def draw_centre(self, voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the (i, j, k) of one of the flat indices ``voxels`` into ``shape``."""
        return np.array(np.unravel_index(self.rng.choice(voxels), shape))

    def patch_around(self, subject: tio.Subject, centre: np.ndarray) -> tio.Subject:
        """Return the patch whose voxel ``patch_size // 2`` is ``centre``."""
        size = self.patch_size.astype(int)
        first = centre - size // 2
        images = {
            name: _window(image, first, size)
            for name, image in subject.get_images_dict(intensity_only=False).items()
        }
        patch = tio.Subject(images)
        patch[tio.LOCATION] = torch.as_tensor([*first, *(first + size)])
        return patch


def _window(image: tio.Image, first: np.ndarray, size: np.ndarray) -> tio.Image:
    """Return a box of ``image`` that may reach over its border."""
    shape = np.array(image.spatial_shape)
    inside_from = np.clip(first, 0, shape)
    inside_to = np.clip(first + size, 0, shape)
    box = image.data[(slice(None), *map(slice, inside_from, inside_to))]
    before, after = inside_from - first, first + size - inside_to
    if before.any() or after.any():
        pads = [int(n) for axis in (2, 1, 0) for n in (before[axis], after[axis])]
        value = IGNORE_INDEX if isinstance(image, tio.LabelMap) else AIR_HU
        box = torch.nn.functional.pad(box, pads, value=value)
    affine = image.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    return type(image)(tensor=box, affine=affine)
