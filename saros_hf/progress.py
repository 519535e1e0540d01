"""Progress bars for whatever takes longer than two seconds."""

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
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with (done, in all) by functions that take long."""


@contextmanager
def progress_bar(what: str) -> Iterator[OnProgress]:
    """Show a bar on standard error while the block runs, and yield what moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


class TransferBar:
    """Bytes, rate and time left of a transfer, on standard error, told from any thread.

    Args:
        what: What is transferred, ahead of the bar.
        size_bytes: Of all of it, ``None`` if nobody knows.
    """

    def __init__(self, what: str, size_bytes: int | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(what, total=size_bytes)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_bytes(self, count: int) -> None:
        """Move the bar by ``count`` bytes, back if they turned out worthless."""
        self._progress.advance(self._task, count)

    def describe(self, what: str) -> None:
        """Change what stands ahead of the bar."""
        self._progress.update(self._task, description=what)

    def without(self, size_bytes: int) -> None:
        """Take bytes that need no transfer off the whole."""
        (task,) = self._progress.tasks
        self._progress.update(self._task, total=max((task.total or 0) - size_bytes, 0))


def usable_processors() -> int:
    """Return how many processors this process may run on, which can be fewer than there are."""
    # macOS and Windows tie no process to some of its processors.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
