"""Surface elements of chosen corners of a label map, with their neighbour codes."""

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .neighbour_codes import code_sizes, code_weights
from .tolerance import Tolerance

Bits: TypeAlias = NDArray[np.signedinteger]
"""Sets of labels: bit l is set if label l is one of them."""

CODES = 256
"""Ways in which eight voxels can belong to a label or not."""


@dataclass(frozen=True, eq=False)
class SurfaceElements:
    """Some surface elements, each of one label.

    Attributes:
        shape: Of the map with its margin.
        places: (N,) number of the corner that an element sits at, see :class:`LabelSurfaces`.
        labels: (N,) its label.
        codes: (N,) its neighbour code.
    """

    shape: tuple[int, ...]
    places: NDArray[np.intp]
    labels: NDArray[np.uint8]
    codes: NDArray[np.uint8]

    @property
    def corners(self) -> NDArray[np.intp]:
        """Return where each element is, (N, 3)."""
        return np.stack(np.unravel_index(self.places, self.shape), 1)

    def sizes(self, ruler: Tolerance) -> NDArray[np.float64]:
        """Return the length in mm or area in mm2 of each element."""
        return code_sizes(ruler.spacing_mm)[self.codes]

    def take(self, chosen: NDArray[np.intp]) -> "SurfaceElements":
        """Return some of them."""
        return SurfaceElements(
            self.shape, self.places.take(chosen), self.labels.take(chosen), self.codes.take(chosen)
        )

    def count(self, num_classes: int) -> NDArray[np.intp]:
        """Return how many there are of each label and code, (num_classes, 256)."""
        kinds = self.labels.astype(np.int16) * np.int16(CODES) + self.codes
        counts = np.bincount(kinds, minlength=num_classes * CODES)
        return counts.reshape(num_classes, CODES)


def elements_at(
    voxels: NDArray[np.uint8], ruler: Tolerance, places: NDArray[np.intp], wanted: Bits
) -> SurfaceElements:
    """Return the elements of the labels wanted at each of some corners."""
    sets = label_sets(wanted.dtype)
    around = _around(voxels.shape, ruler)
    neighbours = [voxels.take(places + shift) for shift, _ in around]
    found = []
    for n, own in enumerate(neighbours):
        # Each label of a corner is dealt with at the first of its voxels.
        is_first = (sets.take(own) & wanted) != 0
        for earlier in neighbours[:n]:
            is_first &= own != earlier
        at = np.flatnonzero(is_first)
        label = own.take(at)
        code = np.full(len(at), around[n][1], np.uint8)
        for other, (_, weight) in zip(neighbours[n + 1 :], around[n + 1 :], strict=True):
            code += (other.take(at) == label) * np.uint8(weight)
        found.append((places.take(at), label, code))
    return SurfaceElements(
        voxels.shape, *(np.concatenate(parts) for parts in zip(*found, strict=True))
    )


def _around(shape: tuple[int, ...], ruler: Tolerance) -> list[tuple[int, int]]:
    """Return the steps from a corner to the voxels around it, and their weights in the code."""
    steps = ruler.steps(shape)
    offsets = product((0, 1), repeat=len(steps))
    shifts = [sum(o * s for o, s in zip(offset, steps, strict=True)) for offset in offsets]
    return list(zip(shifts, code_weights(len(ruler.axes)), strict=True))


def label_sets(kind: np.dtype[np.signedinteger]) -> Bits:
    """Return the set of each label that has a bit besides the sign of this type."""
    sets = np.zeros(CODES, kind)
    most = np.iinfo(kind).bits - 1
    sets[:most] = np.left_shift(kind.type(1), np.arange(most, dtype=kind))
    return sets
