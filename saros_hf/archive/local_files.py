"""Files already on disk: a folder of any layout, or a .zip."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingFileError
from .unzip import extract


@dataclass(frozen=True)
class LocalFiles:
    """The regular files of a source, sorted by path.

    Attributes:
        source: The folder or .zip that the user named.
        root: The folder the files lie in, a temporary one for a .zip.
        paths: Every regular file below ``root``.
    """

    source: Path
    root: Path
    paths: tuple[Path, ...]

    def name_of(self, path: Path) -> str:
        """Return ``path`` in terms of what the user named, e.g. ``chest.zip/CT/1.dcm``."""
        return str(self.source / path.relative_to(self.root))


@contextmanager
def open_source(source: Path) -> Iterator[LocalFiles]:
    """Yield the files of a folder, or of a .zip extracted for as long as the context lasts.

    Raises:
        MissingFileError: There is nothing at ``source``.
        UnreadableFileError: It is a file but no whole .zip, or a .zip that reaches outside itself.
        UsageError: The .zip holds more bytes than the temporary folder has room for.
    """
    if source.is_dir():
        yield LocalFiles(source, source, _regular_files(source))
    elif source.exists():
        with tempfile.TemporaryDirectory(prefix="saros-zip-") as folder:
            root = Path(folder)
            extract(source, root)
            yield LocalFiles(source, root, _regular_files(root))
    else:
        raise MissingFileError(source, "nothing there", "a folder or a .zip of DICOM files")


def _regular_files(root: Path) -> tuple[Path, ...]:
    paths = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return tuple(sorted(path for path in paths if path.is_file() and not _is_apple_double(path)))


def _is_apple_double(path: Path) -> bool:
    """Return whether macOS made this companion file, which is named like the one it describes."""
    return path.name.startswith("._") or "__MACOSX" in path.parts
