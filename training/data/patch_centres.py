"""Which slice, and which voxel of it, a patch is centred on."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError
from saros_hf.labels import Task

from .label_weights import refuse_bad_task_weights
from .slice_store import SliceStore

MaskOf: TypeAlias = Callable[[Task, int], NDArray[np.uint8]]

_GUESSES = 12


class Centre(NamedTuple):
    """An annotated voxel: a row of the store, and i and j in it."""

    row: int
    i: int
    j: int


class CentreDraw:
    """Draws a label, then a slice that holds it, then one of its voxels there.

    Args:
        store: Where the slices are.
        label_weights: For each task, the weight of every label id; even over the labels there
            are if ``None`` or if the task is not named. Two tasks are drawn equally often.

    Raises:
        UsageError: Weights are too few or negative, or no slice holds a label that has one.
    """

    def __init__(
        self, store: SliceStore, label_weights: Mapping[Task, Sequence[float]] | None = None
    ) -> None:
        refuse_bad_task_weights(label_weights, store.tasks)
        self.store = store
        shares: list[float] = []
        self._choices = []
        for task, labels in store.index.items():
            weights = np.array([float(one.rows.size > 0) for one in labels])
            if label_weights is not None and task in label_weights:
                weights *= label_weights[task]
            if not weights.any():
                raise UsageError(
                    task,
                    "no slice with a label that has a weight",
                    "at least one",
                    "Raise the label_weights of labels that are annotated, or leave this "
                    "label map out.",
                )
            for label in np.flatnonzero(weights):
                self._choices.append((task, int(label), labels[label].rows, labels[label].boxes))
                shares.append(weights[label] / weights.sum())
        self._edges = np.cumsum(shares)[:-1] / sum(shares)

    def draw(
        self, rng: np.random.Generator, count: int, mask_of: MaskOf | None = None
    ) -> list[Centre]:
        """Return ``count`` centres; ``mask_of`` replaces :meth:`SliceStore.mask`."""
        mask_of = mask_of or self.store.mask
        choices = np.searchsorted(self._edges, rng.random(count), side="right").tolist()
        chances = rng.random((count, 1 + 2 * _GUESSES)).tolist()
        centres = []
        for choice, (first, *guesses) in zip(choices, chances, strict=True):
            task, label, rows, boxes = self._choices[choice]
            at = int(first * len(rows))
            row = int(rows[at])
            mask = mask_of(task, row)
            centres.append(Centre(row, *_voxel(mask, label, boxes[at].tolist(), guesses, rng)))
        return centres


def _voxel(
    mask: NDArray[np.uint8],
    label: int,
    box: Sequence[int],
    guesses: Sequence[float],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return a voxel of ``label``, every one as likely as any other.

    Guesses all over the box are right sooner or later, without a look at the other voxels.
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
