"""What augmentation may do to patches, and what it does to those of one batch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError

CONTROL_POINTS = 7
"""Of the elastic displacement along i and j; the outer two rows stand still, as in TorchIO."""

MARGIN = 3
"""Voxels around a patch that is bent; its border moves by at most a sixth of the displacement."""

_LOCKED = 2

_BOUNDS: dict[str, tuple[float, float]] = {
    "degrees": (0, 180),
    "scale": (0, 0.9),  # a factor below 0 would mirror and leave the sides' labels
    "low_resolution_factor": (1, math.inf),
}


@dataclass(frozen=True)
class Augmentation:
    """Bounds of all random changes; every one stays in the axial plane.

    A rotation out of it would smear one annotated slice over its unannotated neighbours.

    Attributes:
        flip_share: Patches that are mirrored left to right; their side labels trade places.
        affine_share: Patches that are rotated and scaled.
        degrees: Largest rotation about the body's long axis.
        scale: Largest relative change of size, drawn for i and j each.
        elastic_share: Patches that are bent.
        elastic_voxels: Largest displacement of a control point.
        gamma_share: Patches whose contrast is bent.
        log_gamma: Largest natural logarithm of the exponent of values in [0, 1].
        blur_share: Patches that are blurred.
        blur_voxels: Largest standard deviation of the Gaussian, drawn for i and j each.
        low_resolution_share: Patches that are sampled more coarsely along i or j.
        low_resolution_factor: Largest factor of the voxel size.
        noise_share: Patches that get noise.
        noise_std: Largest standard deviation, as a share of the window.

    Raises:
        UsageError: A share is not from 0 to 1, or a bound is below what changes nothing.
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
                raise UsageError(
                    f"augmentation.{name}",
                    str(value),
                    f"{low} or more" if high == math.inf else f"{low} to {high}",
                    f"The default is {type(self).__dataclass_fields__[name].default}.",
                )

    def draw(self, seed: int, count: int) -> "Draws":
        """Return what happens to ``count`` patches, a function of ``seed``."""
        rng = np.random.default_rng(seed)

        def happens(share: float, *trailing: int) -> NDArray[np.bool_]:
            return (rng.random(count) < share).reshape(count, *trailing)

        def up_to(bound: float, *trailing: int) -> NDArray[np.float64]:
            return rng.uniform(-bound, bound, (count, *trailing))

        affine = happens(self.affine_share)
        inner = CONTROL_POINTS - 2 * _LOCKED
        control = np.zeros((count, CONTROL_POINTS, CONTROL_POINTS, 2))
        control[:, _LOCKED:-_LOCKED, _LOCKED:-_LOCKED] = up_to(
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
    """What happens to each of B patches, in this order.

    Attributes:
        flip: (B,) mirror along i.
        degrees: (B,) rotation from i towards j, about the middle.
        scale: (B, 2) magnification along i and j, after the rotation.
        control: (B, 7, 7, 2) cubic B-spline coefficients of the displacement in voxels from a
            place in the outcome to where its value comes from.
        gamma: (B,) exponent of values in [0, 1].
        blur: (B, 2) standard deviation in voxels.
        coarse_axis: (B,) 0 or 1, along which the patch is sampled more coarsely.
        coarse_factor: (B,) of the voxel size.
        noise: (B,) standard deviation of what is added to values in [0, 1].
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
