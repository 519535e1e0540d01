"""Contours and surfaces of label maps, all labels at once, as DeepMind defines them.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430, Methods: a surface element sits at each voxel corner
whose 2x2 (2x2x2) neighbouring voxels do not all agree. Which of them belong to the label is the
element's neighbour code, which stands for a length or area (:mod:`training.surfaces.neighbour_codes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .elements import CODES, Bits, SurfaceElements, elements_at, label_sets
from .neighbour_codes import code_sizes, code_weights
from .tolerance import Tolerance

NO_LABEL = 255
"""What lies outside the array: it belongs to no label, not even to the background."""


@dataclass(frozen=True, eq=False)
class LabelSurfaces:
    """The surfaces of every label of a map.

    A corner has the number and the place of the lowest of the voxels around it.

    Attributes:
        voxels: (K, I, J) the map with a margin around it.
        bits: (K, I, J) labels with an element at each corner.
        layers: The k that have one.
        counts: (num_classes, 256) how many elements there are of each label and code.
        ruler: How they are measured.
    """

    voxels: NDArray[np.uint8]
    bits: Bits
    layers: tuple[int, ...]
    counts: NDArray[np.intp]
    ruler: Tolerance

    def sizes(self, *, without: SurfaceElements | None = None) -> NDArray[np.float64]:
        """Return the summed size of each label's elements, all or all ``without`` some."""
        counts, table = self.counts, code_sizes(self.ruler.spacing_mm)
        if without is not None:
            counts = counts - without.count(len(counts))
        # Counted before they are added up: exact, and the same in any order.
        summed: NDArray[np.float64] = counts[:, : len(table)] @ table
        return summed

    def elements(
        self, places: NDArray[np.intp] | None = None, wanted: Bits | None = None
    ) -> SurfaceElements:
        """Return all elements, or those at some corners, or of the labels wanted at each."""
        places = np.flatnonzero(self.bits) if places is None else places
        wanted = self.bits.take(places) if wanted is None else wanted
        return elements_at(self.voxels, self.ruler, places, wanted)


def label_surfaces(
    labels: NDArray[np.uint8], ruler: Tolerance, *, num_classes: int, skip_background: bool
) -> LabelSurfaces:
    """Return the surfaces of each label of a map.

    Args:
        labels: (K, I, J), three axes, of which the last ones are measured.
        ruler: Decides on these axes, and on the margin.
        num_classes: Labels that count are below it.
        skip_background: Leave out label 0.
    """
    voxels = np.pad(labels, [(n, n) for n in ruler.margin], constant_values=NO_LABEL)
    sets = _sets(num_classes, skip_background=skip_background)
    bits = np.zeros(voxels.shape, sets.dtype)
    counts = np.zeros((num_classes, CODES), np.intp)
    layers, mixed = [], [np.zeros(0, np.intp)]
    for k, layer in _layers(labels, voxels, sets, ruler):
        bits[k].reshape(-1)[: layer.bits.size] = layer.bits
        layers.append(k)
        mixed.append(np.flatnonzero(layer.is_mixed) + k * voxels[0].size)
        for code, faces in zip(_face_codes(ruler), layer.faces, strict=False):
            counts[:, code] += _occurrences(faces, sets[:num_classes])
    places = np.concatenate(mixed)
    counts += elements_at(voxels, ruler, places, bits.take(places)).count(num_classes)
    return LabelSurfaces(voxels, bits, tuple(layers), counts, ruler)


@dataclass(frozen=True, eq=False)
class _Squares:
    """The 2x2 voxels around each corner of a slice.

    Attributes:
        some: (N,) labels that any of them has.
        every: (N,) label that all of them have.
        is_even: (N,) whether these are the same.
    """

    some: Bits
    every: Bits
    is_even: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Layer:
    """The corners in one slice, or between two.

    Attributes:
        bits: (N,) labels with an element.
        is_mixed: (N,) whether there is one, faces left out.
        faces: (N,) twice, the label of the even square below, and of the one above, where these
            meet: nearly all of the surface of a slice that lies alone in an empty volume.
    """

    bits: Bits
    is_mixed: NDArray[np.bool_]
    faces: tuple[Bits, ...] = ()


def _layers(
    labels: NDArray[np.uint8], voxels: NDArray[np.uint8], sets: Bits, ruler: Tolerance
) -> Iterator[tuple[int, _Layer]]:
    """Yield every layer that may have elements; one of them fits a processor's cache."""
    first = ruler.margin[0]
    empty = below = _squares(np.full_like(voxels[0], NO_LABEL), sets)
    for k, plane in enumerate(voxels):
        is_inside = 0 <= k - first < len(labels)
        has_labels = is_inside and (sets[0] != 0 or labels[k - first].any())
        above = _squares(plane, sets) if has_labels else empty
        if len(ruler.axes) == 2 and above is not empty:
            bits = above.some & ~above.every
            yield k, _Layer(bits, bits != 0)
        elif len(ruler.axes) == 3 and not (above is empty and below is empty):
            yield k - 1, _between(below, above)
        below = above


def _squares(plane: NDArray[np.uint8], sets: Bits) -> _Squares:
    """Return the squares of a padded slice; what wraps around its edges is padding."""
    some = every = sets.take(plane.ravel())
    for step in (plane.shape[1], 1):
        some, every = some[:-step] | some[step:], every[:-step] & every[step:]
    return _Squares(some, every, some == every)


def _between(below: _Squares, above: _Squares) -> _Layer:
    """Return the layer between the squares of two slices."""
    bits = (below.some | above.some) & ~(below.every & above.every)
    has_some, are_even = bits != 0, below.is_even & above.is_even
    faces = has_some & are_even
    return _Layer(bits, has_some & ~are_even, (below.some * faces, above.some * faces))


def _occurrences(found: Bits, sets: Bits) -> NDArray[np.intp]:
    """Return how often each of some sets of one label is found."""
    present = np.bitwise_or.reduce(found)
    # Quicker than a histogram, which widens all values eightfold first.
    counts = [np.count_nonzero(found == one) if one & present else 0 for one in sets]
    return np.array(counts, np.intp)


def _face_codes(ruler: Tolerance) -> tuple[int, int]:
    """Return the code of an even square below another one, and of the one above."""
    weights = code_weights(len(ruler.axes))
    half = len(weights) // 2
    return sum(weights[:half]), sum(weights[half:])


def _sets(num_classes: int, *, skip_background: bool) -> Bits:
    """Return the set of each label alone, empty for those that do not count."""
    kind = np.int16 if num_classes < 16 else np.int32 if num_classes < 32 else np.int64
    sets = label_sets(np.dtype(kind)).copy()
    sets[num_classes:] = 0
    sets[: int(skip_background)] = 0
    return sets
