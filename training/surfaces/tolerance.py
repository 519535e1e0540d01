"""How surfaces are measured: along which axes, and how far is near."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

_MOST_CORNERS = 6000


@dataclass(frozen=True)
class Tolerance:
    """How surfaces are measured.

    Attributes:
        spacing_mm: Along the last axes of a map: three values for surfaces, two for contours of
            slices that are looked at one by one.
        tolerance_mm: Largest distance that counts as the same surface; infinite where distances
            themselves are asked for.
    """

    spacing_mm: tuple[float, ...]
    tolerance_mm: float

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a map (three) that surfaces extend along."""
        return tuple(range(3 - len(self.spacing_mm), 3))

    def steps(self, shape: tuple[int, ...]) -> list[int]:
        """Return how far it is along each of the axes to the next voxel of a flattened map."""
        return [math.prod(shape[axis + 1 :]) for axis in self.axes]

    @property
    def rows(self) -> tuple[tuple[int, int, int], ...] | None:
        """The corners within the tolerance, row by row: (k, i, n) stands for j from -n to n.

        ``None`` where there are so many that a search tree is quicker.
        """
        return _rows(self.spacing_mm, self.tolerance_mm)

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels around a map (K, I, J), so that nothing outside is in reach."""
        k, i, j = (max(steps) + 1 for steps in zip(*(self.rows or ((0, 0, 0),)), strict=True))
        return (0 if len(self.axes) == 2 else k), i, j


@lru_cache(maxsize=32)
def _rows(
    spacing_mm: tuple[float, ...], tolerance_mm: float
) -> tuple[tuple[int, int, int], ...] | None:
    if math.prod(2 * tolerance_mm / step + 3 for step in spacing_mm) > _MOST_CORNERS:
        return None
    reach = [int(tolerance_mm / step) + 1 for step in spacing_mm]
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    # In the order of operations of SciPy's distance transform, so that ties fall the same way.
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    longest: dict[tuple[int, int], int] = {}
    for step in steps[lengths <= tolerance_mm].tolist():
        k, i, j = (0, *step)[-3:]
        longest[k, i] = max(longest.get((k, i), 0), j)
    return tuple((k, i, j) for (k, i), j in longest.items())
