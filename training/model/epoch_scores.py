"""Scores of a validation or test run, accumulated case by case."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saros_hf.labels import Task, label_names, num_classes

from ..data.case_batches import CaseBatch
from ..metrics import NormalizedSurfaceDice, SparseDice


class StageScores(nn.Module):
    """Dice, and on request the NSD of contours, for each label map.

    Args:
        tasks: Label maps that are predicted.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.dice = by_task(tasks, SparseDice)
        self.nsd = by_task(tasks, NormalizedSurfaceDice)

    def update(self, batch: CaseBatch, predicted: Mapping[Task, Tensor], *, surfaces: bool) -> None:
        """Add one case, unless it only evens out the ranks' shares or has no map of a task."""
        for task, labels in predicted.items():
            if not (batch.counted and batch.has_map(task)):
                continue
            mask = batch.masks[task]
            module_for(self.dice, task).update(labels, mask)
            if surfaces:
                # The protocol "slice" expects slices along the last axis.
                volumes = labels.movedim(0, -1), mask.movedim(0, -1)
                module_for(self.nsd, task).update(*volumes, spacing_mm=batch.spacing_mm)

    def finish(self, stage: str, *, surfaces: bool) -> dict[str, Tensor]:
        """Return ``STAGE_dice``, ``STAGE_dice/LABEL`` and so on, and reset the metrics.

        A label map that no case has does not count.
        """
        scores: dict[str, Tensor] = {}
        metrics = {"dice": self.dice} | ({"nsd": self.nsd} if surfaces else {})
        for name, metric_of in metrics.items():
            macros = []
            for task in self.tasks:
                metric = module_for(metric_of, task)
                macros.append(metric.macro().float())
                for label, score in zip(label_names(task)[1:], metric.compute()[1:], strict=True):
                    if not score.isnan():
                        scores[f"{stage}_{name}/{label}"] = score.float()
                metric.reset()
            scores[f"{stage}_{name}"] = torch.stack(macros).nanmean()
        return scores


def by_task(tasks: Sequence[Task], make: Callable[[int], nn.Module]) -> nn.ModuleDict:
    """Return one module for each label map, made from its number of classes."""
    return nn.ModuleDict({task: make(num_classes(task)) for task in tasks})


def module_for(modules: nn.ModuleDict, task: Task) -> Any:  # noqa: ANN401 - torch knows no type
    """Return the module of a label map."""
    return modules[task]
