"""How far surfaces of two maps are from each other."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .elements import Bits, SurfaceElements
from .label_surfaces import LabelSurfaces
from .tolerance import Tolerance

_FAR_MM = 1e6


def out_of_reach(surfaces: LabelSurfaces, others: LabelSurfaces) -> SurfaceElements:
    """Return the elements that have no surface of their label in the other map in reach.

    Both maps have the same shape and ruler.
    """
    ruler = surfaces.ruler
    if ruler.rows is None:
        elements = surfaces.elements()
        distances = nearest_mm(elements, others.elements(), ruler)
        return elements.take(np.flatnonzero(distances > ruler.tolerance_mm))
    size = surfaces.bits[0].size
    places, wanted = [np.zeros(0, np.intp)], [np.zeros(0, surfaces.bits.dtype)]
    for k, near in _reached(others, surfaces.layers, ruler.rows):
        missing = (surfaces.bits[k] & ~near).reshape(-1)
        at = np.flatnonzero(missing != 0)
        places.append(at + k * size)
        wanted.append(missing.take(at))
    return surfaces.elements(np.concatenate(places), np.concatenate(wanted))


def _reached(
    surfaces: LabelSurfaces, layers: Iterable[int], rows: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[int, Bits]]:
    """Yield for each of some layers which labels have an element in reach of each corner."""
    _, margin, _ = surfaces.ruler.margin
    # A corner is numbered as the lowest of its voxels, so that the first one lies in the margin.
    first, last = margin - 1, surfaces.bits.shape[1] - margin
    occupied = set(surfaces.layers)

    @lru_cache(maxsize=2 * surfaces.ruler.margin[0] + 1)
    def widened(k: int) -> list[Bits]:
        return _widened(surfaces.bits[k], max(n for _, _, n in rows))

    for k in layers:
        near = np.zeros_like(surfaces.bits[k])
        for above, aside, n in rows:
            if k + above in occupied:
                near[first:last] |= widened(k + above)[n][first + aside : last + aside]
        yield k, near


def _widened(plane: Bits, most: int) -> list[Bits]:
    """Return a layer with each corner's labels spread along j by 0, 1, ... ``most`` steps.

    What steps over the end of a row is margin.
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
    ruler: Tolerance,
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
    ours, theirs = elements.corners, others.corners
    distances = np.full(len(ours), np.inf)
    # One where a process scores beside others.
    threads = torch.get_num_threads()
    for label in np.intersect1d(elements.labels, others.labels):
        chosen = elements.labels == label
        here, there = ours[chosen], theirs[others.labels == label]
        if heights_mm is None:
            nearest = cKDTree(there * steps).query(here * steps, workers=threads)[1]
            # From whole steps, in the order of operations of SciPy's distance transform.
            found = np.sqrt((((here - there[nearest]) * steps) ** 2).sum(axis=1))
            distances[chosen] = np.where(found < _FAR_MM, found, np.inf)
        else:
            places = [_places_mm(one, steps, heights_mm) for one in (here, there)]
            distances[chosen] = cKDTree(places[1]).query(places[0], workers=threads)[0]
    return distances


def _places_mm(
    corners: NDArray[np.intp], steps: NDArray[np.float64], heights_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    places: NDArray[np.float64] = corners * steps
    places[:, 0] = heights_mm[corners[:, 0]]
    return places
