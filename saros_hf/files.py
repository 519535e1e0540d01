"""Write files whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE_PREFIX = ".writing-"
"""Of the folders that hold something while it is written; a killed process leaves them."""


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
