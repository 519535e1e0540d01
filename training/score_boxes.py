"""Box plots of the scores of every label."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saros_hf.labels import Task, colours, display_name, labels

from .pictures import to_png
from .scores import MetricName, Score, ScoreProtocol


def score_boxes_png(scores: Sequence[Score], task: Task) -> bytes:
    """Return a PNG with a box per label for Dice and for NSD on slices, every case a dot."""
    figure = Figure(figsize=(8, 0.34 * len(labels(task)) + 1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, scores, task, "dice", "annotated", "Dice")
    _draw(right, scores, task, "nsd", "slice", "NSD at 3 mm, slice")
    return to_png(figure, dpi=110)


def _draw(
    axis: Axes,
    scores: Sequence[Score],
    task: Task,
    metric: MetricName,
    protocol: ScoreProtocol,
    title: str,
) -> None:
    shown = labels(task)[1:]
    values = [
        [
            score.value
            for score in scores
            if (score.label, score.metric, score.protocol) == (label.name.lower(), metric, protocol)
            and not math.isnan(score.value)
        ]
        for label in shown
    ]
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
        box.set_facecolor(colours(task)[label])
        box.set_alpha(0.6)
    for place, found in zip(places, values, strict=True):
        axis.plot(found, [place] * len(found), ".", ms=3, color="black", alpha=0.5)
    axis.set(title=title, xlim=(-0.02, 1.02), ylim=(len(shown) - 0.5, -0.5))
    axis.set_yticks(places, [display_name(label) for label in shown])
    axis.grid(axis="x", alpha=0.3)
