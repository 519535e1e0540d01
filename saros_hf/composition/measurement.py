"""Measure the body composition of one CT from its label maps: arrays in, values out."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..volume import Volume
from .field_of_view import TRUNCATED_SHARE
from .flags import find_flags
from .inputs import checked_input, refuse_counts
from .levels import Level, find_levels, slice_heights_mm
from .result import (
    EXTENTS,
    SLICE_EXTENTS,
    Composition,
    LevelRow,
    RatioRow,
    SliceRow,
    VolumeRow,
)
from .slice_counts import count_slices
from .structures import Structures
from .tissues import RATIOS

__all__ = ["measure"]


def measure(
    ct: Volume,
    regions: Volume,
    *,
    parts: Volume | None = None,
    vertebrae: Volume | None = None,
    height_cm: float | None = None,
    levels: Sequence[str] = (),
    median_filter: bool = False,
) -> Composition:
    """Return tissues, volumes, areas and ratios of a CT with a label map of its body regions.

    Only annotated slices are measured. If some are not, volumes are Cavalieri estimates with an
    error; if all are, as in a prediction, volumes are sums.

    Args:
        ct: CT in HU, integers or fractions.
        regions: Body regions of SAROS on the grid of ``ct``; axes may be flipped or permuted.
        parts: Body parts of SAROS on that grid, to measure the torso, the head and each limb.
        vertebrae: Label map on that grid with the labels of :data:`~.levels.VERTEBRAE`.
        height_cm: Height of the patient, for the skeletal muscle index.
        levels: Further levels: ``slice:57`` (from 0), ``mm:-804.5``, or a vertebra, ``L3``.
        median_filter: Decide on tissues by the in-plane 3x3 median of the CT.

    Raises:
        GridMismatchError: A label map has another grid than ``ct``.
        UnknownLabelError: A label map holds a label that its task does not have.
        UsageError: The CT has no HU below 0, a label map is empty or of the other task, the height
            is not in cm, or a level is not there.

    Example:
        >>> ct = Volume(np.full((4, 4, 2), 40), np.diag([10.0, 10.0, 5.0, 1.0]))
        >>> ct.array[0] = -1000
        >>> regions = Volume((ct.array > 0).astype(np.uint8) * 2, ct.affine)
        >>> muscle = measure(ct, regions).volume("muscle")
        >>> round(muscle.volume_ml), muscle.incomplete  # 12 pixels of 1 cm2 in 2 slices of 0.5 cm
        (12, 'scan edge, field of view')
    """
    given = checked_input(ct, regions, parts=parts, vertebrae=vertebrae, height_cm=height_cm)
    found = find_levels(levels, ct, given.vertebrae)
    counts = count_slices(
        ct, given.regions, given.parts, measured=given.measured, median_filter=median_filter
    )
    refuse_counts(counts)
    extents = tuple(EXTENTS) if given.parts else ("whole",)
    structures = Structures(counts, ct.affine, extents)
    volumes = structures.volume_rows()
    rows = [
        _level_row(structures, extent, level, ct, height_cm)
        for level in found
        for extent in _in_slices(extents)
    ]
    return Composition(
        volumes=volumes,
        ratios=_ratio_rows(volumes, extents),
        slices=_slice_rows(structures, ct, _in_slices(extents)),
        levels=tuple(rows),
        flags=find_flags(counts, volumes, rows, parts=given.parts is not None),
        tissue_map=counts.tissue_map,
        spacing_mm=ct.spacing_mm,
        slices_in_scan=counts.count,
        slices_measured=len(counts.measured),
        height_cm=height_cm,
        median_filter=median_filter,
    )


def _in_slices(extents: Sequence[str]) -> list[str]:
    return [extent for extent in extents if extent in SLICE_EXTENTS]


def _ratio_rows(volumes: Sequence[VolumeRow], extents: Sequence[str]) -> tuple[RatioRow, ...]:
    known = {(row.extent, row.structure): row.volume_ml for row in volumes if row.kind == "tissue"}
    rows = []
    for extent in extents:
        for ratio in RATIOS:
            above, below = known[extent, ratio.numerator], known[extent, ratio.denominator]
            rows.append(RatioRow(extent, ratio.name, above / below if below else math.nan))
    return tuple(rows)


def _slice_rows(structures: Structures, ct: Volume, extents: Sequence[str]) -> tuple[SliceRow, ...]:
    heights = slice_heights_mm(ct)
    counts = structures.counts
    return tuple(
        SliceRow(
            slice=int(k),
            height_mm=float(heights[k]),
            extent=extent,
            truncated_share=float(counts.truncated[row]),
            tissues=structures.areas([row], extent),
        )
        for row, k in enumerate(counts.measured)
        for extent in extents
    )


def _level_row(
    structures: Structures, extent: str, level: Level, ct: Volume, height_cm: float | None
) -> LevelRow:
    counts = structures.counts
    rows = np.flatnonzero(np.isin(counts.measured, level.slices)).tolist()
    # A whole level may be known from some of its slices, the other ways need each of theirs.
    known = bool(rows) and (level.way == "whole_level" or len(rows) == len(level.slices))
    tissues = structures.areas(rows if known else [], extent)
    truncated = float(counts.truncated[rows].max(initial=0))
    cuts = [
        *(["scan edge"] if level.at_scan_edge else []),
        *(["field of view"] if truncated >= TRUNCATED_SHARE else []),
    ]
    metres = math.nan if height_cm is None else height_cm / 100
    return LevelRow(
        level=level.name,
        way=level.way,
        extent=extent,
        first_slice=level.slices[0],
        last_slice=level.slices[-1],
        height_mm=float(slice_heights_mm(ct)[list(level.slices)].mean()),
        thickness_mm=len(level.slices) * structures.slice_mm,
        truncated_share=truncated,
        muscle_index_cm2_per_m2=tissues["muscle"].area_cm2 / metres**2,
        incomplete=", ".join(cuts),
        note=_note(level, counts.measured, len(rows), known=known),
        tissues=tissues,
    )


def _note(level: Level, measured: NDArray[np.intp], annotated: int, *, known: bool) -> str:
    """Say which slices of a level are not annotated."""
    if annotated == len(level.slices):
        return ""
    nearest = measured[np.abs(measured - np.mean(level.slices)).argsort()[:2]]
    near = " and ".join(str(k) for k in sorted(nearest.tolist()))
    share = f"{annotated} of {len(level.slices)} slices annotated"
    return share if known else f"{share}; the nearest annotated slices are {near}"
