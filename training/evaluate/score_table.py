"""The table of scores in words, for the screen, the report and the model card."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.table import Table

from saros_hf.labels import Task, colours, display_name, labels

from .bootstrap import Interval
from .scores import Score
from .summary import LabelMeans, label_means


@dataclass(frozen=True)
class TextRow:
    """One line of the table.

    Attributes:
        name: Of the label, or ``Average``.
        colour: Of the label, as ``#rrggbb``.
        dice: Mean and 95% interval, ``-`` for that of a single case.
        nsd: Likewise, of the contours of annotated slices.
        published: Likewise, by the paper's own protocol; empty if it was not asked for.
        paper_dice: Of the paper's Table 4.
        paper_nsd: Likewise, to be compared with ``published``.
        cases: Cases that have the label in truth or prediction: those the means are over.
        in_truth: Cases that have it in the truth; in the others it scores 0.
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


def text_rows(scores: Sequence[Score], task: Task) -> list[TextRow]:
    """Return one row per label that has a score, and last their average."""
    names = {
        label.name.lower(): (display_name(label), colours(task)[label]) for label in labels(task)
    }
    names["average"] = ("Average", "#ffffff")
    return [_text(row, *names[row.label]) for row in label_means(scores, task) if row.cases]


def screen_table(rows: Sequence[TextRow], *, title: str, beside_paper: bool) -> Table:
    """Return the table for a terminal, with the paper's figures or without."""
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
        dice, nsd, published = (_on_two_lines(one) for one in (row.dice, row.nsd, row.published))
        paper = ([row.paper_dice], [published, row.paper_nsd]) if beside_paper else ([], [])
        counts = f"{row.in_truth} / {row.cases}"
        table.add_row(row.name, dice, *paper[0], nsd, *paper[1], counts)
    return table


def _on_two_lines(interval: str) -> str:
    return interval.replace(" (", "\n").rstrip(")")


def _text(row: LabelMeans, name: str, colour: str) -> TextRow:
    published = row.means.get(("nsd", "published"))
    return TextRow(
        name=name,
        colour=colour,
        dice=_interval(row.means["dice", "annotated"]),
        nsd=_interval(row.means["nsd", "slice"]),
        published="" if published is None else _interval(published),
        paper_dice=f"{row.paper_dice:.3f}",
        paper_nsd=f"{row.paper_nsd:.3f}",
        cases=row.cases,
        in_truth=row.in_truth,
    )


def _interval(one: Interval) -> str:
    if math.isnan(one.mean):
        return "-"
    if math.isnan(one.low):
        return f"{one.mean:.3f} (-)"
    return f"{one.mean:.3f} ({one.low:.3f}-{one.high:.3f})"
