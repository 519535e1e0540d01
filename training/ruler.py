"""How surfaces are measured: along which axes, and how far is near."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

_MOST_OFFSETS = 6000


@dataclass(frozen=True)
class Ruler:
    """How surfaces are measured.

    Attributes:
        spacing_mm: Along the last axes of a map: three values for surfaces, two for contours of
            slices that are looked at one by one.
        tolerance_mm: Largest distance that counts as the same surface.
    """

    spacing_mm: tuple[float, ...]
    tolerance_mm: float

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a map (three) that surfaces extend along."""
        return tuple(range(3 - len(self.spacing_mm), 3))

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...] | None:
        """The steps between corners within the tolerance, shortest first.

        ``None`` where there are so many that a search tree is quicker.
        """
        return _offsets(self.spacing_mm, self.tolerance_mm)

    @property
    def margin(self) -> tuple[int, ...]:
        """Voxels around a map, so that no step of the tolerance leaves the array."""
        offsets = self.offsets or ((0,) * len(self.axes),)
        reach = [max(abs(step) for step in steps) for steps in zip(*offsets, strict=True)]
        return (*[0] * (3 - len(reach)), *(n + 1 for n in reach))


@lru_cache(maxsize=32)
def _offsets(
    spacing_mm: tuple[float, ...], tolerance_mm: float
) -> tuple[tuple[int, ...], ...] | None:
    reach = [int(tolerance_mm / step) + 1 for step in spacing_mm]
    if np.prod([2.0 * n + 1 for n in reach]) > _MOST_OFFSETS:
        return None
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    # In the order of operations of SciPy's distance transform, so that ties fall the same way.
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    return tuple(tuple(steps[n].tolist()) for n in order if lengths[n] <= tolerance_mm)
