"""What can be wrong with the files of one case, read whole."""

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
"""Of a CT on the extended scale: the usual value outside the scanned circle, and metal."""


@dataclass(frozen=True)
class Finding:
    """Something about a folder of cases that is wrong, or worth knowing.

    Attributes:
        where: A case id, the name of a folder, or ``Table 1`` or ``Table 3`` of the paper.
        check: What was checked.
        message: What was found, in one line.
        severity: A ``note`` asks for no action.
    """

    where: str
    check: Check
    message: str
    severity: Severity = "error"


@dataclass(frozen=True)
class CtSummary:
    """What the checks need of a CT, so that its voxels need not stay in memory.

    Attributes:
        grid: Shape and affine.
        lowest_hu: Smallest value of all voxels, in Hounsfield units.
        highest_hu: Largest one.
    """

    grid: Volume
    lowest_hu: int
    highest_hu: int


def check_case(
    case: Case, *, ct: CtSummary | None, regions: Volume | None, parts: Volume | None
) -> tuple[Finding, ...]:
    """Return what is wrong with a case, as far as its readable files tell.

    Args:
        case: Its row of the case table.
        ct: ``None`` if it is missing or unreadable, as for the label maps.
        regions: The body regions, values 0 to 13 and 255.
        parts: The body parts, values 0 to 6 and 255.
    """
    masks = {"body-regions": regions, "body-parts": parts}
    read = {name: mask for name, mask in masks.items() if mask is not None}
    grids = read if ct is None else read | {"image": ct.grid}
    findings = list(_check_grids(case, grids))
    for name, mask in read.items():
        findings += _check_annotation(case.case_id, name, mask.array)
    if regions is not None and parts is not None and regions.shape == parts.shape:
        findings += _check_agreement(case.case_id, regions.array, parts.array)
    if ct is not None:
        findings += _check_hu(case.case_id, ct)
    return tuple(findings)


def _check_grids(case: Case, grids: Mapping[str, Volume]) -> Iterator[Finding]:
    broken = [name for name, grid in grids.items() if not _is_invertible(grid.affine)]
    if broken:
        message = f"the affine of {', '.join(broken)} is no map to the patient"
        yield Finding(case.case_id, "grid", message)
        return
    if not grids:
        return
    # The image comes last: label maps are to lie on its grid.
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
        yield _other_orientation(case, name, first.orientation)


def _other_orientation(case: Case, name: str, found: str) -> Finding:
    message = f"{name} is {found}, the case table says {case.orientation}"
    if case.series_instance_uid in TOP_DOWN_SERIES and found[:2] == case.orientation[:2]:
        message += "; known of this case, whose label maps run from head to foot"
        return Finding(case.case_id, "orientation", message, severity="note")
    return Finding(case.case_id, "orientation", message)


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
    apart = np.setxor1d(in_regions, in_parts)
    if apart.size:
        message = (
            f"body-regions are annotated on {in_regions.size} slices, "
            f"body-parts on {in_parts.size}; on one of them alone: {_indices(apart)}"
        )
        yield Finding(case_id, "annotated-slices", message)
    differing = {
        int(k): int(np.count_nonzero((regions[..., k] > 0) != (parts[..., k] > 0)))
        for k in np.intersect1d(in_regions, in_parts)
    }
    slices = [k for k, voxels in differing.items() if voxels]
    if slices:
        message = (
            f"body-regions and body-parts disagree on what is body in "
            f"{sum(differing.values())} voxels on {len(slices)} slices: {_indices(slices)}"
        )
        yield Finding(case_id, "foreground", message)


def _check_hu(case_id: str, ct: CtSummary) -> Iterator[Finding]:
    low, high = ct.lowest_hu, ct.highest_hu
    if low == high:
        yield Finding(case_id, "hu-range", f"every voxel has {low} HU", severity="note")
    elif low < LOWEST_HU or high > HIGHEST_HU:
        message = f"{low} to {high} HU, outside {LOWEST_HU} to {HIGHEST_HU}"
        yield Finding(case_id, "hu-range", message, severity="note")


def _indices(slices: Sequence[int] | NDArray[np.intp], *, most: int = 10) -> str:
    """Return slice indices in words, cut short after ``most``."""
    shown = ", ".join(str(k) for k in slices[:most])
    return f"k = {shown}" + (f", ... ({len(slices)} in all)" if len(slices) > most else "")
