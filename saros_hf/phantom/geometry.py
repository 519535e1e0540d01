"""Geometric building blocks: contours along the body axis and smooth random fields."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Floats: TypeAlias = NDArray[np.float32]
Point: TypeAlias = tuple[float, float, float]

_THIN = np.float32(0.1)  # keeps levels finite where a contour has closed


def mirrored(side: int, points: Sequence[Point]) -> list[Point]:
    """Return points of the patient's left half on a side: 1 is left, -1 right."""
    return [(side * x, y, z) for x, y, z in points]


def along(z: Floats, knots: Sequence[tuple[float, float]]) -> Floats:
    """Return a smooth curve through ``knots`` (z, value), one value per plane: (p, 1, 1)."""
    knot_z, value = np.array(knots).T
    inside = np.clip(z, knot_z[0], knot_z[-1])
    return np.asarray(PchipInterpolator(knot_z, value)(inside), np.float32).reshape(-1, 1, 1)


@dataclass(frozen=True, eq=False)
class Contour:
    """A stack of axial outlines between ellipse and rectangle, in standard millimetres.

    Attributes:
        z: Heights of the keyframes, rising; the structure ends at the first and the last.
        width: Half widths.
        front: Foremost y (y grows to the back).
        back: Hindmost y.
        centre: x of the middle.
        square: 0 is an ellipse, 1 a rectangle.
    """

    z: NDArray[np.float64]
    width: NDArray[np.float64]
    front: NDArray[np.float64]
    back: NDArray[np.float64]
    centre: NDArray[np.float64]
    square: float = 0.3

    @classmethod
    def through(cls, rows: ArrayLike, *, square: float = 0.3) -> "Contour":
        """Build a contour from rows (z, half width, front, back)."""
        z, width, front, back = np.array(rows, float).T
        return cls(z, width, front, back, np.zeros_like(z), square)

    def grown(
        self,
        width: float | NDArray[np.float64],
        front: float | NDArray[np.float64],
        back: float | NDArray[np.float64],
    ) -> "Contour":
        """Return the contour moved outwards, by one distance in mm or one per keyframe."""
        return replace(
            self, width=self.width + width, front=self.front - front, back=self.back + back
        )

    def moved(self, x: float) -> "Contour":
        """Return the contour with its middle at ``x``."""
        return replace(self, centre=self.centre + x)

    def keyframes(self, chosen: NDArray[np.bool_]) -> "Contour":
        """Return the contour through some of its keyframes."""
        return Contour(
            self.z[chosen], self.width[chosen], self.front[chosen], self.back[chosen],
            self.centre[chosen], self.square,
        )  # fmt: skip

    def planes(self, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return middle x, middle y, half width and half depth per plane, each (p, 1, 1)."""
        table = np.stack([self.centre, self.width, self.front, self.back], axis=1)
        inside = np.clip(z, self.z[0], self.z[-1])
        values = np.asarray(PchipInterpolator(self.z, table)(inside), np.float32)
        centre, width, front, back = values.T.reshape(4, -1, 1, 1)
        half = np.float32(0.5)
        width, depth = np.maximum(width, _THIN), np.maximum((back - front) * half, _THIN)
        return centre, (front + back) * half, width, depth

    def bounds(self) -> tuple[Point, Point]:
        """Return the lowest and highest x, y and z."""
        low = (self.centre - self.width).min(), self.front.min(), self.z[0]
        high = (self.centre + self.width).max(), self.back.max(), self.z[-1]
        return low, high


@dataclass(frozen=True, eq=False)
class Waves:
    """A random field made of plane waves: mean 0, variance 1, close to Gaussian.

    The field is a function of the position, so two scans of one patient share it.

    Attributes:
        vector: Shape (n, 3), radians per millimetre along x, y and z.
        phase: Shape (n,).
    """

    vector: Floats
    phase: Floats

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, in_plane_mm: float, axial_mm: float, count: int = 14
    ) -> "Waves":
        """Draw a field with the given correlation lengths."""
        scale = np.array([in_plane_mm, in_plane_mm, axial_mm])
        vector = rng.standard_normal((count, 3)) / scale
        phase = rng.uniform(0, 2 * np.pi, count)
        return cls(vector.astype(np.float32), phase.astype(np.float32))

    def at(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the field on planes ``z`` (p,) of one in-plane grid ``x``, ``y`` (h, w).

        cos(a + b) = cos a cos b - sin a sin b makes it one matrix product.
        """
        kx, ky, kz = self.vector.T
        in_plane = kx[:, None] * x.ravel() + ky[:, None] * y.ravel() + self.phase[:, None]
        axial = z[:, None] * kz
        left = np.concatenate([np.cos(axial), -np.sin(axial)], axis=1)
        right = np.concatenate([np.cos(in_plane), np.sin(in_plane)])
        left *= np.float32(np.sqrt(2 / len(self.phase)))
        field: Floats = (left @ right).reshape(len(z), *x.shape)
        return field
