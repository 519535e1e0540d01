"""Tissues and body regions in every part of the scan, added up from the counted compartments."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyRegion
from . import cavalieri
from .compartments import COMPARTMENTS, members
from .result import EXTENTS, Area, HuStatistics, VolumeRow
from .slice_counts import SliceCounts
from .tissues import TISSUES, Tissue

__all__ = ["Structures"]

_QUARTILES = (0.25, 0.5, 0.75)


class Structures:
    """Areas, volumes and HU of every tissue and body region in the chosen extents.

    Args:
        counts: Voxels of the compartments.
        affine: Affine of the CT; with a tilted gantry its axes are not at right angles.
        extents: Names of the parts of the scan to measure.
    """

    def __init__(
        self, counts: SliceCounts, affine: NDArray[np.float64], extents: Sequence[str]
    ) -> None:
        self.counts = counts
        self.extents = tuple(extents)
        self.all: tuple[Tissue | BodyRegion, ...] = (*TISSUES, *tuple(BodyRegion)[1:])
        i_mm, j_mm, k_mm = affine[:3, :3].T
        plane = np.cross(i_mm, j_mm)
        pixel_mm2 = float(np.linalg.norm(plane))
        self.pixel_cm2 = pixel_mm2 / 100
        self.slice_mm = float(abs(plane @ k_mm)) / pixel_mm2
        self._members = np.zeros((len(self.all), len(COMPARTMENTS)))
        for row, structure in enumerate(self.all):
            self._members[row, members(structure)] = 1
        self._parts = np.zeros((len(self.extents), counts.voxels.shape[2]))
        for row, extent in enumerate(self.extents):
            self._parts[row, list(EXTENTS[extent])] = 1

    def areas(self, rows: Sequence[int], extent: str) -> dict[str, Area]:
        """Return the mean of every tissue over some measured slices, NaN for no slice."""
        x, tissues = self.extents.index(extent), len(TISSUES)
        chosen = list(rows)
        pixels = self._voxels[chosen, :tissues, x].sum(axis=0)
        outermost = self._boundary[chosen, :tissues, x].sum(axis=0)
        with np.errstate(invalid="ignore"):  # NaN for no slice, and no mean HU of no pixel
            values = np.stack(
                [
                    pixels * self.pixel_cm2 / np.float64(len(chosen)),
                    outermost * self.pixel_cm2 / np.float64(len(chosen)),
                    self._hu_sums[chosen, :tissues, x].sum(axis=0) / pixels,
                ]
            )
        values[:, self._is_missing[:tissues, x]] = np.nan
        return {one.name: Area(*v) for one, v in zip(TISSUES, values.T.tolist(), strict=True)}

    def volume_rows(self) -> tuple[VolumeRow, ...]:
        """Return the volume of every structure in every extent."""
        measured, count = self.counts.measured, self.counts.count
        ml = self.pixel_cm2 * self.slice_mm / 10
        flat = self._voxels.reshape(len(measured), -1)
        volumes, errors = cavalieri.volumes(flat, measured, count)
        low, high = cavalieri.interval_95(volumes, errors, len(measured))
        outermost = cavalieri.gaps(measured, count) @ self._boundary.reshape(len(measured), -1)
        in_ml = np.stack([volumes, errors, low, high, outermost]).reshape(-1, *self._shape) * ml
        in_ml[:, self._is_missing] = np.nan
        statistics = self._hu_statistics()
        rows = []
        for x, extent in enumerate(self.extents):
            for s, structure in enumerate(self.all):
                volume, error, least, most, one_voxel = in_ml[:, s, x].tolist()
                tissue = isinstance(structure, Tissue)
                row = VolumeRow(
                    extent=extent,
                    kind="tissue" if tissue else "region",
                    structure=structure.name if tissue else structure.name.lower(),
                    volume_ml=volume,
                    standard_error_ml=error,
                    low_95_ml=least,
                    high_95_ml=most,
                    one_voxel_ml=one_voxel,
                    hu=statistics[s][x],
                    incomplete=self._incomplete(s, x),
                    missing=bool(self._is_missing[s, x]),
                )
                rows.append(row)
        return tuple(rows)

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.all), len(self.extents)

    @cached_property
    def _voxels(self) -> NDArray[np.float64]:
        return self._summed(self.counts.voxels)

    @cached_property
    def _hu_sums(self) -> NDArray[np.float64]:
        return self._summed(self.counts.hu_sums)

    @cached_property
    def _boundary(self) -> NDArray[np.float64]:
        return self._summed(self.counts.boundary)

    def _summed(self, array: NDArray[np.int64]) -> NDArray[np.float64]:
        """Add compartments and parts (n, C, P) up to structures and extents (n, S, X)."""
        return np.asarray(self._members @ array @ self._parts.T)

    @cached_property
    def _is_missing(self) -> NDArray[np.bool_]:
        """Whether no region of a structure, or nothing of an extent, is in the label maps."""
        voxels = self.counts.voxels.sum(axis=0)
        regions = {
            one.region for one, found in zip(COMPARTMENTS, voxels.any(axis=1), strict=True) if found
        }
        structures = [
            regions.isdisjoint(one.regions if isinstance(one, Tissue) else (one,))
            for one in self.all
        ]
        extents = ~(self._parts @ voxels.sum(axis=0)).astype(bool)
        return np.asarray(np.array(structures)[:, None] | extents)

    def _incomplete(self, structure: int, extent: int) -> str:
        chosen = np.outer(self._members[structure], self._parts[extent]).astype(bool)
        causes = {
            "scan edge": self.counts.at_scan_edge,
            "field of view": self.counts.at_field_edge,
        }
        return ", ".join(name for name, where in causes.items() if (where & chosen).any())

    def _hu_statistics(self) -> list[list[HuStatistics]]:
        """Return the statistics of every structure and extent."""
        histogram = self.counts.histogram
        hu = self.counts.lowest_hu + np.arange(histogram.shape[2])
        return [
            [
                _statistics(voxels, hu)
                for voxels in self._parts @ histogram[members(structure)].sum(axis=0)
            ]
            for structure in self.all
        ]


def _statistics(voxels: NDArray[np.float64], hu: NDArray[np.int64]) -> HuStatistics:
    """Return the statistics of a histogram."""
    present = np.flatnonzero(voxels)
    if not present.size:
        return HuStatistics(*[math.nan] * 7)
    voxels, hu = voxels[present], hu[present]
    total = voxels.sum()
    mean = float(voxels @ hu / total)
    variance = float(voxels @ (hu - mean) ** 2 / total)
    quartiles = hu[np.searchsorted(voxels.cumsum(), np.multiply(_QUARTILES, total))]
    first, median, third = (float(value) for value in quartiles)
    return HuStatistics(
        mean, math.sqrt(variance), float(hu[0]), first, median, third, float(hu[-1])
    )
