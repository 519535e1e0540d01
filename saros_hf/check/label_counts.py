"""Count annotated slices per label: for a case, and per fold as in the paper's Table 3."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..folds import FOLDS, Fold
from ..labels import TASKS, Label, Task, labels, num_classes
from ..volume import annotated_slices


@dataclass(frozen=True)
class LabelCounts:
    """Number of annotated slices with each label in one label map.

    Attributes:
        task: Label map that was counted.
        slices: One number per label id, background first.
    """

    task: Task
    slices: tuple[int, ...]


@dataclass(frozen=True)
class Presence:
    """Frequency of a label in a group of cases.

    Attributes:
        cts: Number of CTs with the label on at least one annotated slice.
        slices: Number of annotated slices with the label.
    """

    cts: int
    slices: int

    def __add__(self, other: "Presence") -> "Presence":
        return Presence(self.cts + other.cts, self.slices + other.slices)


Cell: TypeAlias = tuple[Task, Label, Fold]
"""A cell of Table 3. The task is part of the key because labels of both maps share their ids."""


@dataclass(frozen=True)
class LabelTable:
    """Table 3 of a set of cases.

    Attributes:
        cells: Presence for every label and fold, zero where it does not occur.
        cases: Number of label maps counted, for every task and fold.
    """

    cells: Mapping[Cell, Presence]
    cases: Mapping[tuple[Task, Fold], int]

    def overall(self, task: Task, label: Label) -> Presence:
        """Return the presence of a label in all folds together."""
        return sum((self.cells[task, label, fold] for fold in FOLDS), Presence(0, 0))

    def all_cases(self, task: Task) -> int:
        """Return the number of label maps counted in all folds together."""
        return sum(self.cases[task, fold] for fold in FOLDS)


def count_labels(mask: NDArray[Any], task: Task) -> LabelCounts:
    """Return the number of annotated slices with each label.

    Args:
        mask: Integer labels of ``task`` and 255, indexed (i, j, k).
        task: Label map that ``mask`` is.

    Raises:
        ValueError: An annotated slice holds a value that is not a label of ``task``.
    """
    slices = np.zeros(num_classes(task), np.int64)
    for k in annotated_slices(mask):
        slices += np.bincount(mask[..., k].ravel(order="K"), minlength=slices.size) > 0
    return LabelCounts(task, tuple(slices.tolist()))


def label_table(cases: Iterable[tuple[Fold, LabelCounts]]) -> LabelTable:
    """Return the number of CTs and slices with each label in each fold.

    Args:
        cases: Fold and counts of each label map; a case with both maps has two entries.
    """
    cts: Counter[Cell] = Counter()
    slices: Counter[Cell] = Counter()
    counted: Counter[tuple[Task, Fold]] = Counter()
    for fold, counts in cases:
        counted[counts.task, fold] += 1
        for label, number in zip(labels(counts.task), counts.slices, strict=True):
            cell = (counts.task, label, fold)
            cts[cell] += number > 0
            slices[cell] += number
    every = [(task, label, fold) for task in TASKS for label in labels(task) for fold in FOLDS]
    return LabelTable(
        cells={cell: Presence(cts[cell], slices[cell]) for cell in every},
        cases={(task, fold): counted[task, fold] for task in TASKS for fold in FOLDS},
    )
