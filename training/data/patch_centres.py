"""Random draws of the annotated voxels that training patches are centred on."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError
from saros_hf.labels import Task

from .label_weights import refuse_bad_task_weights
from .slice_store import SliceStore

Centre: TypeAlias = tuple[int, int, int]
"""An annotated voxel: its row in the store, and its indices i and j in that slice."""

MaskReader: TypeAlias = Callable[[Task, int], NDArray[np.uint8]]

_GUESSES = 12


class CentreDraw:
    """Draws a label, then a slice that holds it, then one voxel of that label in the slice.

    Args:
        store: Slices to draw from.
        label_weights: Weight of every label id by task. Labels of a task that is not named, or of
            all tasks if ``None``, are equally likely. Each task is drawn equally often.

    Raises:
        UsageError: Weights are invalid, or no slice holds a label whose weight is above 0.
    """

    def __init__(
        self, store: SliceStore, label_weights: Mapping[Task, Sequence[float]] | None = None
    ) -> None:
        refuse_bad_task_weights(label_weights, store.tasks)
        self.store = store
        chances: list[float] = []
        self._choices = []
        for task, labels in store.index.items():
            weights = np.array([float(label.rows.size > 0) for label in labels])
            if label_weights is not None and task in label_weights:
                weights *= label_weights[task]
            if not weights.any():
                found = "no slice with a label that has a weight"
                remedy = "Raise the label_weights of annotated labels, or leave this task out."
                raise UsageError(task, found, "at least one", remedy)
            for label in np.flatnonzero(weights):
                self._choices.append((task, int(label), labels[label].rows, labels[label].boxes))
                chances.append(weights[label] / weights.sum())
        self._edges = np.cumsum(chances)[:-1] / sum(chances)

    def draw(
        self, rng: np.random.Generator, count: int, read_mask: MaskReader | None = None
    ) -> list[Centre]:
        """Return ``count`` centres; ``read_mask`` replaces :meth:`SliceStore.mask`."""
        read_mask = read_mask or self.store.mask
        choices = np.searchsorted(self._edges, rng.random(count), side="right").tolist()
        uniforms = rng.random((count, 1 + 2 * _GUESSES)).tolist()
        centres = []
        for choice, (first, *guesses) in zip(choices, uniforms, strict=True):
            task, label, rows, boxes = self._choices[choice]
            at = int(first * len(rows))
            row = int(rows[at])
            mask = read_mask(task, row)
            centres.append((row, *_voxel(mask, label, boxes[at].tolist(), guesses, rng)))
        return centres


def _voxel(
    mask: NDArray[np.uint8],
    label: int,
    box: Sequence[int],
    guesses: Sequence[float],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return a uniformly drawn voxel of ``label``.

    Guessing within the bounding box is nearly always faster than a search of the whole box.
    """
    i0, j0, i1, j1 = box
    height, width = i1 - i0, j1 - j0
    for n in range(0, len(guesses), 2):
        i, j = i0 + int(guesses[n] * height), j0 + int(guesses[n + 1] * width)
        if mask[i, j] == label:
            return i, j
    found = np.flatnonzero(mask[i0:i1, j0:j1] == label)
    i, j = divmod(int(found[rng.integers(found.size)]), width)
    return i0 + i, j0 + j
