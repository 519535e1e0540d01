"""Means over cases with intervals, next to the paper's, and the tables that show them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from saros_hf.cases.case import Case
from saros_hf.errors import UsageError
from saros_hf.labels import Task, colours, display_name, label_names, labels

from .bootstrap import Interval, bootstrap
from .paper_scores import TABLE_4, TABLE_4_AVERAGE
from .score_case import TOLERANCE_MM, MetricName, Score, ScoreProtocol, case_means, mean

_AVERAGED: tuple[tuple[MetricName, ScoreProtocol], ...] = (
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
        in_truth: Number of cases that have the label in the truth.
        means: Means by metric and protocol.
        paper_dice: Dice from the paper's Table 4.
        paper_nsd: NSD from the paper's Table 4, comparable only with the protocol ``published``.
    """

    label: str
    cases: int
    in_truth: int
    means: Mapping[tuple[MetricName, ScoreProtocol], Interval]
    paper_dice: float
    paper_nsd: float


@dataclass(frozen=True)
class GroupMean:
    """Dice and NSD of a group of cases, as means over cases of their means over labels in truth."""

    group: str
    cases: int
    dice: float
    nsd: float


@dataclass(frozen=True)
class TextRow:
    """One row of the table of scores, formatted.

    Attributes:
        name: Display name of the label, or ``Average``.
        colour: Colour of the label as ``#rrggbb``.
        dice: Mean Dice with its 95% interval, which is ``-`` for a single case.
        nsd: Mean NSD by the protocol ``slice``, likewise.
        published: Mean NSD by the protocol ``published``, empty if it was not computed.
        paper_dice: Dice from the paper's Table 4.
        paper_nsd: NSD from the paper's Table 4, to be compared with ``published``.
        cases: Number of cases that have the label in truth or prediction.
        in_truth: Number of cases that have it in the truth; in the others it scores 0.
    """

    name: str
    colour: str
    dice: str
    nsd: str
    published: str
    paper_dice: str
    paper_nsd: str
    cases: int
    in_truth: int


def label_means(scores: Sequence[Score], task: Task) -> list[LabelMeans]:
    """Return the means of every label, and their average as the last element.

    Raises:
        UsageError: A case lacks a score of a label.
    """
    names = label_names(task)[1:]
    case_ids = list(dict.fromkeys(score.case_id for score in scores))
    by_key = {(s.case_id, s.label, s.metric, s.protocol): s.value for s in scores}
    computed = {(score.metric, score.protocol) for score in scores}

    def table(key: tuple[MetricName, ScoreProtocol]) -> NDArray[np.float64]:
        try:
            return np.array([[by_key[case, name, *key] for name in names] for case in case_ids])
        except KeyError as error:
            found = f"no score {', '.join(error.args[0])}"
            raise UsageError("scores", found, "one for every case and label") from error

    cases = (~np.isnan(table(("dice", "annotated")))).sum(axis=0).tolist()
    in_truth = (table(("truth_ml", "annotated")) > 0).sum(axis=0).tolist()
    means: list[dict[Any, Interval]] = [{} for _ in names]
    macro: dict[Any, Interval] = {}
    for key in (one for one in _AVERAGED if one in computed):
        intervals, macro[key] = bootstrap(table(key))
        for row, interval in zip(means, intervals, strict=True):
            row[key] = interval
    rows = [
        LabelMeans(paper.label, cases[n], in_truth[n], means[n], paper.dice, paper.nsd)
        for n, paper in enumerate(TABLE_4[task])
    ]
    average, count = TABLE_4_AVERAGE[task], len(case_ids)
    return [*rows, LabelMeans("average", count, count, macro, average.dice, average.nsd)]


def dice_and_nsd(scores: Sequence[Score]) -> dict[str, tuple[float, float]]:
    """Return Dice and NSD (``slice``) of each case, as means over the labels in its truth."""
    dice, nsd = case_means(scores, "dice"), case_means(scores, "nsd")
    return {case_id: (dice[case_id], nsd[case_id]) for case_id in dice}


