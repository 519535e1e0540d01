"""What the scores of many cases say: means with intervals, beside the paper's, and the worst."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saros_hf.cases.case import Case
from saros_hf.labels import Task, label_names

from .bootstrap import Interval, bootstrap
from .paper_scores import TABLE_4, TABLE_4_AVERAGE
from .scores import MetricName, Score, ScoreProtocol, case_means, mean

_MEASURED: tuple[tuple[MetricName, ScoreProtocol], ...] = (
    ("dice", "annotated"),
    ("nsd", "slice"),
    ("nsd", "volume"),
    ("nsd", "published"),
    ("precision", "annotated"),
    ("recall", "annotated"),
)


@dataclass(frozen=True)
class LabelMeans:
    """Means of one label over the cases that have it in truth or prediction.

    Attributes:
        label: Name of the label, ``average`` for the mean over labels.
        cases: Number of these cases.
        in_truth: Number of them that have it in the truth.
        means: By metric and protocol.
        paper_dice: Of the paper's Table 4.
        paper_nsd: Likewise; to be compared with the protocol ``published`` only.
    """

    label: str
    cases: int
    in_truth: int
    means: Mapping[tuple[MetricName, ScoreProtocol], Interval]
    paper_dice: float
    paper_nsd: float


@dataclass(frozen=True)
class GroupMean:
    """Mean over the cases of a collection or region of each one's mean over labels in truth."""

    group: str
    cases: int
    dice: float
    nsd: float


def label_means(scores: Sequence[Score], task: Task) -> list[LabelMeans]:
    """Return the means of every label, and last their average."""
    names = label_names(task)[1:]
    case_ids = list(dict.fromkeys(score.case_id for score in scores))
    found = {(s.case_id, s.label, s.metric, s.protocol): s.value for s in scores}
    known = {(score.metric, score.protocol) for score in scores}
    values = {
        key: np.array([[found[case, name, *key] for name in names] for case in case_ids])
        for key in (*_MEASURED, ("truth_ml", "annotated"))
        if key in known
    }
    in_truth = (values.pop(("truth_ml", "annotated")) > 0).sum(axis=0).tolist()
    intervals: dict[Any, tuple[list[Interval], Interval]] = {
        key: bootstrap(array) for key, array in values.items()
    }
    cases = (~np.isnan(values["dice", "annotated"])).sum(axis=0).tolist()
    rows = [
        LabelMeans(
            name,
            cases[n],
            in_truth[n],
            {key: labels[n] for key, (labels, _) in intervals.items()},
            paper.dice,
            paper.nsd,
        )
        for n, (name, paper) in enumerate(zip(names, TABLE_4[task], strict=True))
    ]
    average = TABLE_4_AVERAGE[task]
    macro = {key: whole for key, (_, whole) in intervals.items()}
    total = LabelMeans("average", len(case_ids), len(case_ids), macro, average.dice, average.nsd)
    return [*rows, total]


def dice_and_nsd(scores: Sequence[Score]) -> dict[str, tuple[float, float]]:
    """Return Dice and NSD (``slice``) of each case, as means over the labels in its truth."""
    dice, nsd = case_means(scores, "dice"), case_means(scores, "nsd")
    return {case_id: (dice[case_id], nsd[case_id]) for case_id in dice}


def worst_cases(scores: Sequence[Score], count: int = 10) -> list[tuple[str, float, float]]:
    """Return case id, Dice and NSD of the cases with the lowest Dice, the worst first."""
    rows = [(case, dice, nsd) for case, (dice, nsd) in dice_and_nsd(scores).items()]
    return sorted(rows, key=lambda row: (math.isnan(row[1]), row[1], row[0]))[:count]


def group_means(
    scores: Sequence[Score], cases: Mapping[str, Case], group_of: Callable[[Case], str]
) -> list[GroupMean]:
    """Return the means of each group of cases, the largest first."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for case_id, means in dice_and_nsd(scores).items():
        groups.setdefault(group_of(cases[case_id]), []).append(means)
    rows = [
        GroupMean(group, len(found), mean([d for d, _ in found]), mean([n for _, n in found]))
        for group, found in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.cases, row.group))


def as_json(scores: Sequence[Score], task: Task, *, missing: Sequence[str]) -> dict[str, Any]:
    """Return what ``summary.json`` holds; ``null`` where there is no value."""
    labels = {}
    for row in label_means(scores, task):
        means = {
            f"{metric}_{protocol}" if metric == "nsd" else metric: {
                "mean": _finite(one.mean),
                "low": _finite(one.low),
                "high": _finite(one.high),
            }
            for (metric, protocol), one in row.means.items()
        }
        labels[row.label] = {
            "cases": row.cases,
            "in_truth": row.in_truth,
            **means,
            "paper_dice": row.paper_dice,
            "paper_nsd_published": row.paper_nsd,
        }
    worst = [
        {"case": case, "dice": _finite(dice), "nsd_slice": _finite(nsd)}
        for case, dice, nsd in worst_cases(scores)
    ]
    return {
        "task": task,
        "tolerance_mm": 3.0,
        "interval": "95 %, bootstrap over cases",
        "cases": len({score.case_id for score in scores}),
        "missing_counted_as_empty": list(missing),
        "labels": labels,
        "worst_cases": worst,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
