"""Contours and surfaces of label maps, all labels at once, as DeepMind defines them.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430, Methods: a surface element sits at each voxel corner
whose 2x2 (2x2x2) neighbouring voxels do not all agree. Which of them belong to the label is the
element's neighbour code, and a table gives the length or area that a code stands for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

# Only its tables: its own distances need np.Inf, gone since numpy 2, and scipy.ndimage.filters.
from surface_distance import lookup_tables
from torch import Tensor
from torch.nn import functional

NO_LABEL = 255
"""What lies outside the array: it belongs to no label, not even to the background."""

_FAR_MM = 1e6
_MOST_OFFSETS = 6000


@dataclass(frozen=True, eq=False)
class SurfaceElements:
    """The surfaces of every label of a map.

    Attributes:
        corners: (N, axes) index of each voxel corner where labels meet; corner 0 lies before
            voxel 0.
        bits: (N,) whole number whose bit l is set if label l has an element there.
        at: (E,) row of ``corners`` of each element.
        labels: (E,) its label.
        sizes: (E,) its length in mm or area in mm2, float64.
    """

    corners: Tensor
    bits: Tensor
    at: Tensor
    labels: Tensor
    sizes: Tensor

    def size_per_label(self, num_classes: int, chosen: Tensor | None = None) -> Tensor:
        """Return the summed size of each label's elements, or of the ``chosen`` ones."""
        sizes = self.sizes if chosen is None else self.sizes * chosen
        return torch.bincount(self.labels, weights=sizes, minlength=num_classes)


