"""Scores of one case, their table ``metrics.csv``, and each case's mean over its labels."""

import csv
import math
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from torch import Tensor

from saros_hf.errors import GridMismatchError, MissingFileError, SarosError, TableError, UsageError
from saros_hf.files import write_atomically
from saros_hf.labels import Task, label_names, num_classes
from saros_hf.volume import Volume

from ..functional import (
    average_surface_distance_per_class,
    confusion_matrix,
    dice_of,
    precision_of,
    surface_dice_per_class,
)
from ..surfaces.protocols import SurfaceProtocol

MetricName: TypeAlias = Literal[
    "dice", "nsd", "precision", "recall", "assd_mm", "truth_ml", "predicted_ml"
]
ScoreProtocol: TypeAlias = Literal["annotated", "slice", "volume", "published"]

TOLERANCE_MM = 3.0
"""NSD tolerance of the paper (Technical Validation, Table 4)."""

COLUMNS = ("case", "label", "metric", "protocol", "value")

_NEEDED: frozenset[tuple[MetricName, ScoreProtocol]] = frozenset(
    {("dice", "annotated"), ("nsd", "slice"), ("truth_ml", "annotated")}
)
"""Scores without which there is no table of means."""
_ROUNDING = 1e-6
_MOST = {"assd_mm": math.inf, "truth_ml": sys.float_info.max, "predicted_ml": sys.float_info.max}
"""Largest value of the metrics that are no fraction."""
_UNEDITED = "Use an unedited table of saros evaluate."


@dataclass(frozen=True)
class Score:
    """One score of one foreground label of one case.

    Attributes:
        case_id: Case id.
        label: Name as in :func:`saros_hf.labels.label_names`.
        metric: ``dice``; ``nsd`` at 3 mm; ``precision``; ``recall``; ``assd_mm``, the average
            symmetric surface distance; ``truth_ml`` and ``predicted_ml``, the volume of the
            label's annotated voxels in millilitres, 0 if the map does not contain the label.
        protocol: Surface protocol for ``nsd`` and ``assd_mm``, otherwise ``annotated``.
        value: Except for volumes: NaN if neither map contains the label; if only one map does, 0,
            or infinity for ``assd_mm``.
    """

    case_id: str
    label: str
    metric: MetricName
    protocol: ScoreProtocol
    value: float


def score_case(
    case_id: str,
    pred: Volume,
    truth: Volume,
    task: Task,
    *,
    protocols: Sequence[SurfaceProtocol] = ("slice",),
) -> list[Score]:
    """Return all scores of one case, metric by metric, labels in the order of their ids.

    Args:
        case_id: Case id, also used in error messages.
        pred: Label map on the voxel grid of ``truth``, in any axis orientation.
        truth: Label map, 255 = not annotated.
        task: Label set of both maps.
        protocols: Surface protocols of the NSD, see
            :func:`training.functional.surface_dice_per_class`.

    Raises:
        GridMismatchError: The prediction is on a different grid.
        UnknownLabelError: An annotated voxel holds a value that is not a label of ``task``.
        UsageError: The truth has no annotated slice.
    """
    pred = _on_grid_of(truth, pred, case_id)
    try:
        found = _scores(pred, truth, task, protocols)
    except SarosError as error:
        where = f"{case_id}, {error.where}"
        raise type(error)(where, error.found, error.expected, error.remedy) from error
    return [
        Score(case_id, label, metric, protocol, value)
        for (metric, protocol), values in found.items()
        for label, value in list(zip(label_names(task), values.tolist(), strict=True))[1:]
    ]


def _on_grid_of(truth: Volume, pred: Volume, case_id: str) -> Volume:
    """Return the prediction in the orientation of the truth."""
    pred = pred.oriented(truth.orientation)
    if not pred.same_grid(truth):
        raise GridMismatchError(
            f"{case_id}, prediction",
            pred.describe_grid(),
            f"the grid of the truth, {truth.describe_grid()}",
            "Resample the prediction to the label map's voxels, nearest neighbour.",
        )
    return pred


def _scores(
    pred: Volume, truth: Volume, task: Task, protocols: Sequence[SurfaceProtocol]
) -> dict[tuple[MetricName, ScoreProtocol], Tensor]:
    """Return every score of each label, background included."""
    maps, classes, spacing_mm = (pred.array, truth.array), num_classes(task), truth.spacing_mm
    counts = confusion_matrix(*maps, num_classes=classes)
    found: dict[tuple[MetricName, ScoreProtocol], Tensor] = {
        ("dice", "annotated"): dice_of(counts),
        ("precision", "annotated"): precision_of(counts),
        ("recall", "annotated"): precision_of(counts.T),
    }
    for protocol in protocols:
        found["nsd", protocol] = surface_dice_per_class(
            *maps,
            spacing_mm=spacing_mm,
            num_classes=classes,
            tolerance_mm=TOLERANCE_MM,
            protocol=protocol,
            include_background=False,
        )
    found["assd_mm", "slice"] = average_surface_distance_per_class(
        *maps, spacing_mm=spacing_mm, num_classes=classes, include_background=False
    )
    voxel_ml = math.prod(spacing_mm) / 1000
    found["truth_ml", "annotated"] = counts.sum(1) * voxel_ml
    found["predicted_ml", "annotated"] = counts.sum(0) * voxel_ml
    return found


