"""Bounds of the augmentation, and the random draws for one batch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError

CONTROL_POINTS = 7
"""Control points of the elastic deformation per axis; the outer two rows are fixed, as in TorchIO."""

MARGIN = 3
"""Voxels around a deformed patch; its border moves by at most a sixth of the displacement."""

_FIXED = 2

_BOUNDS: dict[str, tuple[float, float]] = {
    "degrees": (0, 180),
    "scale": (0, 0.9),  # a negative factor would mirror without swapping left and right labels
    "low_resolution_factor": (1, math.inf),
}


@dataclass(frozen=True)
class Augmentation:
    """Bounds of all random changes, which stay in the axial plane.

    A rotation out of that plane would smear one annotated slice over its unannotated neighbours.

    Attributes:
        flip_share: Fraction of patches mirrored left to right, with left and right labels swapped.
        affine_share: Fraction of patches rotated and scaled.
        degrees: Largest rotation about the long axis of the body.
        scale: Largest relative change of size, drawn for i and j separately.
        elastic_share: Fraction of patches deformed elastically.
        elastic_voxels: Largest displacement of a control point in voxels.
        gamma_share: Fraction of patches with a gamma change of contrast.
        log_gamma: Largest natural logarithm of gamma, the exponent of values in [0, 1].
        blur_share: Fraction of patches blurred.
        blur_voxels: Largest standard deviation of the Gaussian, drawn for i and j separately.
        low_resolution_share: Fraction of patches resampled to a lower resolution along i or j.
        low_resolution_factor: Largest factor by which voxels grow.
        noise_share: Fraction of patches with Gaussian noise.
        noise_std: Largest standard deviation, as a fraction of the HU window.

    Raises:
        UsageError: A fraction is not from 0 to 1, or a bound is out of range.
    """

    flip_share: float = 0.5
    affine_share: float = 0.7
    degrees: float = 10.0
    scale: float = 0.15
    elastic_share: float = 0.2
    elastic_voxels: float = 6.0
    gamma_share: float = 0.3
    log_gamma: float = 0.3
    blur_share: float = 0.2
    blur_voxels: float = 1.0
    low_resolution_share: float = 0.2
    low_resolution_factor: float = 2.0
    noise_share: float = 0.4
    noise_std: float = 0.025

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low, high = _BOUNDS.get(name, (0, 1 if name.endswith("_share") else math.inf))
            if not (math.isfinite(value) and low <= value <= high):
                expected = f"{low} or more" if high == math.inf else f"{low} to {high}"
                default = f"The default is {type(self).__dataclass_fields__[name].default}."
                raise UsageError(f"augmentation.{name}", str(value), expected, default)

    def draw(self, seed: int, count: int) -> "Draws":
        """Return the draws for ``count`` patches, a function of ``seed``."""
        rng = np.random.default_rng(seed)

        def happens(chance: float, *trailing: int) -> NDArray[np.bool_]:
            return (rng.random(count) < chance).reshape(count, *trailing)

        def up_to(bound: float, *trailing: int) -> NDArray[np.float64]:
            return rng.uniform(-bound, bound, (count, *trailing))

        affine = happens(self.affine_share)
        inner = CONTROL_POINTS - 2 * _FIXED
        control = np.zeros((count, CONTROL_POINTS, CONTROL_POINTS, 2))
        control[:, _FIXED:-_FIXED, _FIXED:-_FIXED] = up_to(
            self.elastic_voxels, inner, inner, 2
        ) * happens(self.elastic_share, 1, 1, 1)
        coarser = rng.uniform(1, self.low_resolution_factor, count)
        return Draws(
            flip=happens(self.flip_share),
            degrees=up_to(self.degrees) * affine,
            scale=1 + up_to(self.scale, 2) * affine[:, None],
            control=control,
            gamma=np.exp(up_to(self.log_gamma) * happens(self.gamma_share)),
            blur=rng.uniform(0, self.blur_voxels, (count, 2)) * happens(self.blur_share, 1),
            coarse_axis=rng.integers(0, 2, count),
            coarse_factor=np.where(happens(self.low_resolution_share), coarser, 1.0),
            noise=rng.uniform(0, self.noise_std, count) * happens(self.noise_share),
        )


@dataclass(frozen=True, eq=False)
class Draws:
    """Random changes of B patches, applied in this order.

    Attributes:
        flip: (B,) whether to mirror along i.
        degrees: (B,) rotation from i towards j about the centre of the patch.
        scale: (B, 2) magnification along i and j, after the rotation.
        control: (B, 7, 7, 2) cubic B-spline coefficients of the displacement in voxels, from a
            position in the result to its source.
        gamma: (B,) exponent of values in [0, 1].
        blur: (B, 2) standard deviation in voxels along i and j.
        coarse_axis: (B,) axis of the lower resolution, 0 or 1.
        coarse_factor: (B,) factor of the voxel size along that axis.
        noise: (B,) standard deviation of the noise added to values in [0, 1].
    """

    flip: NDArray[np.bool_]
    degrees: NDArray[np.float64]
    scale: NDArray[np.float64]
    control: NDArray[np.float64]
    gamma: NDArray[np.float64]
    blur: NDArray[np.float64]
    coarse_axis: NDArray[np.intp]
    coarse_factor: NDArray[np.float64]
    noise: NDArray[np.float64]
