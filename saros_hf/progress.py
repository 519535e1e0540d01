"""Progress bars on standard error, and the number of processors for work that takes long."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

OnProgress: TypeAlias = Callable[[int, int], None]
"""Callback with the number of finished items and of all items."""


@contextmanager
def progress_bar(description: str) -> Iterator[OnProgress]:
    """Show a bar while the block runs, and yield the callback that moves it."""
    with _progress(MofNCompleteColumn()) as progress:
        task = progress.add_task(description, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


class TransferBar:
    """Bar with bytes, rate and time left of a transfer; its methods are thread-safe.

    Args:
        description: Text ahead of the bar.
        size_bytes: Size of the whole transfer, ``None`` if unknown.
    """

    def __init__(self, description: str, size_bytes: int | None) -> None:
        self._progress = _progress(DownloadColumn(), TransferSpeedColumn())
        self._task = self._progress.add_task(description, total=size_bytes)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_bytes(self, count: int) -> None:
        """Move the bar by ``count`` bytes, which is negative if bytes are discarded."""
        self._progress.advance(self._task, count)

    def describe(self, description: str) -> None:
        """Change the text ahead of the bar."""
        self._progress.update(self._task, description=description)

    def without(self, size_bytes: int) -> None:
        """Subtract bytes that need no transfer from the total."""
        (task,) = self._progress.tasks
        self._progress.update(self._task, total=max((task.total or 0) - size_bytes, 0))


def _progress(*columns: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )


def usable_processors() -> int:
    """Return the number of processors this process may run on."""
    # macOS and Windows have no processor affinity.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
