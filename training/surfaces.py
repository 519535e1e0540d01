"""Contours and surfaces of label maps, all labels at once, as DeepMind defines them.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430, Methods: a surface element sits at each voxel corner
whose 2x2 (2x2x2) neighbouring voxels do not all agree. Which of them belong to the label is the
element's neighbour code, and a table gives the length or area that a code stands for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# Only its tables: its own distances need np.Inf, gone since numpy 2, and scipy.ndimage.filters.
from surface_distance import lookup_tables

from .ruler import Ruler

NO_LABEL = 255
"""What lies outside the array: it belongs to no label, not even to the background."""

_Found: TypeAlias = tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.uint8]]
"""Of elements, the row of their corner, the label and the code."""

_CODES = 256


@dataclass(frozen=True, eq=False)
class SurfaceElements:
    """The surfaces of every label of a map, voxel corners numbered as its padded voxels are.

    Attributes:
        shape: Of the padded map.
        places: (N,) number of each corner where labels meet.
        bits: (N,) whole number whose bit l is set if label l has an element there.
        at: (E,) index into ``places`` of each element.
        labels: (E,) its label.
        codes: (E,) its neighbour code.
    """

    shape: tuple[int, ...]
    places: NDArray[np.intp]
    bits: NDArray[np.signedinteger]
    at: NDArray[np.intp]
    labels: NDArray[np.uint8]
    codes: NDArray[np.uint8]

    def sizes(self, ruler: Ruler) -> NDArray[np.float64]:
        """Return the length in mm or area in mm2 of each element."""
        return _tables(ruler.spacing_mm)[1][self.codes]

    def size_per_label(
        self, ruler: Ruler, num_classes: int, *, without: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Return the summed size of each label's elements, all or ``without`` some."""
        counts = self._count(num_classes)
        if without is not None:
            counts = counts - self._count(num_classes, without)
        table = _tables(ruler.spacing_mm)[1]
        # Counted before they are added up: exact, and the same in any order.
        summed: NDArray[np.float64] = counts[:, : len(table)] @ table
        return summed

    def _count(self, num_classes: int, chosen: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
        """Return how many elements each label has of each code."""
        labels = self.labels if chosen is None else self.labels.take(chosen)
        codes = self.codes if chosen is None else self.codes.take(chosen)
        kinds = labels.astype(np.int16) * np.int16(_CODES) + codes
        counts = np.bincount(kinds, minlength=num_classes * _CODES)
        return counts.reshape(num_classes, _CODES)


def surface_elements(
    labels: NDArray[np.uint8], ruler: Ruler, *, num_classes: int, skip_background: bool
) -> SurfaceElements:
    """Return the surfaces of each label of a map.

    Args:
        labels: (K, I, J), three axes, of which the last ones are measured.
        ruler: Decides on these axes, and on the margin.
        num_classes: Labels that count are below it.
        skip_background: Leave out label 0.
    """
    padded = np.pad(labels, [(n, n) for n in ruler.margin], constant_values=NO_LABEL)
    steps = [int(np.prod(padded.shape[axis + 1 :])) for axis in ruler.axes]
    weights = _tables(ruler.spacing_mm)[0]
    around = [
        (sum(o * s for o, s in zip(offset, steps, strict=True)), weight)
        for offset, weight in zip(product((0, 1), repeat=len(steps)), weights, strict=True)
    ]
    counted = np.zeros(_CODES, bool)
    counted[int(skip_background) : num_classes] = True
    voxels = padded.ravel()
    faces, edges = _mixed_corners(voxels, steps)
    found = [*_at_edges(voxels, edges, around, counted)]
    for at, label, code in _at_faces(voxels, faces, around, counted):
        found.append((at + len(edges), label, code))
    places = np.concatenate([edges, faces])
    bits = np.zeros(len(places), bits_type(num_classes))
    for at, label, _ in found:
        bits[at] |= bit_of(label, bits.dtype.type)
    at, label, code = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SurfaceElements(padded.shape, places, bits, at, label, code)


def _at_edges(
    voxels: NDArray[np.uint8],
    places: NDArray[np.intp],
    around: Sequence[tuple[int, int]],
    counted: NDArray[np.bool_],
) -> Iterator[_Found]:
    """Yield the elements at corners with any voxels around them."""
    neighbours = [voxels.take(places + shift) for shift, _ in around]
    for n, own in enumerate(neighbours):
        # Each label of a corner is dealt with at the first of its voxels.
        is_first = counted.take(own)
        for earlier in neighbours[:n]:
            is_first &= own != earlier
        at = np.flatnonzero(is_first)
        label = own.take(at)
        code = np.full(len(at), around[n][1], np.uint8)
        for other, (_, weight) in zip(neighbours[n + 1 :], around[n + 1 :], strict=True):
            code += (other.take(at) == label) * np.uint8(weight)
        yield at, label, code


def _at_faces(
    voxels: NDArray[np.uint8],
    places: NDArray[np.intp],
    around: Sequence[tuple[int, int]],
    counted: NDArray[np.bool_],
) -> Iterator[_Found]:
    """Yield the elements at corners with one label below and another one above.

    That is nearly all of the surface of slices that lie alone in an empty volume.
    """
    half = len(around) // 2
    for side in (around[:half], around[half:]):
        labels = voxels.take(places + side[0][0])
        at = np.flatnonzero(counted.take(labels))
        code = np.uint8(sum(weight for _, weight in side))
        yield at, labels.take(at), np.full(len(at), code)


def _mixed_corners(
    voxels: NDArray[np.uint8], steps: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the corners between two layers of one label each, and all others that are mixed.

    Args:
        voxels: A padded map in one dimension. What wraps around its edges is padding.
        steps: From a voxel to the next along each axis.
    """
    lowest = highest = voxels
    for step in steps[-2:]:
        lowest = np.minimum(lowest[:-step], lowest[step:])
        highest = np.maximum(highest[:-step], highest[step:])
    is_even = lowest == highest
    if len(steps) == 2:
        return np.zeros(0, np.intp), np.flatnonzero(~is_even)
    layer = steps[0]
    both_even = is_even[:-layer] & is_even[layer:]
    # Where both layers are even, what they hold is the lower extreme.
    faces = both_even & (lowest[:-layer] != lowest[layer:])
    return np.flatnonzero(faces), np.flatnonzero(~both_even)


@lru_cache(maxsize=32)
def _tables(spacing_mm: tuple[float, ...]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the weight of each neighbour in the code, and the size that a code stands for."""
    if len(spacing_mm) == 2:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
        sizes = lookup_tables.create_table_neighbour_code_to_contour_length(spacing_mm)
    else:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
        sizes = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    return tuple(np.asarray(kernel).astype(int).ravel().tolist()), np.asarray(sizes)


def bits_type(num_classes: int) -> type[np.signedinteger]:
    """Return the smallest type with a bit for each label besides its sign."""
    if num_classes < 16:
        return np.int16
    return np.int32 if num_classes < 32 else np.int64


def bit_of(labels: NDArray[np.uint8], kind: type[np.signedinteger]) -> NDArray[np.signedinteger]:
    """Return the bit that stands for each label."""
    highest = np.iinfo(kind).bits - 2
    bits: NDArray[np.signedinteger] = np.left_shift(
        kind(1), np.minimum(np.arange(_CODES), highest).astype(kind)
    )
    return bits.take(labels)
