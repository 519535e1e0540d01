"""Flag what has to be known before the numbers of a case are used."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyPart, BodyRegion
from .compartments import members
from .field_of_view import TRUNCATED_SHARE
from .result import Flag, LevelRow, VolumeRow
from .slice_counts import SliceCounts
from .tissues import TISSUES

__all__ = ["find_flags"]

_FEW_SLICES = 10
_LEAST_ADIPOSE_SHARE = 0.5
_ARMS = [BodyPart.ARM_RIGHT, BodyPart.ARM_LEFT]


def find_flags(
    counts: SliceCounts, volumes: Sequence[VolumeRow], levels: Sequence[LevelRow], *, parts: bool
) -> tuple[Flag, ...]:
    """Return all flags of a case, warnings first.

    Args:
        counts: The counted slices.
        volumes: Volumes of the whole scan among others.
        levels: The levels.
        parts: Whether body parts were given.
    """
    flags = [
        *_of_the_view(counts, volumes),
        *_of_the_annotation(counts),
        *_of_the_regions(counts, volumes),
        *_of_the_arms(counts, parts=parts),
        *_of_the_levels(levels),
    ]
    return tuple(sorted(flags, key=lambda flag: flag.severity == "note"))


def _of_the_view(counts: SliceCounts, volumes: Sequence[VolumeRow]) -> Iterator[Flag]:
    whole = [row for row in volumes if row.extent == "whole" and row.kind == "tissue"]
    cut = [row.structure for row in whole if "scan edge" in row.incomplete]
    if cut:
        text = f"the first or last slice cuts {_listed(cut)}: volumes are those inside the scan"
        yield Flag("scan-edge", "note", text)
    truncated = counts.truncated >= TRUNCATED_SHARE
    if truncated.any():
        cut = [row.structure for row in whole if "field of view" in row.incomplete]
        yield Flag(
            "field-of-view",
            "warning",
            f"the body reaches the edge of the field of view in {_ranges(counts, truncated)}"
            f" (up to {counts.truncated.max():.0%} of its contour), so that values are too small: "
            f"{_listed(cut)}",
        )


def _of_the_annotation(counts: SliceCounts) -> Iterator[Flag]:
    measured, count = len(counts.measured), counts.count
    if measured == count:
        return
    text = f"{measured} of {count} slices are annotated: volumes are estimates with an error"
    yield Flag("sparse", "note", text)
    if measured < _FEW_SLICES:
        text = (
            f"{measured} annotated slices, fewer than {_FEW_SLICES}: volumes may be off by over 5 %"
        )
        yield Flag("few-slices", "warning", text)


def _of_the_regions(counts: SliceCounts, volumes: Sequence[VolumeRow]) -> Iterator[Flag]:
    missing = [row for row in volumes if row.missing and row.extent == "whole"]
    tissues = [row.structure for row in missing if row.kind == "tissue"]
    if tissues:
        text = f"no region of {_listed(tissues)} in the label map: they are empty, not 0"
        yield Flag("missing", "note", text)
    voxels = counts.voxels.sum(axis=(0, 2))
    region = voxels[members(BodyRegion.SUBCUTANEOUS_TISSUE)].sum()
    adipose = next(one for one in TISSUES if one.name == "subcutaneous_adipose")
    share = voxels[members(adipose)].sum() / region if region else 1.0
    if share < _LEAST_ADIPOSE_SHARE:
        yield Flag(
            "attenuation",
            "warning",
            f"only {share:.0%} of the subcutaneous region has the HU of adipose tissue: "
            "check that the label map belongs to this CT and that the CT is in HU",
        )


def _of_the_arms(counts: SliceCounts, *, parts: bool) -> Iterator[Flag]:
    if not parts:
        yield Flag("arms", "note", "no body parts given: arms in view count as part of the slices")
        return
    voxels = counts.voxels.sum(axis=1)
    beside = voxels[:, _ARMS].any(axis=1) & voxels[:, BodyPart.TORSO].astype(bool)
    if beside.any():
        text = f"arms beside the torso in {_ranges(counts, beside)}: use torso"
        yield Flag("arms", "note", text)


def _of_the_levels(levels: Sequence[LevelRow]) -> Iterator[Flag]:
    for row in levels:
        if row.extent != "whole":
            continue
        where = row.level if row.way == "slice" else f"{row.level}, {row.way.replace('_', ' ')}"
        if row.incomplete:
            yield Flag("level", "warning", f"{where} is cut by the {row.incomplete}")
        if row.note:
            yield Flag("level", "warning", f"{where}: {row.note}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names) or "no tissue"


def _ranges(counts: SliceCounts, chosen: NDArray[np.bool_]) -> str:
    """Return runs of measured slices, ``slices 3-9, 12``."""
    rows = np.flatnonzero(chosen)
    runs = np.split(counts.measured[rows], np.flatnonzero(np.diff(rows) > 1) + 1)
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ("slices " if len(rows) > 1 else "slice ") + ", ".join(texts)