def worst_cases(scores: Sequence[Score], count: int = 10) -> list[tuple[str, float, float]]:
    """Return case id, Dice and NSD of the cases with the lowest Dice, lowest first."""
    rows = [(case, dice, nsd) for case, (dice, nsd) in dice_and_nsd(scores).items()]
    return sorted(rows, key=lambda row: (math.isnan(row[1]), row[1], row[0]))[:count]


def group_means(
    scores: Sequence[Score], cases: Mapping[str, Case], group_of: Callable[[Case], str]
) -> list[GroupMean]:
    """Return the means of each group of cases, largest group first."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for case_id, means in dice_and_nsd(scores).items():
        groups.setdefault(group_of(cases[case_id]), []).append(means)
    rows = [
        GroupMean(group, len(members), *(mean(column) for column in zip(*members, strict=True)))
        for group, members in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.cases, row.group))


def as_json(scores: Sequence[Score], task: Task, *, missing: Sequence[str]) -> dict[str, Any]:
    """Return the scores in ``summary.json``; values that are not finite become ``null``."""
    by_label = {}
    for row in label_means(scores, task):
        means = {
            f"{metric}_{protocol}" if metric == "nsd" else metric: {
                name: _finite(value) for name, value in asdict(interval).items()
            }
            for (metric, protocol), interval in row.means.items()
        }
        by_label[row.label] = {
            "cases": row.cases,
            "in_truth": row.in_truth,
            **means,
            "paper_dice": row.paper_dice,
            "paper_nsd_published": row.paper_nsd,
        }
    return {
        "task": task,
        "tolerance_mm": TOLERANCE_MM,
        "interval": "95 %, bootstrap over cases",
        "cases": len({score.case_id for score in scores}),
        "missing_counted_as_empty": list(missing),
        "labels": by_label,
        "worst_cases": [
            {"case": case, "dice": _finite(dice), "nsd_slice": _finite(nsd)}
            for case, dice, nsd in worst_cases(scores)
        ],
    }


def text_rows(scores: Sequence[Score], task: Task) -> list[TextRow]:
    """Return a formatted row for each label that has a score, and the average as the last one."""
    shown = {
        label.name.lower(): (display_name(label), colours(task)[label]) for label in labels(task)
    }
    shown["average"] = ("Average", "#ffffff")
    return [
        TextRow(
            *shown[row.label],
            dice=_interval(row.means["dice", "annotated"]),
            nsd=_interval(row.means["nsd", "slice"]),
            published=_interval(row.means.get(("nsd", "published"))),
            paper_dice=f"{row.paper_dice:.3f}",
            paper_nsd=f"{row.paper_nsd:.3f}",
            cases=row.cases,
            in_truth=row.in_truth,
        )
        for row in label_means(scores, task)
        if row.cases
    ]


def screen_table(rows: Sequence[TextRow], *, title: str, beside_paper: bool) -> Table:
    """Return the table for a terminal, with or without the paper's scores."""
    caption = "mean over cases, 95% bootstrap interval"
    table = Table(title=title, caption=caption, box=SIMPLE, padding=(0, 0, 0, 1), pad_edge=False)
    longest_word = max(len(word) for row in rows for word in row.name.split())
    table.add_column("label", min_width=longest_word, max_width=longest_word)
    columns = ["Dice", *(["paper"] if beside_paper else []), "NSD\nslice"]
    columns += ["NSD\npublished", "paper"] if beside_paper else []
    for column in (*columns, "in truth\n/ cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        if row.name == "Average":
            table.add_section()
        # An interval goes below its mean.
        dice, nsd, published = (
            text.replace(" (", "\n").rstrip(")") for text in (row.dice, row.nsd, row.published)
        )
        counts = f"{row.in_truth} / {row.cases}"
        if beside_paper:
            table.add_row(row.name, dice, row.paper_dice, nsd, published, row.paper_nsd, counts)
        else:
            table.add_row(row.name, dice, nsd, counts)
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if math.isnan(interval.mean):
        return "-"
    if math.isnan(interval.low):
        return f"{interval.mean:.3f} (-)"
    return f"{interval.mean:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
