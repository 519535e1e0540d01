"""The scores of a validation or test run, case by case and label map by label map."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saros_hf.labels import Task, label_names, num_classes

from ..data.case_batches import CaseBatch
from ..metrics import NormalizedSurfaceDice, SparseDice


class StageScores(nn.Module):
    """Dice, and where asked for the NSD of contours, of each label map.

    Args:
        tasks: The label maps that are predicted.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.dice = by_task(tasks, SparseDice)
        self.nsd = by_task(tasks, NormalizedSurfaceDice)

    def update(self, batch: CaseBatch, predicted: Mapping[Task, Tensor], *, surfaces: bool) -> None:
        """Count one case; one that fills up the ranks' shares, or has no such map, does not."""
        for task, labels in predicted.items():
            if not (batch.counted and batch.has_map(task)):
                continue
            mask = batch.masks[task]
            module_for(self.dice, task).update(labels, mask)
            if surfaces:
                # Slices as the last axis: the protocol "slice" looks at them one by one.
                volumes = labels.movedim(0, -1), mask.movedim(0, -1)
                module_for(self.nsd, task).update(*volumes, spacing_mm=batch.spacing_mm)

    def finish(self, stage: str, *, surfaces: bool) -> dict[str, Tensor]:
        """Return ``STAGE_dice``, ``STAGE_dice/LABEL`` and so on, and start anew.

        A label map that no case has does not count.
        """
        told: dict[str, Tensor] = {}
        metrics = {"dice": self.dice} | ({"nsd": self.nsd} if surfaces else {})
        for name, metric_of in metrics.items():
            macros = []
            for task in self.tasks:
                metric = module_for(metric_of, task)
                macros.append(metric.macro().float())
                for label, score in zip(label_names(task)[1:], metric.compute()[1:], strict=True):
                    if not score.isnan():
                        told[f"{stage}_{name}/{label}"] = score.float()
                metric.reset()
            told[f"{stage}_{name}"] = torch.stack(macros).nanmean()
        return told


def by_task(tasks: Sequence[Task], make: Callable[[int], nn.Module]) -> nn.ModuleDict:
    """Return a module for each label map, made from its number of classes."""
    return nn.ModuleDict({task: make(num_classes(task)) for task in tasks})


def module_for(modules: nn.ModuleDict, task: Task) -> Any:  # noqa: ANN401 - torch tells no type
    """Return the module of a label map."""
    return modules[task]
