"""Surface elements at the voxel corners of a label map, with their neighbour codes."""

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .neighbour_codes import code_sizes, code_weights
from .tolerance import Tolerance

Bits: TypeAlias = NDArray[np.signedinteger]
"""Sets of labels: bit l is set if label l belongs to the set."""

CODES = 256
"""Number of neighbour codes of the eight voxels around a corner."""


@dataclass(frozen=True, eq=False)
class SurfaceElements:
    """N surface elements, each of one label at one voxel corner.

    Attributes:
        shape: Shape of the padded map.
        corners: (N,) flat indices of the corners, see :class:`LabelSurfaces`.
        labels: (N,) labels.
        codes: (N,) neighbour codes.
    """

    shape: tuple[int, ...]
    corners: NDArray[np.intp]
    labels: NDArray[np.uint8]
    codes: NDArray[np.uint8]

    @property
    def coordinates(self) -> NDArray[np.intp]:
        """Corners as (N, 3) array indices."""
        return np.stack(np.unravel_index(self.corners, self.shape), 1)

    def sizes(self, spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
        """Return the length in mm or area in mm2 of each element, (N,)."""
        return code_sizes(spacing_mm)[self.codes]

    def take(self, chosen: NDArray[np.intp]) -> "SurfaceElements":
        """Return the elements with the given indices."""
        return SurfaceElements(
            self.shape, self.corners.take(chosen), self.labels.take(chosen), self.codes.take(chosen)
        )

    def count(self, num_classes: int) -> NDArray[np.intp]:
        """Return the number of elements of each label and code, (num_classes, 256)."""
        kinds = self.labels.astype(np.int16) * np.int16(CODES) + self.codes
        counts = np.bincount(kinds, minlength=num_classes * CODES)
        return counts.reshape(num_classes, CODES)


def elements_at(
    voxels: NDArray[np.uint8], tolerance: Tolerance, corners: NDArray[np.intp], wanted: Bits
) -> SurfaceElements:
    """Return the elements at some corners of a padded map.

    Args:
        voxels: (K, I, J) padded map.
        tolerance: Decides on the axes.
        corners: (N,) flat indices.
        wanted: (N,) labels to return at each corner.
    """
    sets = label_sets(wanted.dtype)
    offsets = product((0, 1), repeat=len(tolerance.axes))
    shifts = [np.dot(offset, tolerance.strides(voxels.shape)) for offset in offsets]
    weights = code_weights(len(tolerance.axes))
    neighbours = [voxels.take(corners + shift) for shift in shifts]
    found = []
    for n, own in enumerate(neighbours):
        # Each label around a corner is handled at the first of its voxels.
        is_first = (sets.take(own) & wanted) != 0
        for earlier in neighbours[:n]:
            is_first &= own != earlier
        at = np.flatnonzero(is_first)
        label = own.take(at)
        code = np.full(len(at), weights[n], np.uint8)
        for other, weight in zip(neighbours[n + 1 :], weights[n + 1 :], strict=True):
            code += (other.take(at) == label) * np.uint8(weight)
        found.append((corners.take(at), label, code))
    parts = (np.concatenate(part) for part in zip(*found, strict=True))
    return SurfaceElements(voxels.shape, *parts)


def label_sets(kind: np.dtype[np.signedinteger]) -> Bits:
    """Return the one-element set of each label 0 to 255, empty where the type has no bit for it."""
    sets = np.zeros(CODES, kind)
    most = np.iinfo(kind).bits - 1
    sets[:most] = np.left_shift(kind.type(1), np.arange(most, dtype=kind))
    return sets
