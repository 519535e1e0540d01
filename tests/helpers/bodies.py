"""Bodies made of cylinders, whose areas and volumes are known by formula."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saros_hf.labels import BodyPart, BodyRegion
from saros_hf.volume import Volume

AFFINE = np.array([[-1.5, 0, 0, 90.0], [0, -1.5, 0, 90.0], [0, 0, 4.0, -200.0], [0, 0, 0, 1]])

RINGS = (
    # Region, inner and outer radius in mm, HU, tissue.
    (BodyRegion.SUBCUTANEOUS_TISSUE, 70, 80, -100, "subcutaneous_adipose"),
    (BodyRegion.MUSCLE, 60, 70, 60, "normal_attenuation_muscle"),
    (BodyRegion.MUSCLE, 55, 60, 10, "low_attenuation_muscle"),
    (BodyRegion.MUSCLE, 50, 55, -60, "intermuscular_adipose"),
    (BodyRegion.BONES, 45, 50, 700, "bone"),
    (BodyRegion.ABDOMINAL_CAVITY, 35, 45, -90, "visceral_adipose"),
    (BodyRegion.MEDIASTINUM, 25, 35, -80, "paracardial_adipose"),
    (BodyRegion.PERICARDIUM, 10, 25, -70, "epicardial_adipose"),
    (BodyRegion.THORACIC_CAVITY, 0, 10, -800, ""),
)


@dataclass(frozen=True, eq=False)
class Body:
    """A CT with its label maps."""

    ct: Volume
    regions: Volume
    parts: Volume


def cylinder(*, size: int = 121, slices: int = 10, affine: NDArray[np.float64] = AFFINE) -> Body:
    """Return concentric cylinders through every slice; i < centre is the right arm, in part."""
    i, j = np.indices((size, size))
    ras = affine[:2, :2] @ np.stack([i - size // 2, j - size // 2]).reshape(2, -1)
    radius = np.hypot(*ras).reshape(size, size)
    hu = np.full((size, size), -1000, np.int16)
    regions = np.zeros((size, size), np.uint8)
    for region, inner, outer, value, _ in RINGS:
        ring = (radius >= inner) & (radius < outer)
        hu[ring], regions[ring] = value, region
    parts = np.where(regions > 0, BodyPart.TORSO, BodyPart.BACKGROUND).astype(np.uint8)
    parts[(regions > 0) & (i < size // 4)] = BodyPart.ARM_RIGHT

    def through(plane: NDArray[np.generic]) -> Volume:
        return Volume(np.repeat(plane[..., None], slices, axis=2), affine)

    return Body(through(hu), through(regions), through(parts))


def ring_cm2(inner_mm: float, outer_mm: float) -> float:
    """Return the area of a ring."""
    return math.pi * (outer_mm**2 - inner_mm**2) / 100


def random_body(seed: int, shape: tuple[int, int, int] = (9, 7, 6)) -> Body:
    """Return independent random HU, regions and parts; parts are 0 where regions are."""
    rng = np.random.default_rng(seed)
    affine = np.diag([2.0, -3.0, 5.0, 1.0])
    ct = rng.integers(-1024, 1500, shape).astype(np.int16)
    ct[rng.random(shape) < 0.5] //= 8
    ct[0, 0, 0] = -1000
    regions = rng.integers(0, 14, shape).astype(np.uint8)
    regions[0, 0] = 13
    parts = (rng.integers(1, 7, shape) * (regions > 0)).astype(np.uint8)
    return Body(*(Volume(array, affine) for array in (ct, regions, parts)))
