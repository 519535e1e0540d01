"""Box plots of the scores of every label."""

from collections.abc import Sequence
from math import isnan

from matplotlib.figure import Figure

from saros_hf.labels import Task, colours, display_name, labels

from ..pictures import to_png
from .scores import MetricName, Score, ScoreProtocol


def score_boxes_png(
    scores: Sequence[Score],
    task: Task,
    metric: MetricName,
    protocol: ScoreProtocol,
    *,
    title: str,
) -> bytes:
    """Return a PNG with a box per label, every case a dot, narrow enough for a phone."""
    shown = labels(task)[1:]
    chosen = [one for one in scores if (one.metric, one.protocol) == (metric, protocol)]
    values = [
        [one.value for one in chosen if one.label == label.name.lower() and not isnan(one.value)]
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
        box.set_facecolor(colours(task)[label])
        box.set_alpha(0.6)
    for place, found in zip(places, values, strict=True):
        axis.plot(found, [place] * len(found), ".", ms=3, color="black", alpha=0.5)
    axis.set(title=title, xlim=(-0.02, 1.02), ylim=(len(shown) - 0.5, -0.5))
    axis.set_yticks(places, [display_name(label) for label in shown])
    axis.grid(axis="x", alpha=0.3)
    return to_png(figure, dpi=110)
