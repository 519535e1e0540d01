"""Scores as records: their table on disk and their means over labels and cases."""

import csv
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from saros_hf.errors import MissingFileError, TableError, UsageError
from saros_hf.files import write_atomically

from ..surfaces.protocol_names import SurfaceProtocol

MetricName: TypeAlias = Literal[
    "dice", "nsd", "precision", "recall", "assd_mm", "truth_ml", "predicted_ml"
]
ScoreProtocol: TypeAlias = Literal["annotated", "slice", "volume", "published"]

COLUMNS = ("case", "label", "metric", "protocol", "value")


@dataclass(frozen=True)
class Score:
    """One number about one foreground label of one case.

    Attributes:
        case_id: Name of the case.
        label: Name as in :func:`saros_hf.labels.label_names`.
        metric: ``dice``; ``nsd`` at 3 mm; ``precision``; ``recall``; ``assd_mm``, the average
            symmetric surface distance; ``truth_ml`` and ``predicted_ml``, the volume of the
            label's annotated voxels in millilitres, 0 where the map lacks it.
        protocol: For ``nsd`` and ``assd_mm`` a surface protocol, otherwise ``annotated``.
        value: But for volumes NaN if neither map has the label, and 0 if only one has it,
            infinite for ``assd_mm``.
    """

    case_id: str
    label: str
    metric: MetricName
    protocol: ScoreProtocol
    value: float


def write_metrics(path: Path, scores: Iterable[Score]) -> None:
    """Write scores as CSV with the columns case, label, metric, protocol, value.

    A NaN becomes an empty field; every other value reads back as the very same number.
    """
    with write_atomically(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for score in scores:
            value = "" if math.isnan(score.value) else repr(float(score.value))
            writer.writerow((score.case_id, score.label, score.metric, score.protocol, value))


def read_metrics(path: Path) -> list[Score]:
    """Return the scores that :func:`write_metrics` wrote.

    Raises:
        MissingFileError: There is no such file.
        TableError: The file has other columns, or a row that is no score.
    """
    if not path.is_file():
        raise MissingFileError(
            path,
            "no such file",
            "a table of scores",
            "Make it with: saros evaluate TRUTH_DIR PREDICTION_DIR --out DIR",
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise _no_score(path, rows[0] if rows else [])
    return [_score(row, f"{path}, line {line}") for line, row in enumerate(rows[1:], start=2)]


def case_mean(
    scores: Iterable[Score],
    metric: Literal["dice", "nsd"],
    *,
    protocol: SurfaceProtocol = "slice",
) -> float:
    """Return the mean over cases of :func:`case_means`, NaN if no case has a label."""
    return mean(case_means(scores, metric, protocol=protocol).values())


def case_means(
    scores: Iterable[Score],
    metric: Literal["dice", "nsd"],
    *,
    protocol: SurfaceProtocol = "slice",
) -> dict[str, float]:
    """Return the mean of each case over the labels present in its truth, by case id.

    Unlike a mean per label, a prediction of something that the truth lacks costs nothing here
    beyond what it takes from the labels that are there.

    Args:
        scores: With the ``truth_ml`` rows, which tell what is present.
        metric: What to average.
        protocol: Surface protocol, for ``nsd``.

    Returns:
        NaN for a case without a label.

    Raises:
        UsageError: There is no such metric, or no ``truth_ml`` beside one of its values.
    """
    scores = list(scores)
    wanted = protocol if metric == "nsd" else "annotated"
    truth_ml = {(s.case_id, s.label): s.value for s in scores if s.metric == "truth_ml"}
    chosen = [s for s in scores if s.metric == metric and s.protocol == wanted]
    if not chosen or any((s.case_id, s.label) not in truth_ml for s in chosen):
        raise UsageError(
            "scores",
            f"{len(chosen)} {metric} ({wanted}) and {len(truth_ml)} truth_ml values",
            "both for the same cases and labels",
            "Score the cases again with this protocol.",
        )
    cases: dict[str, list[float]] = {}
    for score in chosen:
        found = cases.setdefault(score.case_id, [])
        if truth_ml[score.case_id, score.label] > 0:
            found.append(score.value)
    return {case_id: mean(values) for case_id, values in cases.items()}


def mean(values: Iterable[float]) -> float:
    """Return the mean of those values that are not NaN, NaN if all are."""
    found = [value for value in values if not math.isnan(value)]
    return statistics.fmean(found) if found else math.nan


def _score(row: list[str], where: str) -> Score:
    """Return the score in one line of the table."""
    try:
        case_id, label, metric, protocol, text = row
        value = float(text) if text else math.nan
    except ValueError as error:
        raise _no_score(where, row) from error
    if metric not in get_args(MetricName) or protocol not in get_args(ScoreProtocol):
        raise _no_score(where, row)
    return Score(case_id, label, cast(MetricName, metric), cast(ScoreProtocol, protocol), value)


def _no_score(where: str | Path, row: list[str]) -> TableError:
    return TableError(
        where,
        repr(",".join(row)),
        ",".join(COLUMNS),
        "Use a table that saros evaluate wrote, unedited.",
    )
