import errno
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from saros_hf.archive.unzip import BrokenZipError, extract
from saros_hf.errors import UnreadableFileError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def write_zip(folder: Path, *members: tuple[str, bytes]) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def declare(path: Path, size_bytes: int) -> None:
    """Set the size of the first member in the directory of the ZIP."""
    packed = bytearray(path.read_bytes())
    struct.pack_into("<I", packed, packed.index(b"PK\1\2") + 24, size_bytes)
    path.write_bytes(packed)


def test_extract(tmp_path: Path, root: Path) -> None:
    path = write_zip(tmp_path, ("a/", b""), ("a/1.dcm", b"one" * 99), ("2.dcm", b""))
    extract(path, root)
    assert files_below(root) == ["2.dcm", "a", "a/1.dcm"]
    assert (root / "a/1.dcm").read_bytes() == b"one" * 99


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..\\x", "/x", "\\x", "C:/x", "c:x"])
def test_unsafe_name_is_refused(tmp_path: Path, root: Path, name: str) -> None:
    path = write_zip(tmp_path, ("1.dcm", b"1"), (name, b"2"))
    with pytest.raises(UnreadableFileError, match=r"outside the archive.* nothing of it") as it:
        extract(path, root)
    assert not isinstance(it.value, BrokenZipError)
    assert files_below(root) == []
    assert files_below(tmp_path) == ["a.zip", "root"]


def test_empty_name_is_refused(tmp_path: Path, root: Path) -> None:
    path = write_zip(tmp_path, ("~", b"1"))
    path.write_bytes(path.read_bytes().replace(b"~", b"\0"))
    with pytest.raises(UnreadableFileError, match=r"outside the archive, ''"):
        extract(path, root)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
def test_link_or_special_file_is_refused(tmp_path: Path, root: Path, kind: int) -> None:
    member = zipfile.ZipInfo("x")
    member.external_attr = (kind | 0o777) << 16
    path = write_zip(tmp_path, ("1.dcm", b"1"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(UnreadableFileError, match=r"a link or special file, 'x'"):
        extract(path, root)
    assert files_below(root) == []


def test_zip_bomb_is_refused(tmp_path: Path, root: Path) -> None:
    path = write_zip(tmp_path, ("1", b"x"))
    declare(path, 3 << 29)
    message = rf"1\.5 GiB packed into {path.stat().st_size} bytes, expected at most 100 times"
    with pytest.raises(UnreadableFileError, match=message):
        extract(path, root)
    assert files_below(root) == []


def test_well_compressed_small_file_is_extracted(tmp_path: Path, root: Path) -> None:
    path = write_zip(tmp_path, ("1", bytes(1_000_000)))
    assert path.stat().st_size < 10_000
    extract(path, root)
    assert (root / "1").stat().st_size == 1_000_000


def test_full_disk(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
    path = write_zip(tmp_path, ("1", bytes(100)))
    with pytest.raises(OSError, match=r"No space left on device .* set TMPDIR") as caught:
        extract(path, root)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(root))
    assert files_below(root) == []


def flip(path: Path, *offsets: int, mask: int) -> None:
    packed = bytearray(path.read_bytes())
    for offset in offsets:
        packed[offset] ^= mask
    path.write_bytes(packed)


def end_record(path: Path, offset: int, value: int) -> None:
    packed = bytearray(path.read_bytes())
    struct.pack_into("<I", packed, len(packed) - 22 + offset, value)
    path.write_bytes(packed)


def bzip2(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("1.dcm", bytes(range(200)))
    return path


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "damaged": lambda path: flip(path, 33, mask=0xFF),
    "encrypted": lambda path: flip(path, 6, path.read_bytes().index(b"PK\1\2") + 8, mask=1),
    "empty": lambda path: path.write_bytes(b""),
    "page": lambda path: path.write_text("<html>"),
    "content of a folder": lambda path: write_zip(path.parent, ("1.dcm/", b"x")),
    "claims less": lambda path: declare(path, 10),
    "directory size": lambda path: end_record(path, 12, 1 << 30),
    "directory offset": lambda path: end_record(path, 16, 1 << 31),
    "bzip2": lambda path: flip(bzip2(path), 50, mask=0xFF),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_zip_is_refused(tmp_path: Path, root: Path, how: str) -> None:
    path = write_zip(tmp_path, ("1.dcm", bytes(range(200))))
    BROKEN[how](path)
    with pytest.raises(BrokenZipError, match=r"a\.zip: found an invalid or incomplete \.zip \("):
        extract(path, root)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a", "a/b/c")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(tmp_path: Path, root: Path, names: tuple[str, str]) -> None:
    path = write_zip(tmp_path, *((name, b"x") for name in names))
    with pytest.raises(BrokenZipError, match="Error: "):
        extract(path, root)
