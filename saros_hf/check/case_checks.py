"""Check the files of one case: grids, orientation, annotation and Hounsfield units."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..cases.case import Case
from ..cases.pairing import TOP_DOWN_SERIES, shared_affine
from ..labels import IGNORE_INDEX
from ..volume import Volume, annotated_slices

Check: TypeAlias = Literal[
    "missing-file",
    "unreadable-file",
    "unknown-label",
    "grid",
    "slice-spacing",
    "orientation",
    "not-annotated",
    "partial-slice",
    "annotated-slices",
    "foreground",
    "hu-range",
    "source",
    "no-row",
    "leftover",
    "table-1",
    "table-3",
    "not-compared",
]
Severity: TypeAlias = Literal["error", "note"]

SLICE_SPACING_MM = 5.0
SPACING_TOLERANCE_MM = 0.001

LOWEST_HU, HIGHEST_HU = -1024, 30_710
"""Range of the extended CT scale: from outside the scanned circle to metal."""


@dataclass(frozen=True)
class Finding:
    """A problem of a folder of cases, or a note about it.

    Attributes:
        where: A case id, the name of a folder, or ``Table 1`` or ``Table 3`` of the paper.
        check: Name of the check.
        message: Result of the check in one line.
        severity: ``error``, or ``note`` if no action is needed.
    """

    where: str
    check: Check
    message: str
    severity: Severity = "error"


@dataclass(frozen=True)
class CtSummary:
    """Grid and value range of a CT, so that its voxels need not stay in memory.

    Attributes:
        grid: Shape and affine.
        lowest_hu: Smallest value of all voxels, in Hounsfield units.
        highest_hu: Largest value of all voxels, in Hounsfield units.
    """

    grid: Volume
    lowest_hu: int
    highest_hu: int


def check_case(
    case: Case, *, ct: CtSummary | None, regions: Volume | None, parts: Volume | None
) -> tuple[Finding, ...]:
    """Return the problems of a case, as far as its readable files show them.

    Args:
        case: Row of the case table.
        ct: The CT; ``None`` if it is missing or unreadable.
        regions: The body regions, values 0 to 13 and 255; ``None`` likewise.
        parts: The body parts, values 0 to 6 and 255; ``None`` likewise.
    """
    named = {"body-regions": regions, "body-parts": parts}
    masks = {name: mask for name, mask in named.items() if mask is not None}
    findings = list(_check_grids(case, masks if ct is None else masks | {"image": ct.grid}))
    for name, mask in masks.items():
        findings += _check_annotation(case.case_id, name, mask.array)
    if regions is not None and parts is not None and regions.shape == parts.shape:
        findings += _check_agreement(case.case_id, regions.array, parts.array)
    if ct is not None:
        findings += _check_hu(case.case_id, ct)
    return tuple(findings)


def _check_grids(case: Case, grids: Mapping[str, Volume]) -> Iterator[Finding]:
    broken = [name for name, grid in grids.items() if not _is_invertible(grid.affine)]
    if broken:
        message = f"the affine of {', '.join(broken)} is not invertible"
        yield Finding(case.case_id, "grid", message)
        return
    if not grids:
        return
    # The image comes last: it is the reference for the label maps.
    *others, (name, first) = grids.items()
    for other_name, other in others:
        top_down = name == "image" and case.series_instance_uid in TOP_DOWN_SERIES
        if shared_affine(first, other, top_down=top_down) is None:
            message = f"{other_name} has {other.describe_grid()}; {name} {first.describe_grid()}"
            yield Finding(case.case_id, "grid", message)
    spacing = first.spacing_mm[2]
    if abs(spacing - SLICE_SPACING_MM) > SPACING_TOLERANCE_MM:
        message = f"{name} has slices {spacing:g} mm apart, expected {SLICE_SPACING_MM:g} mm"
        yield Finding(case.case_id, "slice-spacing", message)
    if first.orientation != case.orientation:
        message = f"{name} is {first.orientation}, the case table says {case.orientation}"
        top_down = case.series_instance_uid in TOP_DOWN_SERIES
        if top_down and first.orientation[:2] == case.orientation[:2]:
            message += "; the label maps of this case are known to run from head to foot"
            yield Finding(case.case_id, "orientation", message, severity="note")
        else:
            yield Finding(case.case_id, "orientation", message)


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-9)


def _check_annotation(case_id: str, name: str, mask: NDArray[Any]) -> Iterator[Finding]:
    annotated = annotated_slices(mask)
    touched = np.flatnonzero((mask != IGNORE_INDEX).any(axis=(0, 1)))
    partial = np.setdiff1d(touched, annotated)
    if partial.size:
        message = f"{name} has slices that are partly {IGNORE_INDEX}: {_indices(partial)}"
        yield Finding(case_id, "partial-slice", message)
    if not annotated.size:
        yield Finding(case_id, "not-annotated", f"{name} has no annotated slice")


def _check_agreement(
    case_id: str, regions: NDArray[np.uint8], parts: NDArray[np.uint8]
) -> Iterator[Finding]:
    in_regions, in_parts = annotated_slices(regions), annotated_slices(parts)
    differing = np.setxor1d(in_regions, in_parts)
    if differing.size:
        message = (
            f"body-regions are annotated on {in_regions.size} slices, "
            f"body-parts on {in_parts.size}; only in one of them: {_indices(differing)}"
        )
        yield Finding(case_id, "annotated-slices", message)
    voxels = {
        int(k): int(np.count_nonzero((regions[..., k] > 0) != (parts[..., k] > 0)))
        for k in np.intersect1d(in_regions, in_parts)
    }
    slices = [k for k, count in voxels.items() if count]
    if slices:
        message = (
            f"the foreground of body-regions and body-parts differs in {sum(voxels.values())} "
            f"voxels on {len(slices)} slices: {_indices(slices)}"
        )
        yield Finding(case_id, "foreground", message)


def _check_hu(case_id: str, ct: CtSummary) -> Iterator[Finding]:
    low, high = ct.lowest_hu, ct.highest_hu
    if low == high:
        yield Finding(case_id, "hu-range", f"every voxel has {low} HU", severity="note")
    elif low < LOWEST_HU or high > HIGHEST_HU:
        message = f"{low} to {high} HU, outside {LOWEST_HU} to {HIGHEST_HU}"
        yield Finding(case_id, "hu-range", message, severity="note")


def _indices(slices: Sequence[int] | NDArray[np.intp]) -> str:
    """Return the first ten slice indices as text."""
    shown = ", ".join(str(k) for k in slices[:10])
    return f"k = {shown}" + (f", ... ({len(slices)} in all)" if len(slices) > 10 else "")
