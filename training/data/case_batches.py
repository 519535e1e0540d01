"""Whole cases for validation and test: all annotated slices of one as one item."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from saros_hf.labels import IGNORE_INDEX, Task

from .slice_store import SliceStore


@dataclass(frozen=True, eq=False)
class CaseBatch:
    """All annotated slices of one case, from foot to head.

    Attributes:
        image: (N, C, I, J): int16 Hounsfield units as read, float32 in [-1, 1] once normalised.
        masks: For each task uint8 labels (N, I, J), all 255 where there is no map of it.
        position: (N, 2) as of :func:`training.model.input_spec.with_position`.
        spacing_mm: Along i, j and k.
        counted: False for the copies that even out the ranks' shares; they are not scored.
    """

    case_id: str
    image: Tensor
    masks: dict[Task, Tensor]
    position: Tensor
    spacing_mm: tuple[float, float, float]
    counted: bool

    def has_map(self, task: Task) -> bool:
        """Return whether the case has a label map of a task at all."""
        return bool((self.masks[task] != IGNORE_INDEX).any())

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "CaseBatch":
        """Return a copy with its tensors on ``device``; Lightning calls this."""
        masks = {
            task: mask.to(device, non_blocking=non_blocking) for task, mask in self.masks.items()
        }
        image = self.image.to(device, non_blocking=non_blocking)
        position = self.position.to(device, non_blocking=non_blocking)
        return replace(self, image=image, masks=masks, position=position)


class CaseDataset(Dataset[CaseBatch]):
    """One rank's share of the cases, as many items on every rank.

    Ranks with unequal numbers of steps wait for one another for ever, so short shares are filled
    up with cases that are not counted.
    """

    def __init__(self, store: SliceStore, *, world_size: int, rank: int) -> None:
        self.store = store
        cases = sorted(store.cases().items())
        length = -(-len(cases) // world_size)
        numbers = range(rank, length * world_size, world_size)
        self.share = [(*cases[n % len(cases)], n < len(cases)) for n in numbers]

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, index: int) -> CaseBatch:
        case_id, rows, counted = self.share[index]
        masks = {
            task: torch.from_numpy(np.stack([self.store.mask(task, row) for row in rows]))
            for task in self.store.tasks
        }
        return CaseBatch(
            case_id=case_id,
            image=torch.from_numpy(np.stack([self.store.image(row) for row in rows])),
            masks=masks,
            position=torch.from_numpy(self.store.positions[rows]),
            spacing_mm=self.store.spacing_mm(rows[0]),
            counted=counted,
        )
