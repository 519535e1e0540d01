"""Files already on disk: a folder of any layout, or a .zip."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingFileError
from ..files import scratch_folder
from .unzip import extract


@dataclass(frozen=True)
class LocalFiles:
    """The regular files of a source, sorted by path.

    Attributes:
        source: The folder or .zip given by the user.
        root: The folder that contains the files, a temporary one for a .zip.
        paths: Every regular file below ``root``.
    """

    source: Path
    root: Path
    paths: tuple[Path, ...]

    def name_of(self, path: Path) -> str:
        """Return ``path`` relative to the user's source, e.g. ``chest.zip/CT/1.dcm``."""
        return str(self.source / path.relative_to(self.root))


@contextmanager
def open_source(source: Path) -> Iterator[LocalFiles]:
    """Yield the files of a folder, or of a .zip extracted for as long as the context lasts.

    Raises:
        MissingFileError: There is nothing at ``source``.
        UnreadableFileError: The file is not an intact .zip, or has members outside itself.
        OSError: The temporary folder has too little space for the .zip.
    """
    if source.is_dir():
        yield LocalFiles(source, source, _regular_files(source))
    elif source.exists():
        with scratch_folder("zip") as root:
            extract(source, root)
            yield LocalFiles(source, root, _regular_files(root))
    else:
        raise MissingFileError(source, "nothing there", "a folder or a .zip of DICOM files")


def _regular_files(root: Path) -> tuple[Path, ...]:
    """Return all regular files but the companions that macOS adds."""
    return tuple(
        sorted(
            path
            for path in _files_below(root)
            if path.is_file() and not path.name.startswith("._") and "__MACOSX" not in path.parts
        )
    )


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the entries of all folders, of linked ones too; each folder is entered once."""
    entered = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        place = status.st_dev, status.st_ino
        if place in entered:
            folders.clear()
        else:
            entered.add(place)
            yield from (Path(folder) / name for name in names)
