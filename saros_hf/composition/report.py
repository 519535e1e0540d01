"""The HTML report of a case: one page that needs no other file and no network."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from ..files import write_atomically
from ..volume import Volume
from .pictures import TISSUE_COLOURS, axial_png, projection_png
from .result import Composition, SliceRow
from .tissues import RATIOS, TISSUES

__all__ = ["environment", "write_case_report"]

_PICTURES = 3
_CURVES = {
    "muscle": ("Muscle", TISSUE_COLOURS["muscle"]),
    "subcutaneous_adipose": ("SAT", TISSUE_COLOURS["subcutaneous_adipose"]),
    "visceral_adipose": ("VAT", TISSUE_COLOURS["visceral_adipose"]),
    "bone": ("Bone", "#888888"),
}
_CHART = (250.0, 300.0)
"""Width and height of the chart."""


@dataclass(frozen=True)
class Curve:
    """The area of a tissue along the body."""

    title: str
    colour: str
    points: str


@dataclass(frozen=True)
class Chart:
    """Areas along the body: to the right the area, upwards the height."""

    curves: Sequence[Curve]
    widest_cm2: float
    lowest_mm: float
    highest_mm: float


@cache
def environment() -> Environment:
    """Return the templates with the filters that they use."""
    found = Environment(
        loader=PackageLoader("saros_hf.composition"), autoescape=True, trim_blocks=True
    )
    found.filters["png"] = lambda png: base64.b64encode(png).decode("ascii")
    found.filters["number"] = _number
    found.filters["words"] = lambda name: name.replace("_", " ")
    return found


def write_case_report(
    path: Path,
    name: str,
    ct: Volume,
    composition: Composition,
    facts: Mapping[str, Any],
) -> None:
    """Write the report of a case.

    Args:
        path: File to write.
        name: Name of the case.
        ct: The CT.
        composition: Its measurement.
        facts: Further lines for the foot of the page, e.g. versions and acquisition.
    """
    extents = [one for one in ("whole", "torso") if one in {r.extent for r in composition.volumes}]
    ratios = {(one.extent, one.ratio): one.value for one in composition.ratios}
    shown = _slices_to_show(composition)
    page = environment().get_template("case.html")
    text = page.render(
        name=name,
        composition=composition,
        tissues=TISSUES,
        colours=TISSUE_COLOURS,
        ratios=[(one.name, [ratios[extent, one.name] for extent in extents]) for one in RATIOS],
        extents=extents,
        chart=_chart([row for row in composition.slices if row.extent == "whole"]),
        coronal=projection_png(composition.tissue_map, axis=1),
        sagittal=projection_png(composition.tissue_map, axis=0),
        pictures=[(title, axial_png(ct, composition.tissue_map, k)) for title, k in shown],
        levels=_levels(composition),
        facts=facts,
    )
    with write_atomically(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _levels(composition: Composition) -> list[Any]:
    """Return the levels of the torso, of the whole slice without body parts."""
    extents = {row.extent for row in composition.levels}
    chosen = "torso" if "torso" in extents else "whole"
    return [row for row in composition.levels if row.extent == chosen]


def _slices_to_show(composition: Composition) -> list[tuple[str, int]]:
    """Return the slices of the levels, or three slices of the scan, with a title each."""
    levels = {
        row.level: (row.first_slice + row.last_slice) // 2
        for row in composition.levels
        if row.way in ("slice", "middle_slice")
    }
    if levels:
        names = sorted(levels, key=lambda level: (level != "L3", level))[:_PICTURES]
        return [(name, levels[name]) for name in names]
    measured = sorted({row.slice for row in composition.slices})
    places = [round((n + 0.5) / _PICTURES * (len(measured) - 1)) for n in range(_PICTURES)]
    chosen = sorted({measured[place] for place in places})
    return [(f"slice {k}", k) for k in chosen]


def _chart(rows: Sequence[SliceRow]) -> Chart:
    width, height = _CHART
    areas = {name: [row.tissues[name].area_cm2 for row in rows] for name in _CURVES}
    known = [area for one in areas.values() for area in one if not math.isnan(area)]
    widest = max([*known, 1.0])
    heights = [row.height_mm for row in rows]
    low, high = min(heights), max(heights)
    curves = []
    for name, (title, colour) in _CURVES.items():
        points = [
            f"{area / widest * width:.1f},{height * (1 - (z - low) / max(high - low, 1)):.1f}"
            for area, z in zip(areas[name], heights, strict=True)
            if not math.isnan(area)
        ]
        if points:
            curves.append(Curve(title, colour, " ".join(points)))
    return Chart(curves, widest, low, high)


def _number(value: float | None, digits: int = 0) -> str:
    # A failed case has no such column.
    if not isinstance(value, float | int) or math.isnan(value):
        return "-"
    return f"{value:,.{digits}f}"
