"""Write files whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

_ASIDE = ".writing-"
_HOUR_S = 3600.0


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of ``path`` if all goes well.

    The bytes are on disk before the rename, so that after a crash ``path`` is either the old
    file or the new one. On an error nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file name stays last: writers choose the format by its suffix.
    folder = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=path.parent))
    aside = folder / path.name
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
        folder.rmdir()


def remove_leftovers(folder: Path, *, older_than_s: float = _HOUR_S) -> None:
    """Remove what :func:`write_atomically` had begun in a folder when its process was killed.

    What is younger may be another process at work.
    """
    for left in folder.glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time() - older_than_s:
                shutil.rmtree(left)
