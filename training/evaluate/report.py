"""One self-contained HTML page: scores, training curves, pictures of cases."""

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
from saros_hf.labels import Task
from saros_hf.volume import Volume, annotated_slices

from ..pictures import Plane, middle_coronal, overlay_png, to_png
from .box_plots import score_boxes_png
from .score_table import text_rows
from .scores import Score, case_mean
from .summary import GroupMean, worst_cases


@dataclass(frozen=True)
class Epoch:
    """What the logger wrote about one epoch; NaN for what it did not."""

    number: int
    train_loss: float
    val_dice: float


@dataclass(frozen=True)
class Picture:
    """A PNG, base64-encoded, with its caption."""

    png: str
    caption: str


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Attributes:
        title: Heading of the page.
        task: Which label map was predicted.
        scores: Of every case.
        pictures: Of some cases.
        settings: How it was made, by name.
        synthetic: Say in large letters that no patient is involved, and leave the paper out.
        epochs: Course of the training, if there was one.
        groups: Means of groups of cases, by what they are grouped by.
        missing: Cases that were scored as empty for want of a prediction.
        without_truth: Cases that were not scored for want of a label map.
        not_shown: Why there is no picture of some cases.
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
    not_shown: Sequence[str] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the page; it needs no other file and no network to be read."""
    page = Environment(
        loader=PackageLoader("training"), autoescape=True, trim_blocks=True
    ).get_template("report.html")
    text = page.render(
        report=report,
        figures=_key_figures(report.scores),
        rows=text_rows(report.scores, report.task),
        boxes=_boxes(report),
        curves=_base64(_curves_png(report.epochs)) if report.epochs else "",
        worst=worst_cases(report.scores),
        number=_number,
    )
    with write_atomically(path) as aside:
        aside.write_text(text, encoding="utf-8")


def case_picture(
    case_id: str, image: Volume, truth: Volume, prediction: Volume, *, task: Task
) -> Picture:
    """Return CT, truth and prediction of three annotated slices and of a coronal cut."""
    annotated = annotated_slices(truth.to_ras().array)
    chosen = annotated[np.rint(np.array([0.15, 0.5, 0.85]) * (len(annotated) - 1)).astype(int)]
    planes = [*(Plane(2, int(k)) for k in chosen[::-1]), middle_coronal(image)]
    png = overlay_png(image, {"truth": truth, "prediction": prediction}, planes, task=task)
    return Picture(_base64(png), case_id)


def read_epochs(path: Path) -> list[Epoch]:
    """Return the epochs of a CSVLogger's ``metrics.csv``."""
    epochs: dict[int, dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = epochs.setdefault(int(row["epoch"]), {})
            values |= {k: float(row[k]) for k in ("train_loss", "val_dice") if row.get(k)}
    return [
        Epoch(n, v.get("train_loss", math.nan), v.get("val_dice", math.nan))
        for n, v in sorted(epochs.items())
    ]


def _boxes(report: Report) -> list[Picture]:
    """Return the box plots of Dice and of NSD on slices."""
    dice = score_boxes_png(report.scores, report.task, "dice", "annotated", title="Dice")
    nsd = score_boxes_png(report.scores, report.task, "nsd", "slice", title="NSD at 3 mm, slice")
    return [
        Picture(_base64(dice), "Dice of every label over the cases"),
        Picture(_base64(nsd), "NSD of every label over the cases"),
    ]


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


def _base64(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")
