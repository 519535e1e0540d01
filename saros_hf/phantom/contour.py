"""Outlines that change along the body axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from .waves import Floats

_THIN = np.float32(0.1)  # keeps levels finite where a contour has closed
Lengths: TypeAlias = float | NDArray[np.float64]


def along(z: Floats, knots: Sequence[tuple[float, float]]) -> Floats:
    """Return a smooth curve through ``knots`` (z, value), one value per plane: (p, 1, 1)."""
    place, value = np.array(knots).T
    inside = np.clip(z, place[0], place[-1])
    return np.asarray(PchipInterpolator(place, value)(inside), np.float32).reshape(-1, 1, 1)


@dataclass(frozen=True, eq=False)
class Contour:
    """An ellipse to rounded square per axial plane, in standard millimetres.

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

    def grown(self, width: Lengths, front: Lengths, back: Lengths) -> "Contour":
        """Return the contour moved outwards by the given millimetres, one or one per keyframe."""
        return replace(
            self, width=self.width + width, front=self.front - front, back=self.back + back
        )

    def moved(self, x: float) -> "Contour":
        """Return the contour with its middle at ``x``."""
        return replace(self, centre=self.centre + x)

    def planes(self, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return middle x, middle y, half width and half depth per plane, each (p, 1, 1)."""
        table = np.stack([self.centre, self.width, self.front, self.back], axis=1)
        inside = np.clip(z, self.z[0], self.z[-1])
        values = np.asarray(PchipInterpolator(self.z, table)(inside), np.float32)
        centre, width, front, back = values.T.reshape(4, -1, 1, 1)
        half = np.float32(0.5)
        width, depth = np.maximum(width, _THIN), np.maximum((back - front) * half, _THIN)
        return centre, (front + back) * half, width, depth

    def bounds(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return the lowest and highest x, y and z."""
        low = (self.centre - self.width).min(), self.front.min(), self.z[0]
        high = (self.centre + self.width).max(), self.back.max(), self.z[-1]
        return low, high
