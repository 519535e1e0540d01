"""The HTML report of many cases: failures and warnings, outliers, distributions, every case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..files import write_atomically
from .report import environment

__all__ = ["Outlier", "find_outliers", "write_cohort_report"]

Row = Mapping[str, Any]

SHOWN = {
    "muscle_volume_ml": "Muscle, mL",
    "subcutaneous_adipose_volume_ml": "Subcutaneous adipose, mL",
    "visceral_adipose_volume_ml": "Visceral adipose, mL",
    "bone_volume_ml": "Bone, mL",
    "muscle_mean_hu": "Muscle, HU",
    "muscle_to_bone": "Muscle to bone",
    "visceral_to_subcutaneous_adipose": "Visceral to subcutaneous",
    "l3_muscle_area_cm2": "Muscle at L3, cm2",
    "l3_muscle_index_cm2_per_m2": "Muscle index at L3, cm2/m2",
}
"""Columns of the page, with their titles."""

_FEWEST = 5
_FAR = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin)."""

_WIDTH = 300.0


@dataclass(frozen=True)
class Outlier:
    """A value far from those of the other cases."""

    case: str
    title: str
    value: float
    z: float


@dataclass(frozen=True)
class Distribution:
    """The values of a column: places of the dots and of the quartiles from left to right."""

    title: str
    count: int
    low: float
    high: float
    median: float
    dots: Sequence[float]
    box: Sequence[float]


def find_outliers(rows: Sequence[Row]) -> list[Outlier]:
    """Return values far from the median of the cases, the farthest first.

    The distance is the modified z-score, 0.6745 times that from the median over the median of
    those distances; columns with fewer than five values have none.
    """
    found = []
    for column, title in SHOWN.items():
        known = [(row["case"], row[column]) for row in rows if row.get(column) is not None]
        values = np.array([value for _, value in known])
        if len(values) < _FEWEST:
            continue
        distances = values - np.median(values)
        usual = np.median(np.abs(distances))
        if usual == 0:
            continue
        scores = 0.6745 * distances / usual
        found += [
            Outlier(case, title, value, float(z))
            for (case, value), z in zip(known, scores, strict=True)
            if abs(z) > _FAR
        ]
    return sorted(found, key=lambda one: -abs(one.z))


def write_cohort_report(path: Path, rows: Sequence[Row]) -> None:
    """Write the page of many cases.

    Args:
        path: File to write; the page of each case is ``NAME/report.html`` beside it.
        rows: Rows of the table of cases.
    """
    order = {"failed": 0, "flagged": 1, "done": 2}
    text = (
        environment()
        .get_template("cohort.html")
        .render(
            rows=sorted(rows, key=lambda row: (order[row["status"]], row["case"])),
            failed=[row for row in rows if row["status"] == "failed"],
            flagged=[row for row in rows if row["status"] == "flagged"],
            outliers=find_outliers(rows),
            distributions=[one for one in (_distribution(rows, c) for c in SHOWN) if one],
            columns=SHOWN,
            width=_WIDTH,
            link=lambda case: f"{quote(case)}/report.html",
        )
    )
    with write_atomically(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _distribution(rows: Sequence[Row], column: str) -> Distribution | None:
    values = np.array([row[column] for row in rows if row.get(column) is not None], np.float64)
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    places = (values - low) / max(high - low, 1e-9) * _WIDTH
    box = np.quantile(places, (0.25, 0.5, 0.75)).tolist()
    median = float(np.median(values))
    return Distribution(SHOWN[column], len(values), low, high, median, places.tolist(), box)
