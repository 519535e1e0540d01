"""Extract an untrusted ZIP."""

import errno
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import SarosError, UnreadableFileError

_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 100

# Encrypted members raise RuntimeError, unknown compressions NotImplementedError (a RuntimeError),
# names that clash FileExistsError or NotADirectoryError.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    FileExistsError,
    NotADirectoryError,
    OverflowError,
    RuntimeError,
    UnicodeDecodeError,
)


class BrokenZipError(UnreadableFileError):
    """A file is cut short, damaged, encrypted, or not a ZIP at all."""


def extract(archive_path: Path, root: Path) -> None:
    """Extract every file of a ZIP below ``root``, or none if one of them is unsafe.

    Only damage that shows while reading leaves files behind.

    Args:
        archive_path: The ZIP.
        root: An existing folder.

    Raises:
        BrokenZipError: The file is not an intact ZIP.
        UnreadableFileError: It has members outside itself, links or special files, or is larger
            than an honest ZIP of its size can be.
        OSError: The disk has too little space.
    """
    remedy = "Fetch it again, or unpack it yourself and give the folder."
    with open_zip(archive_path, "a folder or a .zip of DICOM files", remedy) as archive:
        members = file_members(archive)
        for member in members:
            refuse_unsafe(member, archive_path)
        _refuse_too_large(sum(member.file_size for member in members), archive_path, root)
        for member in members:
            path = root / member.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x": two members with the same name are an error.
            with archive.open(member) as packed, path.open("xb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)


@contextmanager
def open_zip(
    path: str | Path, expected: str, remedy: str, *, file: IO[bytes] | None = None
) -> Iterator[zipfile.ZipFile]:
    """Yield a ZIP to read; any damage found in it becomes a ``BrokenZipError``.

    Args:
        path: The ZIP, or its name in messages.
        expected: Description of the file that it should be.
        remedy: Advice to the user if it is not.
        file: Source of its bytes if not ``path``.

    Raises:
        BrokenZipError: The file is not an intact ZIP.
    """
    try:
        with zipfile.ZipFile(path if file is None else file) as archive:
            yield archive
    except (*_ZIP_ERRORS, OSError, ValueError) as error:
        if not _is_damage(error, local=file is None):
            raise
        found = f"an invalid or incomplete .zip ({type(error).__name__}: {error})"
        raise BrokenZipError(path, found, expected, remedy) from error


def _is_damage(error: Exception, *, local: bool) -> bool:
    """Tell what damaged offsets (a seek before the start) and bzip2 raise from other errors."""
    if isinstance(error, SarosError):
        return False
    if isinstance(error, _ZIP_ERRORS):
        return True
    return error.errno in (None, errno.EINVAL) if isinstance(error, OSError) else local


def file_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return all members other than folders.

    Raises:
        BadZipFile: A folder has content, as if it were a file.
    """
    members = []
    for member in archive.infolist():
        # ZipInfo.is_dir fails on an empty name.
        if not member.filename.endswith("/"):
            members.append(member)
        elif member.file_size:
            raise zipfile.BadZipFile(f"content in the folder {member.filename!r}")
    return members


def refuse_unsafe(member: zipfile.ZipInfo, archive_path: str | Path) -> None:
    """Raise if a member would not become a regular file below the folder it is extracted to.

    Raises:
        UnreadableFileError: Its path leads elsewhere, or it is a link or special file.
    """
    name = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or not name.parts or ":" in name.parts[0]:
        found = f"a member outside the archive, {member.filename!r}"
    elif kind not in (0, stat.S_IFREG):
        found = f"a link or special file, {member.filename!r}"
    else:
        return
    raise _untrusted(archive_path, found, "regular files below the archive's own folder")


def _refuse_too_large(needed: int, archive_path: Path, root: Path) -> None:
    packed = archive_path.stat().st_size
    if needed > max(_BOMB_BYTES, _BOMB_RATIO * packed):
        found = f"{_gib(needed)} packed into {packed} bytes"
        raise _untrusted(archive_path, found, f"at most {_BOMB_RATIO} times the packed size")
    free = shutil.disk_usage(root).free
    if needed > free:
        text = f"No space left on device ({_gib(needed)} to extract, {_gib(free)} free)"
        raise OSError(errno.ENOSPC, f"{text}; set TMPDIR to a larger disk", str(root))


def _untrusted(archive_path: str | Path, found: str, expected: str) -> UnreadableFileError:
    remedy = "Do not trust this archive; nothing of it was extracted."
    return UnreadableFileError(archive_path, found, expected, remedy)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
