"""Programs that a test starts, and ends in any case."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def started(
    command: Sequence[str], *, stdout: int | None = None, stderr: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Start a program in a process group of its own, which is killed when the block ends.

    A terminal does the same: ``os.killpg`` with SIGINT is its Ctrl-C.
    """
    process = subprocess.Popen(
        command, stdout=stdout, stderr=stderr, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
