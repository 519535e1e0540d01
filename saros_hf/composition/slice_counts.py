"""One pass over a CT and its label maps: the voxels of every compartment and body part by slice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import IGNORE_INDEX, BodyPart
from ..volume import Volume
from .cavalieri import gaps
from .compartments import COMPARTMENTS, MAP_LABELS, Lookup, smoothed
from .field_of_view import TRUNCATED_SHARE, contour, field_edge
from .tissues import hounsfield

__all__ = ["SliceCounts", "count_slices"]

_PARTS = len(BodyPart)
_CODES = len(COMPARTMENTS)
_GROUPS = _CODES * _PARTS
_LOOKED_AT = 9
"""Number of slices from which the shape of the field of view is found."""


@dataclass(frozen=True, eq=False)
class SliceCounts:
    """Voxels by measured slice, compartment and body part.

    C is the number of compartments, P that of body parts. The background is not counted; without
    body parts, all voxels are in body part 0.

    Attributes:
        measured: Indices (n,) of the slices that are annotated in every label map.
        count: Number of slices of the scan.
        voxels: Voxels (n, C, P).
        hu_sums: Sums (n, C, P) of their HU.
        boundary: Those of the voxels (n, C, P) that touch another body region in the slice.
        lowest_hu: HU of the histogram's first bin.
        histogram: Voxels (C, P, HU), each slice counted as often as the gap it stands for.
        truncated: Share (n,) of the body's contour at the edge of the field of view.
        at_scan_edge: Whether (C, P) occur in the first or last measured slice.
        at_field_edge: Whether the region of (C, P) is on the contour at the edge of a truncated
            slice.
        tissue_map: Labels of the tissues, see :func:`~.compartments.tissue_map`.
    """

    measured: NDArray[np.intp]
    count: int
    voxels: NDArray[np.int64]
    hu_sums: NDArray[np.int64]
    boundary: NDArray[np.int64]
    lowest_hu: int
    histogram: NDArray[np.float64]
    truncated: NDArray[np.float64]
    at_scan_edge: NDArray[np.bool_]
    at_field_edge: NDArray[np.bool_]
    tissue_map: Volume


def count_slices(
    ct: Volume,
    regions: Volume,
    parts: Volume | None,
    *,
    measured: NDArray[np.intp],
    median_filter: bool,
) -> SliceCounts:
    """Count the voxels of every compartment and body part in every annotated slice.

    Args:
        ct: CT in HU.
        regions: Body regions, uint8, on the grid of ``ct``.
        parts: Body parts, uint8, on the grid of ``ct``.
        measured: Indices of the slices that are annotated in both.
        median_filter: Decide on tissues by the in-plane 3x3 median; HU are those of ``ct``.
    """
    hu, labels = _planes(ct), _planes(regions)
    part_labels = None if parts is None else _planes(parts)
    sample = np.linspace(0, len(hu) - 1, min(_LOOKED_AT, len(hu))).astype(int)
    edge = field_edge(hounsfield(hu[sample]), np.where(labels[sample] < 255, labels[sample], 0))
    tally = _Tally(len(measured), _limits(hu), edge)
    rows = dict(zip(measured.tolist(), enumerate(gaps(measured, len(hu))), strict=True))
    tissues = np.zeros(labels.shape, np.uint8)
    for k, plane in enumerate(labels):
        box = _bounding_box(plane > 0)
        here, hu_here = plane[box], hounsfield(hu[k])
        decisive = smoothed(hu_here) if median_filter else hu_here
        codes = tally.lookup.codes(here, decisive[box])
        tissues[k][box] = MAP_LABELS.take(codes)
        if k in rows:
            groups = codes * np.uint8(_PARTS)
            if part_labels is not None:
                groups += part_labels[k][box]
            row, gap = rows[k]
            tally.add(row, gap, groups, here, hu_here[box])
            tally.add_truncation(row, plane, groups, box)
        else:
            tissues[k][plane == IGNORE_INDEX] = IGNORE_INDEX
    return tally.counts(measured, Volume(tissues.T, ct.affine))


class _Tally:
    """The arrays of :class:`SliceCounts` while they are filled."""

    def __init__(self, slices: int, limits: tuple[int, int], edge: NDArray[np.bool_]) -> None:
        self.lookup = Lookup(*limits)
        self.edge = edge
        self.edge_places = np.flatnonzero(edge)
        self.voxels, self.sums, self.boundary = np.zeros((3, slices, _GROUPS), np.int64)
        self.histogram = np.zeros((_GROUPS, limits[1] - limits[0] + 1))
        self.truncated = np.zeros(slices)
        self.at_field_edge = np.zeros(_GROUPS, np.bool_)

    def add(
        self,
        row: int,
        gap: float,
        groups: NDArray[np.uint8],
        regions: NDArray[np.uint8],
        hu: NDArray[np.int16],
    ) -> None:
        """Count one slice, cut to the box around the body."""
        voxels = np.bincount(groups.ravel(), minlength=_GROUPS)
        present = np.flatnonzero(voxels)
        low, end = int(hu.min()), int(hu.max()) + 1
        # Only the groups and HU of this slice get bins, so that these stay in the cache.
        first_bin = np.zeros(_GROUPS, np.intp)
        first_bin[present] = np.arange(len(present)) * (end - low) - low
        bins = first_bin.take(groups)
        bins += hu
        table = np.bincount(bins.ravel(), minlength=len(present) * (end - low))
        table = table.reshape(len(present), end - low)
        offset = low - self.lookup.lowest
        self.histogram[present, offset : offset + end - low] += table * gap
        self.voxels[row] = voxels
        self.sums[row, present] = table @ np.arange(low, end)
        self.boundary[row] = np.bincount(groups[_borders(regions)], minlength=_GROUPS)

    def add_truncation(
        self,
        row: int,
        regions: NDArray[np.uint8],
        groups: NDArray[np.uint8],
        box: tuple[slice, slice],
    ) -> None:
        """Find the share of the body's contour that is at the edge of the field of view."""
        if not regions.ravel()[self.edge_places].any():
            return
        outline = contour(regions > 0)
        touching = outline & self.edge
        share = np.count_nonzero(touching) / np.count_nonzero(outline)
        self.truncated[row] = share
        if share >= TRUNCATED_SHARE:
            self.at_field_edge[groups[touching[box]]] = True

    def counts(self, measured: NDArray[np.intp], tissue_map: Volume) -> SliceCounts:
        """Return everything counted, without the background."""
        shape = _CODES, _PARTS
        voxels, sums, boundary = (
            array.reshape(-1, *shape) for array in (self.voxels, self.sums, self.boundary)
        )
        for array in (voxels, sums, boundary):
            array[:, 0] = 0
        return SliceCounts(
            measured=measured,
            count=tissue_map.shape[2],
            voxels=voxels,
            hu_sums=sums,
            boundary=boundary,
            lowest_hu=self.lookup.lowest,
            histogram=self.histogram.reshape(*shape, -1),
            truncated=self.truncated,
            at_scan_edge=voxels[0].astype(bool) | voxels[-1].astype(bool),
            at_field_edge=_whole_regions(self.at_field_edge.reshape(shape)),
            tissue_map=tissue_map,
        )


def _whole_regions(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each compartment whether any compartment of its region was found."""
    regions = np.array([one.region for one in COMPARTMENTS])
    return np.stack([found[regions == region].any(axis=0) for region in regions])


def _planes(volume: Volume) -> NDArray[Any]:
    """Return slices (K, J, I), each contiguous in memory as in a NIfTI file."""
    return np.asfortranarray(volume.array).T


def _limits(planes: NDArray[Any]) -> tuple[int, int]:
    """Return the lowest and highest HU."""
    ends = [(plane.min(), plane.max()) for plane in map(hounsfield, planes)]
    return int(min(low for low, _ in ends)), int(max(high for _, high in ends))


def _bounding_box(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest box around the true pixels, the first pixel if there are none."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _borders(regions: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of a box around the body that have a neighbour of another label."""
    borders = np.ones(regions.shape, np.bool_)
    borders[1:-1, 1:-1] = False
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = regions[here] != regions[there]
        borders[here] |= differs
        borders[there] |= differs
    return borders
