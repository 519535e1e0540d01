"""Validation and test items: all annotated slices of one case."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from saros_hf.labels import IGNORE_INDEX, Task

from .slice_store import SliceStore


@dataclass(eq=False)  # not frozen, for Lightning's conversion to another precision
class CaseBatch:
    """All annotated slices of one case, from foot to head.

    Attributes:
        case_id: Identifier of the case, e.g. ``case_000``.
        image: (N, C, I, J), int16 Hounsfield units as read, float32 in [-1, 1] once normalised.
        masks: uint8 labels (N, I, J) by task, all 255 without a label map of that task.
        position: (N, 2), see :func:`training.model.input_spec.with_position`.
        spacing_mm: Voxel spacing along i, j and k.
        counted: False for repeated cases that give every rank the same number of items; they are
            not scored.
    """

    case_id: str
    image: Tensor
    masks: dict[Task, Tensor]
    position: Tensor
    spacing_mm: tuple[float, float, float]
    counted: bool

    def has_map(self, task: Task) -> bool:
        """Return whether the case has a label map of a task."""
        return bool((self.masks[task] != IGNORE_INDEX).any())

    def to(self, device: torch.device) -> "CaseBatch":
        """Return a copy with its tensors on ``device``; called by Lightning."""
        return replace(
            self,
            image=self.image.to(device),
            masks={task: mask.to(device) for task, mask in self.masks.items()},
            position=self.position.to(device),
        )


class CaseDataset(Dataset[CaseBatch]):
    """One rank's part of the cases, with the same length on every rank.

    Ranks with unequal numbers of steps would deadlock, so shorter parts are filled with repeated
    cases that are not counted.
    """

    def __init__(self, store: SliceStore, *, world_size: int, rank: int) -> None:
        self.store = store
        cases = sorted(store.cases().items())
        length = -(-len(cases) // world_size)
        numbers = range(rank, length * world_size, world_size)
        self._cases = [(*cases[n % len(cases)], n < len(cases)) for n in numbers]

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> CaseBatch:
        case_id, rows, counted = self._cases[index]
        store = self.store
        masks = {task: np.stack([store.mask(task, row) for row in rows]) for task in store.tasks}
        return CaseBatch(
            case_id=case_id,
            image=torch.from_numpy(np.stack([store.image(row) for row in rows])),
            masks={task: torch.from_numpy(mask) for task, mask in masks.items()},
            position=torch.from_numpy(store.positions[rows]),
            spacing_mm=store.spacing_mm(rows[0]),
            counted=counted,
        )
