"""Which slice, and which voxel of it, a patch is centred on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saros_hf.labels import Task

from .store import SliceStore

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
            are if ``None``. Two tasks are drawn equally often.
    """

    def __init__(
        self, store: SliceStore, label_weights: Mapping[Task, Sequence[float]] | None = None
    ) -> None:
        self.store = store
        shares: list[float] = []
        self._choices = []
        for task, labels in store.index.items():
            weights = np.array([float(one.rows.size > 0) for one in labels])
            if label_weights is not None:
                weights *= label_weights[task]
            for label in np.flatnonzero(weights):
                self._choices.append((task, int(label), labels[label].rows, labels[label].boxes))
                shares.append(weights[label] / weights.sum())
        self._edges = np.cumsum(shares)[:-1] / sum(shares)

    def draw(self, rng: np.random.Generator, count: int) -> list[Centre]:
        """Return ``count`` centres."""
        choices = np.searchsorted(self._edges, rng.random(count), side="right").tolist()
        chances = rng.random((count, 1 + 2 * _GUESSES)).tolist()
        centres = []
        for choice, (first, *guesses) in zip(choices, chances, strict=True):
            task, label, rows, boxes = self._choices[choice]
            at = int(first * len(rows))
            row = int(rows[at])
            mask = self.store.mask(task, row)
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
