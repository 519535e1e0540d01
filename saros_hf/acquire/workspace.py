"""One process at a time works on a case: its lock, and the folder for what is not finished yet."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from filelock import BaseFileLock, FileLock, Timeout

from ..files import ASIDE_PREFIX

WORK_NAME = ".saros"
"""Folder beside the cases that holds locks and half-fetched series; gone when all is finished."""


_POLL_S = 0.2


@contextmanager
def claim(folder: Path, case_id: str) -> Iterator[Path | None]:
    """Yield the work folder of a case, ``None`` if another process has it.

    The claim ends with the process, however that ends. What a killed process has left half
    written is removed, what it has fetched stays.
    """
    root = folder / WORK_NAME
    lock = _lock(root, case_id)
    if lock is None:
        yield None
        return
    work = root / case_id
    try:
        work.mkdir(exist_ok=True)
        for left in work.glob(f"{ASIDE_PREFIX}*"):
            shutil.rmtree(left)
        yield work
    finally:
        _tidy(work, Path(lock.lock_file))
        lock.release()


@contextmanager
def claim_when_free(folder: Path, what: str) -> Iterator[Path]:
    """Yield the work folder of something once no other process has it."""
    while True:
        with claim(folder, what) as work:
            if work is not None:
                yield work
                return
        sleep(_POLL_S)


def _lock(root: Path, what: str) -> BaseFileLock | None:
    while True:
        try:
            root.mkdir(parents=True, exist_ok=True)
            return FileLock(root / f"{what}.lock", blocking=False).acquire().lock
        except Timeout:
            return None
        except (FileExistsError, FileNotFoundError):
            # Another process has just finished and removed the folder, while it was made or
            # before the lock was; or it is no folder.
            if root.exists() and not root.is_dir():
                raise


def _tidy(work: Path, lock: Path) -> None:
    """Remove what is empty; a lock that is gone counts as free to whoever waits for it."""
    with suppress(OSError):
        work.rmdir()
        lock.unlink()
        work.parent.rmdir()
