"""A finely sampled body to paint anatomy on, deep structures over shallow ones.

Places are in standard millimetres: x to the patient's left, y to the back, z from the feet of a
patient 1750 mm tall. Arrays are (plane, row, column), i.e. (z, y, x), whose transpose is the
(i, j, k) of an LPS volume in the memory order NIfTI wants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import Contour, Floats, Point, Waves
from .tissue import Tissue

STANDARD_HEIGHT_MM = 1750.0
_WARP_MM = 16.0  # widest displacement by the warp, added to every crop


@dataclass(frozen=True, eq=False)
class Crop:
    """The part of a canvas in a box: views, so that painting changes the canvas."""

    x: Floats
    y: Floats
    z: Floats
    flat: tuple[Floats, Floats]
    tissue: NDArray[np.uint8]
    part: NDArray[np.uint8]

    def inside(self, contour: Contour) -> Floats:
        """Return the level of a contour: below 1 inside, quadratic in the distance."""
        x, y, width, depth = contour.planes(self.z[:, 0, 0])
        across = self.x - x
        across /= width
        across *= across
        along = self.y - y
        along /= depth
        along *= along
        # Clipped, because the level of a rounded square would sink again far outside.
        product: Floats = np.minimum(across, np.float32(1)) * along
        product *= -contour.square
        product += across
        product += along
        return product

    def ellipsoid(
        self, centre: Point, radii: Point, turn: NDArray[np.float32] | None = None
    ) -> Floats:
        """Return the level of an ellipsoid whose axes are the rows of ``turn``."""
        x, y, z = self.x - centre[0], self.y - centre[1], self.z - np.float32(centre[2])
        if turn is None:
            return np.asarray((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
        axes = turn / np.array(radii, np.float32)[:, None]
        level = np.zeros_like(x)
        for a, b, c in axes:
            level += (a * x + b * y + c * z) ** 2
        return level

    def capsule(self, start: Point, end: Point, radii: tuple[float, float]) -> Floats:
        """Return the level of a cone with round ends."""
        dx, dy, dz = np.subtract(end, start).astype(np.float32)
        x, y, z = self.x - start[0], self.y - start[1], self.z - np.float32(start[2])
        t = np.clip((dx * x + dy * y + dz * z) / (dx**2 + dy**2 + dz**2), 0, 1)
        distance = (x - t * dx) ** 2 + (y - t * dy) ** 2 + (z - t * dz) ** 2
        return np.asarray(distance / (radii[0] + t * (radii[1] - radii[0])) ** 2)

    def waves(self, waves: Waves) -> Floats:
        """Return a random field on the coordinates before warping."""
        return waves.at(*self.flat, self.z[:, 0, 0])

    def paint(
        self, where: NDArray[np.bool_], tissue: Tissue, *, over: Sequence[Tissue] = ()
    ) -> None:
        """Fill ``where`` with ``tissue``, only over the given tissues if there are any."""
        if over:
            where = where & np.logical_or.reduce([self.tissue == one for one in over])
        np.copyto(self.tissue, np.uint8(tissue), where=where)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The whole grid.

    Attributes:
        flat: x and y of the grid before warping, each (row, column).
        x: x of every sample in the warped body, (plane, row, column).
        y: y of every sample in the warped body, (plane, row, column).
        z: Height of every plane.
        tissue: Tissue of every sample.
        part: Body part of the samples that a structure has marked, 0 elsewhere.
    """

    flat: tuple[Floats, Floats]
    x: Floats
    y: Floats
    z: Floats
    tissue: NDArray[np.uint8]
    part: NDArray[np.uint8]

    def crop(self, low: ArrayLike, high: ArrayLike) -> Crop:
        """Return the samples that can lie between two corners (x, y, z); it may be empty."""
        (x0, y0, z0), (x1, y1, z1) = np.asarray(low), np.asarray(high)
        planes = slice(*np.searchsorted(self.z, (z0, z1)))
        fx, fy = self.flat
        near = (abs(fx - (x0 + x1) / 2) < (x1 - x0) / 2 + _WARP_MM) & (
            abs(fy - (y0 + y1) / 2) < (y1 - y0) / 2 + _WARP_MM
        )
        box = planes, _extent(near.any(axis=1)), _extent(near.any(axis=0))
        return Crop(
            x=self.x[box],
            y=self.y[box],
            z=self.z[planes].reshape(-1, 1, 1),
            flat=(fx[box[1:]], fy[box[1:]]),
            tissue=self.tissue[box],
            part=self.part[box],
        )

    def crop_around(self, centre: ArrayLike, radii: ArrayLike) -> Crop:
        """Return the crop of an ellipsoid."""
        return self.crop(np.subtract(centre, radii), np.add(centre, radii))

    def crop_between(self, start: Point, end: Point, radius: float) -> Crop:
        """Return the crop of a capsule."""
        ends = np.array([start, end])
        return self.crop(ends.min(axis=0) - radius, ends.max(axis=0) + radius)

    def fill(self, contour: Contour, tissue: Tissue, *, over: Sequence[Tissue] = ()) -> None:
        """Paint the inside of a contour."""
        crop = self.crop(*contour.bounds())
        crop.paint(crop.inside(contour) < 1, tissue, over=over)

    def ellipsoid(
        self,
        centre: Point,
        radii: Point,
        tissue: Tissue,
        *,
        over: Sequence[Tissue] = (),
        turn: NDArray[np.float32] | None = None,
    ) -> None:
        """Paint an ellipsoid whose axes are the rows of ``turn``."""
        crop = self.crop_around(centre, radii if turn is None else [max(radii)] * 3)
        crop.paint(crop.ellipsoid(centre, radii, turn) < 1, tissue, over=over)

    def tube(
        self,
        points: Sequence[Point],
        radii: Sequence[float],
        tissue: Tissue,
        *,
        over: Sequence[Tissue] = (),
    ) -> None:
        """Paint a tube through ``points`` with the radius given at each of them."""
        for (start, end), ends in zip(pairwise(points), pairwise(radii), strict=True):
            crop = self.crop_between(start, end, max(ends))
            crop.paint(crop.capsule(start, end, ends) < 1, tissue, over=over)


def _extent(used: NDArray[np.bool_]) -> slice:
    indices = np.flatnonzero(used)
    return slice(int(indices[0]), int(indices[-1]) + 1) if indices.size else slice(0, 0)
