"""Levels of the spine: which slices stand for a vertebra, a slice or a height."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..volume import Volume

__all__ = ["VERTEBRAE", "Level", "LevelWay", "find_levels", "slice_heights_mm"]

LevelWay: TypeAlias = Literal["slice", "middle_slice", "mean_of_three", "whole_level"]
"""How a level is measured: the given slice; the middle one of the slices that show any voxel of the
vertebra; the mean of that slice and its two neighbours; the mean of all slices of the vertebra."""

_SPINE = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
    "S1",
)
VERTEBRAE: Mapping[str, int] = {name: 50 - n for n, name in enumerate(_SPINE)}
"""Labels of the vertebrae in the task ``total`` of TotalSegmentator 2: C1 is 50, L3 29, S1 26."""


@dataclass(frozen=True)
class Level:
    """Slices that stand for a level.

    Attributes:
        name: ``L3``, ``slice 57`` or ``-804.5 mm``.
        way: How it is measured.
        slices: Indices of its slices, rising.
        at_scan_edge: Whether the scan may show only a part of it.
    """

    name: str
    way: LevelWay
    slices: tuple[int, ...]
    at_scan_edge: bool


def find_levels(
    at: Sequence[str], ct: Volume, vertebrae: Volume | None = None
) -> tuple[Level, ...]:
    """Return every way of measuring each level.

    Args:
        at: ``slice:57`` counts slices from 0, ``mm:-804.5`` is the height in the patient's
            coordinates that viewers and DICOM show, ``L3`` is a vertebra.
        ct: The grid.
        vertebrae: Label map on this grid, with the labels of :data:`VERTEBRAE`. All its vertebrae
            are added to ``at``.

    Raises:
        UsageError: A level is not in the scan or not in the label map, or cannot be read.
    """
    found = {} if vertebrae is None else _vertebrae(vertebrae)
    levels: list[Level] = []
    for name in dict.fromkeys([*at, *found]):
        if re.fullmatch(r"[CTLS]\d+", name):
            levels += _at_vertebra(name, found, ct.shape[2], given=vertebrae is not None)
        else:
            levels += _at_slice(name, ct)
    return tuple(levels)


def _vertebrae(mask: Volume) -> dict[str, NDArray[np.intp]]:
    """Return the slices of every vertebra of a label map."""
    slices: dict[int, list[int]] = {}
    for k in range(mask.shape[2]):
        plane = mask.array[..., k]
        for label in np.unique(plane[plane > 0]):
            slices.setdefault(int(label), []).append(k)
    found = {name: np.array(slices[label]) for name, label in VERTEBRAE.items() if label in slices}
    if not found:
        others = ", ".join(str(one) for one in sorted(slices))[:60] or "no label"
        raise UsageError(
            "vertebrae",
            f"{others} in the label map",
            f"labels of vertebrae, e.g. {VERTEBRAE['L3']} for L3 as TotalSegmentator writes it",
            "State the labels of this label map, e.g. --vertebra-labels L3=20 L2=21.",
        )
    return found


def _at_vertebra(
    name: str, found: Mapping[str, NDArray[np.intp]], count: int, *, given: bool
) -> list[Level]:
    if name not in found:
        raise UsageError(
            f"level {name}",
            f"{', '.join(found)} in the vertebra mask" if given else "no vertebra mask",
            f"{name} in it",
            "Leave this level out, or give its slice, e.g. slice:57.",
        )
    slices = found[name]
    first, last = int(slices[0]), int(slices[-1])
    cut = first == 0 or last == count - 1
    middle = (first + last) // 2
    whole = Level(name, "whole_level", tuple(range(first, last + 1)), cut)
    return [Level(name, "middle_slice", (middle,), cut), _three(name, middle, count, cut), whole]


def _at_slice(name: str, ct: Volume) -> list[Level]:
    kind, _, text = name.partition(":")
    count = ct.shape[2]
    heights = slice_heights_mm(ct)
    try:
        if kind == "slice":
            k, title = int(text), f"slice {int(text)}"
        elif kind == "mm":
            height, title = float(text), f"{float(text):g} mm"
            k = int(np.abs(heights - height).argmin())
            half = abs(heights[1] - heights[0]) / 2 if count > 1 else 0.0
            k = k if abs(heights[k] - height) <= half + 1e-6 else -1
        else:
            raise ValueError
    except ValueError as error:
        expected = "L3, slice:57 or mm:-804.5"
        raise UsageError("level", repr(name), expected) from error
    if not 0 <= k < count:
        low, high = sorted((heights[0], heights[-1]))
        expected = f"slice 0 to {count - 1}, {low:g} to {high:g} mm"
        raise UsageError("level", name, expected, "Give a level inside the scan.")
    return [Level(title, "slice", (k,), False), _three(title, k, count, False)]


def _three(name: str, middle: int, count: int, cut: bool) -> Level:
    """Return a slice with its neighbours, fewer than three at the edge of the scan."""
    slices = tuple(k for k in (middle - 1, middle, middle + 1) if 0 <= k < count)
    return Level(name, "mean_of_three", slices, cut or len(slices) < 3)


def slice_heights_mm(volume: Volume) -> NDArray[np.float64]:
    """Return the height of every slice's centre in the patient's coordinates, as DICOM states it."""
    i, j, count = volume.shape
    centre = volume.affine @ np.array([(i - 1) / 2, (j - 1) / 2, 0, 1])
    return np.asarray(centre[2] + volume.affine[2, 2] * np.arange(count))
