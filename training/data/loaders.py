"""The training loader, and samplers that share batches and cases out among the ranks."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset, DistributedSampler

from saros_hf.errors import UsageError

from .patch_batches import PatchBatch

SHARED_MEMORY = Path("/dev/shm")


class EpochSampler(DistributedSampler[Any]):
    """Yields the batch numbers r, r + w, ... of the current epoch for rank r of w.

    It is a ``DistributedSampler`` so that Lightning sets its epoch and does not replace it.

    Args:
        batches_per_rank: Batches of one epoch on each rank.
        world_size: Number of ranks.
        rank: Number of this process.
    """

    def __init__(self, batches_per_rank: int, *, world_size: int, rank: int) -> None:
        all_batches = cast("Dataset[Any]", range(batches_per_rank * world_size))
        super().__init__(all_batches, world_size, rank)
        self.per_rank = batches_per_rank

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.per_rank
        start, stop = (n * self.num_replicas + self.rank for n in (first, first + self.per_rank))
        return iter(range(start, stop, self.num_replicas))

    def __len__(self) -> int:
        return self.per_rank


class ShareSampler(DistributedSampler[Any]):
    """Yields the items of one rank's share in order.

    It is a ``DistributedSampler`` because Lightning would replace any other sampler by one that
    splits the share among the ranks once more.
    """

    def __init__(self, share: Dataset[Any]) -> None:
        super().__init__(share, num_replicas=1, rank=0, shuffle=False)


def refuse_small_shared_memory(num_workers: int, batch_bytes: int) -> None:
    """Raise if the batches that workers prepare do not fit into ``/dev/shm``.

    They would wait for ever. Containers often have 64 MB there.

    Args:
        num_workers: Workers of all ranks on this machine; each prepares two batches.
        batch_bytes: Size of a batch.

    Raises:
        UsageError: They do not fit.
    """
    needed = 2 * num_workers * batch_bytes
    with suppress(OSError):  # other systems have no such folder
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < needed:
            raise UsageError(
                SHARED_MEMORY,
                f"{free / 1e6:.1f} MB free",
                f"{needed / 1e6:.1f} MB for the batches of {num_workers} workers",
                "Enlarge it (docker run --shm-size), or lower --data.num_workers.",
            )


class EpochLoader(DataLoader[PatchBatch]):
    """A loader whose iterator asks for the epoch when its first batch is due.

    Lightning creates the first iterator before it restores the epoch of a checkpoint.
    """

    def __iter__(self) -> Iterator[PatchBatch]:  # type: ignore[override]
        """Yield the batches of the current epoch."""
        yield from super().__iter__()
