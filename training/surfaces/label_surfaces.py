"""Contours and surfaces of all labels of a map at once, as defined by DeepMind's surface-distance.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430, Methods: a surface element sits at each voxel corner
whose 2x2 (2x2x2) neighbouring voxels do not all agree. Which of them belong to the label is the
element's neighbour code, which stands for a length or area (:mod:`.neighbour_codes`). The SAROS
paper (Technical Validation) computes its NSD with that package; the tests use it as the oracle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .elements import CODES, Bits, SurfaceElements, elements_at, label_sets
from .neighbour_codes import code_sizes, code_weights
from .tolerance import Tolerance

NO_LABEL = 255
"""Value of the padding, which belongs to no label, not even to the background."""


@dataclass(frozen=True, eq=False)
class LabelSurfaces:
    """The surfaces of all labels of a map.

    A corner has the index of the first of the voxels around it.

    Attributes:
        voxels: (K, I, J) padded map.
        bits: (K, I, J) labels with an element at each corner.
        layers: Indices k of the layers with elements.
        counts: (num_classes, 256) number of elements of each label and neighbour code.
        tolerance: Tolerance and spacing.
    """

    voxels: NDArray[np.uint8]
    bits: Bits
    layers: tuple[int, ...]
    counts: NDArray[np.intp]
    tolerance: Tolerance

    def sizes(self, *, without: SurfaceElements | None = None) -> NDArray[np.float64]:
        """Return the length (mm) or area (mm2) of each label's surface, ``without`` some elements."""
        counts, table = self.counts, code_sizes(self.tolerance.spacing_mm)
        if without is not None:
            counts = counts - without.count(len(counts))
        # Sums of counts are exact, and do not depend on the order of the elements.
        summed: NDArray[np.float64] = counts[:, : len(table)] @ table
        return summed

    def elements(
        self, corners: NDArray[np.intp] | None = None, wanted: Bits | None = None
    ) -> SurfaceElements:
        """Return all elements, or those at some corners, of the labels wanted there."""
        corners = np.flatnonzero(self.bits) if corners is None else corners
        wanted = self.bits.take(corners) if wanted is None else wanted
        return elements_at(self.voxels, self.tolerance, corners, wanted)


def label_surfaces(
    labels: NDArray[np.uint8], tolerance: Tolerance, *, num_classes: int, skip_background: bool
) -> LabelSurfaces:
    """Return the surfaces of each label of a map.

    Args:
        labels: Shape (K, I, J).
        tolerance: Decides on the axes that surfaces extend along, and on the padding.
        num_classes: Number of labels; higher values have no surface.
        skip_background: Leave out label 0.
    """
    voxels = np.pad(labels, [(n, n) for n in tolerance.margin], constant_values=NO_LABEL)
    sets = _counted_sets(num_classes, skip_background=skip_background)
    bits = np.zeros(voxels.shape, sets.dtype)
    counts = np.zeros((num_classes, CODES), np.intp)
    layers, mixed = [], [np.zeros(0, np.intp)]
    weights = code_weights(len(tolerance.axes))
    half = len(weights) // 2
    face_codes = sum(weights[:half]), sum(weights[half:])
    for k, layer in _layers(labels, voxels, sets, tolerance):
        bits[k].reshape(-1)[: layer.bits.size] = layer.bits
        layers.append(k)
        mixed.append(np.flatnonzero(layer.is_mixed) + k * voxels[0].size)
        for code, faces in zip(face_codes, layer.faces, strict=False):
            counts[:, code] += _occurrences(faces, sets[:num_classes])
    corners = np.concatenate(mixed)
    counts += elements_at(voxels, tolerance, corners, bits.take(corners)).count(num_classes)
    return LabelSurfaces(voxels, bits, tuple(layers), counts, tolerance)


@dataclass(frozen=True, eq=False)
class _Squares:
    """The 2x2 voxels around each corner of a slice.

    Attributes:
        some: (N,) labels of any of the four voxels.
        every: (N,) label of all four voxels, if it is the same.
        is_even: (N,) whether all four voxels have the same label.
    """

    some: Bits
    every: Bits
    is_even: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Layer:
    """The corners in a slice (2-D), or between two slices (3-D).

    Attributes:
        bits: (N,) labels with an element.
        is_mixed: (N,) whether there is an element that is not a flat face.
        faces: Two (N,) arrays: where two even squares meet in a flat face, the labels of the one
            below and the one above. In 3-D these make up nearly all of the surface of a slice
            between empty ones, so they are counted without looking at their neighbours.
    """

    bits: Bits
    is_mixed: NDArray[np.bool_]
    faces: tuple[Bits, ...] = ()


def _layers(
    labels: NDArray[np.uint8], voxels: NDArray[np.uint8], sets: Bits, tolerance: Tolerance
) -> Iterator[tuple[int, _Layer]]:
    """Yield index and corners of every layer that may have elements, small enough for the cache."""
    first = tolerance.margin[0]
    empty = below = _squares(np.full_like(voxels[0], NO_LABEL), sets)
    for k, plane in enumerate(voxels):
        is_inside = 0 <= k - first < len(labels)
        has_labels = is_inside and (sets[0] != 0 or labels[k - first].any())
        above = _squares(plane, sets) if has_labels else empty
        if len(tolerance.axes) == 2 and above is not empty:
            bits = above.some & ~above.every
            yield k, _Layer(bits, bits != 0)
        elif len(tolerance.axes) == 3 and not (above is empty and below is empty):
            yield k - 1, _between(below, above)
        below = above


def _squares(plane: NDArray[np.uint8], sets: Bits) -> _Squares:
    """Return the squares of a padded slice; those that wrap around its edges are padding."""
    some = every = sets.take(plane.ravel())
    for step in (plane.shape[1], 1):
        some, every = some[:-step] | some[step:], every[:-step] & every[step:]
    return _Squares(some, every, some == every)


def _between(below: _Squares, above: _Squares) -> _Layer:
    """Return the layer between two slices."""
    bits = (below.some | above.some) & ~(below.every & above.every)
    has_some, are_even = bits != 0, below.is_even & above.is_even
    faces = has_some & are_even
    return _Layer(bits, has_some & ~are_even, (below.some * faces, above.some * faces))


def _occurrences(found: Bits, sets: Bits) -> NDArray[np.intp]:
    """Return the number of occurrences of each one-label set."""
    present = np.bitwise_or.reduce(found)
    # Faster than a histogram, which would first convert all values to int64.
    counts = [np.count_nonzero(found == one) if one & present else 0 for one in sets]
    return np.array(counts, np.intp)


def _counted_sets(num_classes: int, *, skip_background: bool) -> Bits:
    """Return the one-element set of each label, empty for labels that are not scored."""
    kind = np.int16 if num_classes < 16 else np.int32 if num_classes < 32 else np.int64
    sets = label_sets(np.dtype(kind))
    sets[num_classes:] = 0
    sets[: int(skip_background)] = 0
    return sets
