"""The HTML report of an evaluation: scores, box plots, training curves and pictures of cases."""

import base64
import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from saros_hf.files import write_atomically
from saros_hf.labels import Task, colours, display_name, labels
from saros_hf.volume import Volume, annotated_slices

from ..pictures import Plane, middle_coronal, overlay_png, to_png
from .score_case import MetricName, Score, ScoreProtocol, case_mean
from .summary import GroupMean, text_rows, worst_cases


@dataclass(frozen=True)
class Epoch:
    """Training loss and validation Dice of one epoch, NaN where they were not logged."""

    number: int
    train_loss: float
    val_dice: float


@dataclass(frozen=True)
class Picture:
    """A PNG file as bytes, with its caption."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Report:
    """Contents of the report.

    Attributes:
        title: Heading of the page.
        task: Label maps that were predicted.
        scores: Scores of all cases.
        pictures: Pictures of some cases.
        settings: Options to list, by name.
        synthetic: Whether the cases are phantoms. The page then says so and omits the paper.
        epochs: Training curves, if the report includes a training.
        groups: Means of groups of cases, by the name of the grouping.
        missing: Ids of the cases whose missing prediction was scored as empty.
        without_truth: Ids of the cases that were not scored because they have no label map.
        failed: Errors of the cases that could not be scored.
        not_shown: Errors of the pictures that could not be drawn.
    """

    title: str
    task: Task
    scores: Sequence[Score]
    pictures: Sequence[Picture]
    settings: Mapping[str, str]
    synthetic: bool
    epochs: Sequence[Epoch] = ()
    groups: Mapping[str, Sequence[GroupMean]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    without_truth: Sequence[str] = ()
    failed: Sequence[str] = ()
    not_shown: Sequence[str] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file that needs no other file and no network."""
    page = Environment(
        loader=PackageLoader("training"), autoescape=True, trim_blocks=True
    ).get_template("report.html")
    boxes = [_box_plots(report, "dice", "annotated", "Dice")]
    boxes += [_box_plots(report, "nsd", "slice", "NSD at 3 mm, slice")]
    text = page.render(
        report=report,
        figures=_key_figures(report.scores),
        rows=text_rows(report.scores, report.task),
        boxes=boxes,
        curves=_curves_png(report.epochs) if report.epochs else b"",
        worst=worst_cases(report.scores),
        number=_number,
        base64=lambda png: base64.b64encode(png).decode("ascii"),
    )
    with write_atomically(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def case_picture(
    caption: str, image: Volume, truth: Volume, prediction: Volume, *, task: Task
) -> Picture:
    """Return CT, truth and prediction of three annotated slices and of a coronal slice."""
    annotated = annotated_slices(truth.to_ras().array)
    chosen = annotated[np.rint(np.array([0.15, 0.5, 0.85]) * (len(annotated) - 1)).astype(int)]
    planes = [*(Plane(2, int(k)) for k in chosen[::-1]), middle_coronal(image)]
    maps = {"truth": truth, "prediction": prediction}
    return Picture(overlay_png(image, maps, planes, task=task), caption)


def read_epochs(path: Path) -> list[Epoch]:
    """Return the epochs in the ``metrics.csv`` of a CSVLogger."""
    epochs: dict[int, dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = epochs.setdefault(int(row["epoch"]), {})
            values |= {k: float(row[k]) for k in ("train_loss", "val_dice") if row.get(k)}
    return [
        Epoch(n, v.get("train_loss", math.nan), v.get("val_dice", math.nan))
        for n, v in sorted(epochs.items())
    ]


def _box_plots(report: Report, metric: MetricName, protocol: ScoreProtocol, title: str) -> Picture:
    """Return a box per label and a dot per case, narrow enough for a phone."""
    shown = labels(report.task)[1:]
    chosen = [s for s in report.scores if (s.metric, s.protocol) == (metric, protocol)]
    values = [
        [s.value for s in chosen if s.label == label.name.lower() and not math.isnan(s.value)]
        for label in shown
    ]
    figure = Figure(figsize=(5, 0.34 * len(shown) + 1), layout="constrained")
    axis = figure.subplots()
    places = list(range(len(shown)))
    boxes = axis.boxplot(
        values,
        positions=places,
        orientation="horizontal",
        showfliers=False,
        widths=0.6,
        patch_artist=True,
        medianprops={"color": "black"},
    )
    for label, box in zip(shown, boxes["boxes"], strict=True):
        box.set_facecolor(colours(report.task)[label])
        box.set_alpha(0.6)
    for place, cases in zip(places, values, strict=True):
        axis.plot(cases, [place] * len(cases), ".", ms=3, color="black", alpha=0.5)
    axis.set(title=title, xlim=(-0.02, 1.02), ylim=(len(shown) - 0.5, -0.5))
    axis.set_yticks(places, [display_name(label) for label in shown])
    axis.grid(axis="x", alpha=0.3)
    return Picture(to_png(figure, dpi=110), f"{title}: every label over the cases")


def _key_figures(scores: Sequence[Score]) -> list[tuple[str, str]]:
    cases = {score.case_id for score in scores}
    return [
        (_number(case_mean(scores, "dice")), "mean Dice over the labels present, mean over cases"),
        (_number(case_mean(scores, "nsd")), "mean NSD at 3 mm, likewise"),
        (str(len(cases)), "cases"),
    ]


def _curves_png(epochs: Sequence[Epoch]) -> bytes:
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    numbers = [epoch.number + 1 for epoch in epochs]
    loss.plot(numbers, [epoch.train_loss for epoch in epochs], color="#c0392b")
    loss.set(title="Training loss", xlabel="epoch", ylim=(0, None))
    dice.plot(numbers, [epoch.val_dice for epoch in epochs], "o-", ms=3, color="#2e86de")
    dice.set(title="Validation Dice, mean over labels", xlabel="epoch", ylim=(0, 1))
    for axis in (loss, dice):
        axis.grid(alpha=0.3)
    return to_png(figure)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