def write_metrics(path: Path, scores: Iterable[Score]) -> None:
    """Write scores as CSV with the columns case, label, metric, protocol, value.

    NaN is written as an empty field; all other values are read back exactly.
    """
    with write_atomically(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for score in scores:
            value = "" if math.isnan(score.value) else repr(float(score.value))
            writer.writerow((score.case_id, score.label, score.metric, score.protocol, value))


def read_metrics(path: Path) -> list[Score]:
    """Return the scores written by :func:`write_metrics`.

    Raises:
        MissingFileError: The file does not exist.
        TableError: The file is no text, has other columns, or a row is not a possible score.
    """
    if not path.is_file():
        raise MissingFileError(path, "no such file", "a table written by saros evaluate")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(path, f"no CSV text ({error})", ",".join(COLUMNS), _UNEDITED) from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise _not_a_score(path, rows[0] if rows else [])
    return [_score(row, f"{path}, line {line}") for line, row in enumerate(rows[1:], start=2)]


def _score(row: list[str], where: str) -> Score:
    try:
        case_id, label, metric, protocol, text = row
        value = float(text) if text else math.nan
    except ValueError as error:
        raise _not_a_score(where, row) from error
    if metric not in get_args(MetricName) or protocol not in get_args(ScoreProtocol):
        raise _not_a_score(where, row)
    if not (math.isnan(value) or 0 <= value <= _MOST.get(metric, 1 + _ROUNDING)):
        raise _not_a_score(where, row)
    return Score(case_id, label, cast(MetricName, metric), cast(ScoreProtocol, protocol), value)


def _not_a_score(where: str | Path, row: list[str]) -> TableError:
    return TableError(where, repr(",".join(row)), ",".join(COLUMNS), _UNEDITED)


def refuse_incomplete(path: Path, scores: Sequence[Score], task: Task, *, cases: int) -> None:
    """Raise unless a table holds every score of every label of that many cases once.

    Raises:
        TableError: A row is missing, is there twice, or has no label of ``task``.
    """
    found = Counter((s.case_id, s.label, s.metric, s.protocol) for s in scores)
    kinds = {(s.metric, s.protocol) for s in scores} | _NEEDED
    rows = product({s.case_id for s in scores}, label_names(task)[1:], kinds)
    expected = Counter((case_id, label, *kind) for case_id, label, kind in rows)
    if found != expected or len({s.case_id for s in scores}) != cases:
        odd = next(iter((found - expected) or (expected - found)), ())
        what = f"{len(scores)} scores" + (f", {', '.join(odd)} missing or too many" if odd else "")
        raise TableError(path, what, f"every score of {cases} cases once", _UNEDITED)


def case_means(
    scores: Iterable[Score],
    metric: Literal["dice", "nsd"],
    *,
    protocol: SurfaceProtocol = "slice",
) -> dict[str, float]:
    """Return each case's mean over the labels present in its truth, by case id.

    Unlike in a mean per label, predicting a label that is absent from the truth costs nothing
    here beyond the voxels it takes from the labels that are present.

    Args:
        scores: Scores including ``truth_ml``, which decides which labels are present.
        metric: Metric to average.
        protocol: Surface protocol of the NSD.

    Returns:
        NaN for a case without any label.

    Raises:
        UsageError: The metric is missing, or a value has no matching ``truth_ml``.
    """
    scores = list(scores)
    wanted = protocol if metric == "nsd" else "annotated"
    truth_ml = {(s.case_id, s.label): s.value for s in scores if s.metric == "truth_ml"}
    chosen = [s for s in scores if s.metric == metric and s.protocol == wanted]
    if not chosen or any((s.case_id, s.label) not in truth_ml for s in chosen):
        found = f"{len(chosen)} {metric} ({wanted}) and {len(truth_ml)} truth_ml values"
        raise UsageError("scores", found, "both for the same cases and labels")
    cases: dict[str, list[float]] = {}
    for score in chosen:
        values = cases.setdefault(score.case_id, [])
        if truth_ml[score.case_id, score.label] > 0:
            values.append(score.value)
    return {case_id: mean(values) for case_id, values in cases.items()}


def case_mean(
    scores: Iterable[Score],
    metric: Literal["dice", "nsd"],
    *,
    protocol: SurfaceProtocol = "slice",
) -> float:
    """Return the mean of :func:`case_means` over cases, NaN if no case has a label."""
    return mean(case_means(scores, metric, protocol=protocol).values())


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, NaN if there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan
