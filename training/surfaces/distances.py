"""Distances between the surfaces of two label maps."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .elements import Bits, SurfaceElements
from .label_surfaces import LabelSurfaces

_FAR_MM = 1e6


def beyond_tolerance(surfaces: LabelSurfaces, others: LabelSurfaces) -> SurfaceElements:
    """Return the elements without a surface of their label within the tolerance in the other map.

    Both maps have the same shape and tolerance.
    """
    tolerance = surfaces.tolerance
    if tolerance.offsets is None:
        elements = surfaces.elements()
        distances = nearest_mm(elements, others.elements(), tolerance.spacing_mm)
        return elements.take(np.flatnonzero(distances > tolerance.tolerance_mm))
    size = surfaces.bits[0].size
    corners, wanted = [np.zeros(0, np.intp)], [np.zeros(0, surfaces.bits.dtype)]
    for k, near in _labels_nearby(others, surfaces.layers, tolerance.offsets):
        missing = (surfaces.bits[k] & ~near).reshape(-1)
        at = np.flatnonzero(missing != 0)
        corners.append(at + k * size)
        wanted.append(missing.take(at))
    return surfaces.elements(np.concatenate(corners), np.concatenate(wanted))


def _labels_nearby(
    surfaces: LabelSurfaces, layers: Sequence[int], offsets: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[int, Bits]]:
    """Yield each layer with the labels that have an element within the tolerance of each corner."""
    depth, margin, _ = surfaces.tolerance.margin
    # A corner has the index of the first of its voxels, so the first one lies in the margin.
    first, last = margin - 1, surfaces.bits.shape[1] - margin
    occupied = set(surfaces.layers)

    @lru_cache(maxsize=2 * depth + 1)
    def dilated(k: int) -> list[Bits]:
        return _dilated(surfaces.bits[k], max(n for _, _, n in offsets))

    for k in layers:
        near = np.zeros_like(surfaces.bits[k])
        for dk, di, n in offsets:
            if k + dk in occupied:
                near[first:last] |= dilated(k + dk)[n][first + di : last + di]
        yield k, near


def _dilated(plane: Bits, most: int) -> list[Bits]:
    """Return a layer with the labels dilated along j by 0, 1, ... ``most`` voxels.

    Only padding is dilated across the end of a row.
    """
    flat = plane.reshape(-1)
    spread = [flat]
    for n in range(1, most + 1):
        wider = spread[-1].copy()
        wider[n:] |= flat[:-n]
        wider[:-n] |= flat[n:]
        spread.append(wider)
    return [one.reshape(plane.shape) for one in spread]


def nearest_mm(
    elements: SurfaceElements,
    others: SurfaceElements,
    spacing_mm: tuple[float, ...],
    *,
    heights_mm: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the distance in mm from each element to the other map's surface of its label.

    Args:
        elements: N elements to measure from.
        others: Elements to measure to.
        spacing_mm: Spacing of the last axes: two values for the contours of slices.
        heights_mm: Position of each slice, to measure to the contours of other slices as well;
            without it their distance is infinite.

    Returns:
        Shape (N,), infinite if the other map lacks the label.
    """
    spacing = np.array([*[_FAR_MM] * (3 - len(spacing_mm)), *spacing_mm])
    ours, theirs = elements.coordinates, others.coordinates
    distances = np.full(len(ours), np.inf)
    # 1 in the worker processes of saros evaluate.
    threads = torch.get_num_threads()
    for label in np.intersect1d(elements.labels, others.labels):
        chosen = elements.labels == label
        here, there = ours[chosen], theirs[others.labels == label]
        if heights_mm is None:
            nearest = cKDTree(there * spacing).query(here * spacing, workers=threads)[1]
            # Same order of operations as SciPy's distance transform, so that ties round alike.
            found = np.sqrt((((here - there[nearest]) * spacing) ** 2).sum(axis=1))
            distances[chosen] = np.where(found < _FAR_MM, found, np.inf)
        else:
            points = [
                np.column_stack([heights_mm[corners[:, 0]], corners[:, 1:] * spacing[1:]])
                for corners in (here, there)
            ]
            distances[chosen] = cKDTree(points[1]).query(points[0], workers=threads)[0]
    return distances
