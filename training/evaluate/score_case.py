"""Scores of a predicted label map against a SAROS label map."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from saros_hf.errors import GridMismatchError, SarosError
from saros_hf.labels import Task, label_names, num_classes
from saros_hf.volume import Volume

from ..functional import (
    average_surface_distance_per_class,
    confusion_matrix,
    dice_of,
    precision_of,
    surface_dice_per_class,
)
from ..surfaces.protocol_names import SurfaceProtocol
from .scores import MetricName, Score, ScoreProtocol, case_mean, read_metrics, write_metrics

__all__ = [
    "Score",
    "case_mean",
    "read_metrics",
    "score_case",
    "write_metrics",
]

TOLERANCE_MM = 3.0
"""What the paper counts as the same surface (Technical Validation, Table 4)."""


def score_case(
    case_id: str,
    pred: Volume,
    truth: Volume,
    task: Task,
    *,
    protocols: Sequence[SurfaceProtocol] = ("slice",),
) -> list[Score]:
    """Return every score of one case, metric by metric, labels in order of their ids.

    Args:
        case_id: Name of the case, also for errors.
        pred: Label map that covers the voxels of ``truth``; its axes may run the other way.
        truth: Label map with 255 wherever nobody annotated.
        task: Which labels both maps hold.
        protocols: Surface protocols to compute NSD with; see
            :func:`training.functional.surface_dice_per_class`.

    Raises:
        GridMismatchError: The prediction lies on another grid than the truth.
        UnknownLabelError: An annotated voxel holds no label of ``task``.
        UsageError: No slice of the truth is annotated.
    """
    pred = _on_grid_of(truth, pred, case_id)
    with _naming(case_id):
        counts = confusion_matrix(pred.array, truth.array, num_classes=num_classes(task))
        found: dict[tuple[MetricName, ScoreProtocol], Tensor] = {
            ("dice", "annotated"): dice_of(counts),
            ("precision", "annotated"): precision_of(counts),
            ("recall", "annotated"): precision_of(counts.T),
            **_surface_scores(pred, truth, task, protocols),
        }
    voxel_ml = math.prod(truth.spacing_mm) / 1000
    found["truth_ml", "annotated"] = counts.sum(1) * voxel_ml
    found["predicted_ml", "annotated"] = counts.sum(0) * voxel_ml
    return [
        Score(case_id, label, metric, protocol, value)
        for (metric, protocol), values in found.items()
        for label, value in list(zip(label_names(task), values.tolist(), strict=True))[1:]
    ]


def _surface_scores(
    pred: Volume, truth: Volume, task: Task, protocols: Sequence[SurfaceProtocol]
) -> dict[tuple[MetricName, ScoreProtocol], Tensor]:
    """Return NSD by each protocol, and the average distance on slices."""
    maps = pred.array, truth.array
    found: dict[tuple[MetricName, ScoreProtocol], Tensor] = {}
    for protocol in protocols:
        found["nsd", protocol] = surface_dice_per_class(
            *maps,
            spacing_mm=truth.spacing_mm,
            num_classes=num_classes(task),
            tolerance_mm=TOLERANCE_MM,
            protocol=protocol,
            include_background=False,
        )
    found["assd_mm", "slice"] = average_surface_distance_per_class(
        *maps,
        spacing_mm=truth.spacing_mm,
        num_classes=num_classes(task),
        include_background=False,
    )
    return found


@contextmanager
def _naming(case_id: str) -> Iterator[None]:
    """Put the case's name in front of an error about its label maps."""
    try:
        yield
    except SarosError as error:
        raise type(error)(
            f"{case_id}, {error.where}", error.found, error.expected, error.remedy
        ) from error


def _on_grid_of(truth: Volume, pred: Volume, case_id: str) -> Volume:
    """Return the prediction in the truth's orientation, refusing one on other voxels."""
    turned = pred.oriented(truth.orientation)
    if turned.same_grid(truth):
        return turned
    raise GridMismatchError(
        f"{case_id}, prediction",
        turned.describe_grid(),
        f"the grid of the truth, {truth.describe_grid()}",
        "Resample the prediction to the label map's voxels, nearest neighbour.",
    )
