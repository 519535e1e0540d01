"""Write files whole or not at all."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

from .errors import UsageError

ASIDE_PREFIX = ".writing-"
"""Of the folders that hold something while it is written; a killed process leaves them."""
_HOUR_S = 3600.0


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of ``path`` if all goes well.

    The bytes are on disk before the rename, so that after a crash ``path`` is either the old
    file or the new one. On an error nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file name stays last: writers choose the format by its suffix.
    folder = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=path.parent))
    aside = folder / path.name
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def replace_files(folder: Path, ours: re.Pattern[str]) -> Iterator[Path]:
    """Yield an empty folder to write to, whose files replace all of ours in ``folder``.

    That is when everything is on disk. On an error, as of a full disk, ``folder`` is as it was.

    Args:
        folder: Made if missing.
        ours: Paths inside it of the files that may be replaced or removed.

    Raises:
        UsageError: It holds other files.
    """
    refuse_other_files(folder, ours)
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_crash in folder.glob(f"{ASIDE_PREFIX}*"):
        shutil.rmtree(left_by_a_crash)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=folder))
    try:
        yield aside
        names = files_in(aside)
        for name in names:
            with (aside / name).open("rb") as written:
                os.fsync(written.fileno())
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
    """Raise if a folder that is to be published holds what was not written for that.

    Raises:
        UsageError: A path inside it does not match ``ours``.
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
    """Return the paths of all files inside a folder, with /, but for hidden ones."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix() for path in inside if not any(part.startswith(".") for part in path.parts)
    )


def remove_leftovers(folder: Path, *, older_than_s: float = _HOUR_S) -> None:
    """Remove what :func:`write_atomically` had begun in a folder when its process was killed.

    What is younger may be another process at work.
    """
    for left in folder.glob(f"{ASIDE_PREFIX}*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time() - older_than_s:
                shutil.rmtree(left)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Return the MD5 of a file in hex: the archives' choice, it tells damage, not forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
