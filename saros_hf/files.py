"""Write files completely or not at all, list them and hash them."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from time import time

from filelock import FileLock

from .errors import UsageError

ASIDE_PREFIX = ".writing-"
"""Prefix of the folders that hold unfinished files; a killed process leaves them behind."""
_SCRATCH = "saros-"
_HOUR_S = 3600.0


def sync(path: Path) -> None:
    """Write what the system still buffers of a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file replaces ``path`` when the block ends without an error.

    The bytes are synced to disk before the rename, so that after a crash ``path`` is either the
    old file or the new one. After an error nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file keeps its name, because writers choose the format by its suffix.
    folder = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=path.parent))
    aside = folder / path.name
    try:
        yield aside
        sync(aside)
        aside.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # writing to a full disk
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield an empty folder for temporary files; those of killed processes are removed.

    Every folder has a lock beside it, which ends with the process that made it.
    """
    root = Path(tempfile.gettempdir())
    for left in root.glob(f".{_SCRATCH}*.lock"):
        with suppress(OSError), FileLock(left, blocking=False):
            shutil.rmtree(root / left.stem.removeprefix("."), ignore_errors=True)
            left.unlink()
    folder = root / f"{_SCRATCH}{name}-{token_hex(8)}"
    lock = root / f".{folder.name}.lock"
    with FileLock(lock, mode=0o600):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


@contextmanager
def replace_files(folder: Path, ours: re.Pattern[str]) -> Iterator[Path]:
    """Yield an empty folder; when the block ends, its files replace all files in ``folder``.

    Files are replaced only after all of them are on disk. After an error, such as a full disk,
    ``folder`` is unchanged.

    Args:
        folder: Target folder, created if missing.
        ours: Pattern of the paths inside it that may be replaced or removed.

    Raises:
        UsageError: The folder holds other files.
    """
    refuse_other_files(folder, ours)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{ASIDE_PREFIX}*"):
        remove(leftover)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=folder))
    try:
        yield aside
        names = files_in(aside)
        for name in names:
            sync(aside / name)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(folder / name)
    finally:
        shutil.rmtree(aside)
    for name in set(files_in(folder)) - set(names):
        (folder / name).unlink()
    for parent in [one for one in folder.iterdir() if one.is_dir() and not any(one.iterdir())]:
        parent.rmdir()


def refuse_other_files(folder: Path, ours: re.Pattern[str]) -> None:
    """Raise if a path inside ``folder`` does not match the pattern ``ours``.

    Raises:
        UsageError: Names the first such file.
    """
    for name in files_in(folder):
        if not ours.fullmatch(name):
            raise UsageError(
                folder / name,
                "a file that this command did not write",
                "a new folder, or one that it wrote",
                "Move it away, or give another --out.",
            )


def files_in(folder: Path) -> list[str]:
    """Return the POSIX paths of all files below a folder, relative to it, without hidden ones."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in inside if not re.search(r"(^|/)\.", path.as_posix()))


def remove(path: Path) -> None:
    """Remove a folder with its content, or a file; of a link only the link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished files of killed processes from a folder.

    Those younger than an hour are kept: another process may be writing them.
    """
    for left in folder.glob(f"{ASIDE_PREFIX}*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time() - _HOUR_S:
                remove(left)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Return the MD5 of a file in hex, which the archives publish against transfer errors."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
