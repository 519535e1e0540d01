"""Locks on cases, so that one process at a time works on each, and folders for unfinished work."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from ..files import ASIDE_PREFIX, remove

WORK_NAME = ".saros"
"""Folder beside the cases for locks and unfinished series; it is removed with the last of them."""


@contextmanager
def claim(folder: Path, name: str, *, wait: bool = False) -> Iterator[Path | None]:
    """Yield the work folder of a case, ``None`` if another process has claimed it.

    The claim ends with the process, even if that is killed. Half-written results of a killed
    process are removed, fetched files are kept.

    Args:
        folder: ``DIR`` of ``DIR/case_XXX``.
        name: Case id, or another name for what is claimed.
        wait: Wait for the other process to end its claim.
    """
    root = folder / WORK_NAME
    lock = _lock(root, name, wait=wait)
    if lock is None:
        yield None
        return
    work = root / name
    try:
        work.mkdir(exist_ok=True)
        for unfinished in work.glob(f"{ASIDE_PREFIX}*"):
            remove(unfinished)
        yield work
    finally:
        # Only empty folders are removed. A removed lock file no longer counts as locked.
        with suppress(OSError):
            work.rmdir()
            Path(lock.lock_file).unlink()
            root.rmdir()
        lock.release()


def _lock(root: Path, name: str, *, wait: bool) -> BaseFileLock | None:
    while True:
        try:
            root.mkdir(parents=True, exist_ok=True)
            return FileLock(root / f"{name}.lock", blocking=wait).acquire().lock
        except Timeout:
            return None
        except (FileExistsError, FileNotFoundError):
            # Another process has just removed the folder; or a file is in its place.
            if root.exists() and not root.is_dir():
                raise
