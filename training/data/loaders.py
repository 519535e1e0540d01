"""Which batches and cases a rank gets, in an epoch from its start or from where it was cut off."""

import signal
from collections.abc import Iterator
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset, DistributedSampler

from .patch_batches import PatchBatch


class EpochSampler(DistributedSampler[Any]):
    """Hands rank r of w the batch numbers r, r + w, ... of the current epoch.

    A ``DistributedSampler``, so that Lightning tells it the epoch and leaves it in place.

    Args:
        batches_per_rank: Batches of one epoch on each rank.
        world_size: Number of ranks.
        rank: This process's number.
    """

    def __init__(self, batches_per_rank: int, *, world_size: int, rank: int) -> None:
        everything = cast("Dataset[Any]", range(batches_per_rank * world_size))
        super().__init__(everything, world_size, rank)
        self.per_rank = batches_per_rank
        self.skip = 0
        """Batches to leave out at the start of the epoch."""

    def __iter__(self) -> Iterator[int]:
        begin, end = (
            (self.epoch * self.per_rank + batch) * self.num_replicas + self.rank
            for batch in (self.skip, self.per_rank)
        )
        return iter(range(begin, end, self.num_replicas))

    def __len__(self) -> int:
        return self.per_rank


class ShareSampler(DistributedSampler[Any]):
    """Goes through a share that is one rank's already, in its order.

    A ``DistributedSampler``, so that Lightning leaves it in place: any other it would replace by
    one that shares out the share among the ranks once more.
    """

    def __init__(self, share: Dataset[Any]) -> None:
        super().__init__(share, num_replicas=1, rank=0, shuffle=False)


class ResumableLoader(DataLoader[PatchBatch]):
    """A loader that goes on in the middle of an epoch; Lightning keeps its state in checkpoints.

    Its sampler is an :class:`EpochSampler`.
    """

    _handed_out = 0

    def __iter__(self) -> Iterator[PatchBatch]:  # type: ignore[override]
        """Yield the batches of the current epoch."""
        sampler = cast("EpochSampler", self.sampler)
        self._handed_out = sampler.skip
        batches = super().__iter__()
        sampler.skip = 0  # later epochs are whole
        for batch in batches:
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how much of the current epoch is done.

        That is what was handed out: checkpoints are written when the latest batch is learned from.
        """
        return {"batches": self._handed_out % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on there in the next epoch handed out."""
        cast("EpochSampler", self.sampler).skip = state["batches"]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, the end of a job, and SLURM's notice that its time is nearly up."""


def leave_signals_to_parent(worker: int) -> None:  # noqa: ARG001 - the loader passes it
    """Keep a loader's worker going: every process gets a signal, and the parent needs batches."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
