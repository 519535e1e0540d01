"""Files already on disk: a folder of any layout, or a .zip."""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import MissingFileError, UnreadableFileError, UsageError


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
            _extract(source, root)
            yield LocalFiles(source, root, _regular_files(root))
    else:
        raise MissingFileError(
            source,
            found="nothing there",
            expected="a folder or a .zip of DICOM files",
            remedy="Check the path.",
        )


def _regular_files(root: Path) -> tuple[Path, ...]:
    paths = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return tuple(sorted(path for path in paths if path.is_file() and not _is_apple_double(path)))


def _is_apple_double(path: Path) -> bool:
    """Return whether macOS made this companion file, which is named like the one it describes."""
    return path.name.startswith("._") or "__MACOSX" in path.parts


def _extract(archive_path: Path, root: Path) -> None:
    try:
        with zipfile.ZipFile(archive_path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                _refuse_unsafe(member, archive_path)
            _refuse_too_large(members, archive_path, root)
            for member in members:
                _extract_member(archive, member, root)
    # Encrypted members raise RuntimeError, unknown compressions NotImplementedError.
    except (zipfile.BadZipFile, zlib.error, EOFError, FileExistsError, RuntimeError) as error:
        raise UnreadableFileError(
            archive_path,
            found=f"a file that is no whole .zip ({type(error).__name__}: {error})",
            expected="a folder or a .zip of DICOM files",
            remedy="Fetch it again, or unpack it yourself and give the folder.",
        ) from error


def _refuse_unsafe(member: zipfile.ZipInfo, archive_path: Path) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        found = f"a member outside the archive, {member.filename!r}"
    elif kind not in (0, stat.S_IFREG):
        found = f"a link or special file, {member.filename!r}"
    else:
        return
    raise UnreadableFileError(
        archive_path,
        found=found,
        expected="regular files below the archive's own folder",
        remedy="Do not trust this archive; nothing of it was extracted.",
    )


def _refuse_too_large(members: list[zipfile.ZipInfo], archive_path: Path, root: Path) -> None:
    needed = sum(member.file_size for member in members)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UsageError(
            archive_path,
            found=f"{needed / 2**30:.1f} GiB of files in it, {free / 2**30:.1f} GiB free in {root}",
            expected="room to extract it",
            remedy="Set TMPDIR to a larger disk, or unpack it yourself and give the folder.",
        )


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> None:
    path = root / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    # "x": of two members with one name neither may vanish.
    with archive.open(member) as packed, path.open("xb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
