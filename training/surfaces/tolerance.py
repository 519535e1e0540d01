"""NSD tolerance: the largest distance in mm that counts as the same surface, in voxel steps."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

_MOST_CORNERS = 6000


@dataclass(frozen=True)
class Tolerance:
    """The tolerance of surface distances, and the spacing that they are measured with.

    Attributes:
        spacing_mm: Spacing of the last axes of a map (K, I, J): three values for 3-D surfaces, two
            for the 2-D contours of each slice.
        tolerance_mm: Largest distance that counts as the same surface; infinite for average
            distances.
    """

    spacing_mm: tuple[float, ...]
    tolerance_mm: float

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of a map (K, I, J) that surfaces extend along."""
        return tuple(range(3 - len(self.spacing_mm), 3))

    def strides(self, shape: tuple[int, ...]) -> list[int]:
        """Return the step along each of the axes in a flattened map."""
        return [math.prod(shape[axis + 1 :]) for axis in self.axes]

    @property
    def offsets(self) -> tuple[tuple[int, int, int], ...] | None:
        """Offsets within the tolerance, row by row: (k, i, n) stands for j from -n to n.

        ``None`` if there are so many that a k-d tree is faster.
        """
        return _offsets(self.spacing_mm, self.tolerance_mm)

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels to pad a map (K, I, J) with, so that no offset leads out of the array."""
        k, i, j = (max(n) + 1 for n in zip(*(self.offsets or ((0, 0, 0),)), strict=True))
        return (0 if len(self.axes) == 2 else k), i, j


@lru_cache(maxsize=32)
def _offsets(
    spacing_mm: tuple[float, ...], tolerance_mm: float
) -> tuple[tuple[int, int, int], ...] | None:
    if math.prod(2 * tolerance_mm / step + 3 for step in spacing_mm) > _MOST_CORNERS:
        return None
    reach = [int(tolerance_mm / step) + 1 for step in spacing_mm]
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    # Same order of operations as SciPy's distance transform, so that ties round the same way.
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    longest: dict[tuple[int, int], int] = {}
    for step in steps[lengths <= tolerance_mm].tolist():
        k, i, j = (0, *step)[-3:]
        longest[k, i] = max(longest.get((k, i), 0), j)
    return tuple((k, i, j) for (k, i), j in longest.items())
