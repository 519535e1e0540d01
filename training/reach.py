"""How far surfaces of two maps are from each other."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .ruler import Ruler
from .surfaces import SurfaceElements, bit_of

_FAR_MM = 1e6


def out_of_reach(
    elements: SurfaceElements, others: SurfaceElements, ruler: Ruler
) -> NDArray[np.intp]:
    """Return the elements that have no surface of their label in the other map in reach.

    Corners around are asked from near to far until every label has been found, so that maps
    that agree cost little. Both maps have the same shape.
    """
    if ruler.offsets is None:
        return np.flatnonzero(nearest_mm(elements, others, ruler) > ruler.tolerance_mm)
    corners, wanted = _missed_corners(elements, others, ruler)
    is_missed = np.zeros(len(elements.places), bool)
    is_missed[corners] = True
    candidates = np.flatnonzero(is_missed.take(elements.at))
    missing = np.zeros_like(elements.bits)
    missing[corners] = wanted
    bits = bit_of(elements.labels.take(candidates), missing.dtype.type)
    missed: NDArray[np.intp] = candidates[(missing.take(elements.at.take(candidates)) & bits) != 0]
    return missed


def _missed_corners(
    elements: SurfaceElements, others: SurfaceElements, ruler: Ruler
) -> tuple[NDArray[np.intp], NDArray[np.signedinteger]]:
    """Return the corners where some label is out of reach, and the bits of these labels."""
    grid = np.zeros(int(np.prod(others.shape)), others.bits.dtype)
    grid[others.places] = others.bits
    steps = [int(np.prod(elements.shape[axis + 1 :])) for axis in ruler.axes]
    place, wanted = elements.places, elements.bits
    corners: NDArray[np.intp] | None = None
    for offset in ruler.offsets or ():
        shift = sum(o * s for o, s in zip(offset, steps, strict=True))
        there = grid.take(place + shift if shift else place)
        wanted = wanted & np.invert(there, out=there)
        left = np.flatnonzero(wanted)
        place, wanted = place.take(left), wanted.take(left)
        corners = left if corners is None else corners.take(left)
        if not left.size:
            break
    return np.zeros(0, np.intp) if corners is None else corners, wanted


def nearest_mm(
    elements: SurfaceElements,
    others: SurfaceElements,
    ruler: Ruler,
    *,
    heights_mm: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return how far each element is from the other map's surface of its label.

    Args:
        elements: Whose distances are asked for.
        others: What they are measured to.
        ruler: Spacing and axes.
        heights_mm: For slices, the place of each one, so that contours of other slices count,
            too; without it an element has no distance to them.

    Returns:
        (E,), infinite where there is nothing to measure to.
    """
    steps = np.array([*[_FAR_MM] * (3 - len(ruler.spacing_mm)), *ruler.spacing_mm])
    ours, theirs = (
        np.stack(np.unravel_index(one.places.take(one.at), one.shape), 1)
        for one in (elements, others)
    )
    distances = np.full(len(ours), np.inf)
    for label in np.intersect1d(elements.labels, others.labels):
        chosen = elements.labels == label
        here, there = ours[chosen], theirs[others.labels == label]
        if heights_mm is None:
            nearest = cKDTree(there * steps).query(here * steps, workers=-1)[1]
            # From whole steps, in the order of operations of SciPy's distance transform.
            found = np.sqrt((((here - there[nearest]) * steps) ** 2).sum(axis=1))
            distances[chosen] = np.where(found < _FAR_MM, found, np.inf)
        else:
            places = [_places_mm(one, steps, heights_mm) for one in (here, there)]
            distances[chosen] = cKDTree(places[1]).query(places[0], workers=-1)[0]
    return distances


def _places_mm(
    corners: NDArray[np.intp], steps: NDArray[np.float64], heights_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    places: NDArray[np.float64] = corners * steps
    places[:, 0] = heights_mm[corners[:, 0]]
    return places
