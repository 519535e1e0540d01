"""Extract a ZIP that nobody vouches for."""

import lzma
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import UnreadableFileError, UsageError

_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 100

# Encrypted members raise RuntimeError, unknown compressions NotImplementedError (a RuntimeError),
# names that clash FileExistsError or NotADirectoryError.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    FileExistsError,
    NotADirectoryError,
    RuntimeError,
    UnicodeDecodeError,
)


class BrokenZipError(UnreadableFileError):
    """A file is no whole ZIP: cut short, damaged, encrypted, or something else altogether."""


def extract(archive_path: Path, root: Path, *, limit_bytes: int | None = None) -> None:
    """Extract every file of a ZIP below ``root``, or nothing if one of them is unsafe.

    Only a damage that shows while reading leaves files behind.

    Args:
        archive_path: The ZIP.
        root: An existing folder.
        limit_bytes: How many bytes the files may have together.

    Raises:
        BrokenZipError: It is no whole ZIP.
        UnreadableFileError: It reaches outside itself, holds links or special files, or is
            larger than ``limit_bytes`` or than any honest ZIP of its size.
        UsageError: It holds more bytes than there is room for.
    """
    remedy = "Fetch it again, or unpack it yourself and give the folder."
    with open_zip(archive_path, "a folder or a .zip of DICOM files", remedy) as archive:
        members = file_members(archive)
        for member in members:
            refuse_unsafe(member, archive_path)
        _refuse_too_large(members, archive_path, root, limit_bytes)
        for member in members:
            _extract_member(archive, member, root)


@contextmanager
def open_zip(
    path: str | Path, expected: str, remedy: str, *, file: IO[bytes] | None = None
) -> Iterator[zipfile.ZipFile]:
    """Yield a ZIP to read; whatever is wrong with its bytes becomes a ``BrokenZipError``.

    Args:
        path: The ZIP, or what messages call it.
        expected: What the file should be.
        remedy: What the user can do if it is not.
        file: Where its bytes come from if not from ``path``.

    Raises:
        BrokenZipError: It is no whole ZIP.
    """
    try:
        with zipfile.ZipFile(path if file is None else file) as archive:
            yield archive
    except _ZIP_ERRORS as error:
        raise BrokenZipError(
            path,
            f"a file that is no whole .zip ({type(error).__name__}: {error})",
            expected,
            remedy,
        ) from error


def file_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return all members that are no folders."""
    # ZipInfo.is_dir fails on an empty name.
    return [member for member in archive.infolist() if not member.filename.endswith("/")]


def refuse_unsafe(member: zipfile.ZipInfo, archive_path: str | Path) -> None:
    """Raise if a member would not become a regular file below the folder it is extracted to.

    Raises:
        UnreadableFileError: Its name leads elsewhere, or it is a link or special file.
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


def _refuse_too_large(
    members: list[zipfile.ZipInfo], archive_path: Path, root: Path, limit_bytes: int | None
) -> None:
    needed = sum(member.file_size for member in members)
    if needed > max(_BOMB_BYTES, _BOMB_RATIO * archive_path.stat().st_size):
        raise _untrusted(
            archive_path,
            f"{_gib(needed)} packed into {archive_path.stat().st_size} bytes",
            f"at most {_BOMB_RATIO} times the packed size",
        )
    if limit_bytes is not None and needed > limit_bytes:
        raise _untrusted(
            archive_path, f"{needed} bytes of files in it", f"at most {limit_bytes} bytes"
        )
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UsageError(
            archive_path,
            f"{_gib(needed)} of files in it, {_gib(free)} free in {root}",
            "room to extract it",
            "Set TMPDIR to a larger disk, or unpack it yourself and give the folder.",
        )


def _untrusted(archive_path: str | Path, found: str, expected: str) -> UnreadableFileError:
    return UnreadableFileError(
        archive_path, found, expected, "Do not trust this archive; nothing of it was extracted."
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> None:
    path = root / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    # "x": of two members with one name neither may vanish.
    with archive.open(member) as packed, path.open("xb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