def surface_elements(
    maps: Tensor, spacing_mm: Sequence[float], *, num_classes: int, skip_background: bool
) -> SurfaceElements:
    """Return the surfaces of each label of a uint8 map.

    Args:
        maps: (I, J, K), or slices (S, I, J) that are looked at one by one in 2-D.
        spacing_mm: Three values for surfaces, two for contours of slices.
        num_classes: Labels that count are below it.
        skip_background: Leave out label 0.
    """
    axes = tuple(range(3 - len(spacing_mm), 3))
    padded = functional.pad(maps, (1, 1) * len(axes), value=NO_LABEL)
    corners = _mixed_corners(padded, axes).nonzero()
    around = _around(padded, corners, axes)
    kernel, table = _tables(tuple(spacing_mm))
    sizes = table.to(maps.device)
    bits = torch.zeros(len(corners), dtype=_bits_dtype(num_classes), device=maps.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    present = torch.bincount(around.flatten(), minlength=256).nonzero().flatten().tolist()
    for label in present:
        if label >= num_classes or (label == 0 and skip_background):
            continue
        code = torch.zeros(len(corners), dtype=torch.uint8, device=maps.device)
        for neighbour, weight in zip(around, kernel, strict=True):
            code += (neighbour == label) * weight
        at = ((code != 0) & (code != len(sizes) - 1)).nonzero().flatten()
        bits[at] |= 1 << label
        found.append((at, torch.full_like(at, label), sizes[code[at].to(torch.int64)]))
    empty = corners.new_empty(0)
    joined = [torch.cat(parts) for parts in zip(*found, strict=True)] or [
        empty,
        empty,
        sizes.new_empty(0),
    ]
    return SurfaceElements(corners, bits, *joined)


def within_reach(
    elements: SurfaceElements,
    others: SurfaceElements,
    *,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> Tensor:
    """Return for each element whether the other map's surface of its label is in reach.

    Corners around are asked from near to far until every label has been found, so that maps
    that agree cost little.
    """
    if not len(elements.corners) or not len(others.corners):
        return torch.zeros(len(elements.at), dtype=torch.bool, device=elements.at.device)
    offsets = _offsets(tuple(spacing_mm), tolerance_mm)
    if offsets is None:
        return nearest_mm(elements, others, spacing_mm=spacing_mm) <= tolerance_mm
    axes = len(spacing_mm)
    reach = [0] * (3 - axes) + [int(max(abs(o[a]) for o in offsets)) for a in range(axes)]
    everything = torch.cat([elements.corners, others.corners])
    low = everything.amin(0) - torch.tensor(reach, device=everything.device)
    high = everything.amax(0) + torch.tensor(reach, device=everything.device)
    shape = (high - low + 1).tolist()
    steps = (shape[1] * shape[2], shape[2], 1)
    grid = torch.zeros(shape[0] * steps[0], dtype=others.bits.dtype, device=low.device)
    grid[_flat(others.corners - low, steps)] = others.bits
    place, wanted = _flat(elements.corners - low, steps), elements.bits
    rows = torch.arange(len(place), device=low.device)
    for offset in offsets:
        shift = sum(o * s for o, s in zip(offset, steps[3 - axes :], strict=True))
        wanted = wanted & ~grid[place + shift]
        left = wanted.nonzero().flatten()
        if len(left) < len(wanted):
            place, wanted, rows = place[left], wanted[left], rows[left]
        if not len(rows):
            break
    missing = torch.zeros_like(elements.bits)
    missing[rows] = wanted
    one = torch.ones((), dtype=missing.dtype, device=missing.device)
    return (missing[elements.at] & (one << elements.labels.to(missing.dtype))) == 0


def nearest_mm(
    elements: SurfaceElements,
    others: SurfaceElements,
    *,
    spacing_mm: Sequence[float],
    heights_mm: Tensor | None = None,
) -> Tensor:
    """Return how far each element is from the other map's surface of its label, float64.

    Args:
        elements: Whose distances are asked for.
        others: What they are measured to.
        spacing_mm: As of :func:`surface_elements`.
        heights_mm: For slices, the place of each one, so that contours of other slices count,
            too; without it an element has no distance to them.

    Returns:
        (E,) on the CPU; infinite where there is nothing to measure to.
    """
    steps = np.array([*[_FAR_MM] * (3 - len(spacing_mm)), *spacing_mm])
    ours, theirs = (one.corners[one.at].cpu().numpy() for one in (elements, others))
    mine, other = (one.labels.cpu().numpy() for one in (elements, others))
    distances = np.full(len(ours), np.inf)
    for label in np.intersect1d(mine, other):
        here, there = ours[mine == label], theirs[other == label]
        if heights_mm is None:
            nearest = cKDTree(there * steps).query(here * steps, workers=-1)[1]
            # From whole steps, in the order of operations of SciPy's distance transform.
            found = np.sqrt((((here - there[nearest]) * steps) ** 2).sum(axis=1))
            distances[mine == label] = np.where(found < _FAR_MM, found, np.inf)
        else:
            places = [_places_mm(one, steps, heights_mm.numpy()) for one in (here, there)]
            distances[mine == label] = cKDTree(places[1]).query(places[0], workers=-1)[0]
    return torch.from_numpy(distances)


def _places_mm(
    corners: NDArray[np.int64], steps: NDArray[np.float64], heights_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    places = corners * steps
    places[:, 0] = heights_mm[corners[:, 0]]
    return places


def _mixed_corners(padded: Tensor, axes: Sequence[int]) -> Tensor:
    """Return at each corner whether the voxels around it differ."""
    lowest = highest = padded
    for axis in axes:
        n = padded.shape[axis] - 1
        lowest = torch.minimum(lowest.narrow(axis, 0, n), lowest.narrow(axis, 1, n))
        highest = torch.maximum(highest.narrow(axis, 0, n), highest.narrow(axis, 1, n))
    return lowest != highest


def _around(padded: Tensor, corners: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the labels of the voxels around each corner, (4 or 8, N), the last axis fastest."""
    steps = padded.stride()
    first = _flat(corners, steps)
    voxels = padded.flatten()
    offsets = product((0, 1), repeat=len(axes))
    return torch.stack(
        [
            voxels[first + sum(o * steps[a] for o, a in zip(offset, axes, strict=True))]
            for offset in offsets
        ]
    )


def _flat(index: Tensor, steps: Sequence[int]) -> Tensor:
    i, j, k = index.unbind(1)
    return i * steps[0] + j * steps[1] + k * steps[2]


def _bits_dtype(num_classes: int) -> torch.dtype:
    """Return the smallest type with a bit for each label besides its sign."""
    if num_classes < 16:
        return torch.int16
    return torch.int32 if num_classes < 32 else torch.int64


@lru_cache(maxsize=32)
def _tables(spacing_mm: tuple[float, ...]) -> tuple[tuple[int, ...], Tensor]:
    """Return the weight of each neighbour in the code, and the size that a code stands for."""
    if len(spacing_mm) == 2:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
        sizes = lookup_tables.create_table_neighbour_code_to_contour_length(spacing_mm)
    else:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
        sizes = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    return tuple(np.asarray(kernel).astype(int).ravel().tolist()), torch.from_numpy(sizes)


@lru_cache(maxsize=32)
def _offsets(
    spacing_mm: tuple[float, ...], tolerance_mm: float
) -> tuple[tuple[int, ...], ...] | None:
    """Return the steps between corners that are no longer than the tolerance, shortest first.

    ``None`` where there are so many that a search tree is quicker.
    """
    reach = [int(tolerance_mm / step) + 1 for step in spacing_mm]
    if np.prod([2.0 * n + 1 for n in reach]) > _MOST_OFFSETS:
        return None
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    # In the order of operations of SciPy's distance transform, so that ties fall the same way.
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    return tuple(tuple(steps[n].tolist()) for n in order if lengths[n] <= tolerance_mm)
