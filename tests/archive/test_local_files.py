import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.dicom_files import zipped

from saros_hf.archive.local_files import open_source
from saros_hf.errors import UnreadableFileError


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A .zip with a/1.dcm, a/2.dcm and what macOS adds."""
    for name in ("a/1.dcm", "a/2.dcm", "__MACOSX/a/._1.dcm", "a/._2.dcm"):
        path = tmp_path / "dicom" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 500)
    return zipped(tmp_path / "dicom")


def test_zip_and_folder_give_the_same_files(archive: Path) -> None:
    for source in (archive, archive.with_suffix("")):
        with open_source(source) as files:
            names = [files.name_of(path) for path in files.paths]
            assert [path.read_text() for path in files.paths] == ["a/1.dcm" * 500, "a/2.dcm" * 500]
        assert names == [f"{source}/a/1.dcm", f"{source}/a/2.dcm"]
    assert archive.exists()


def test_extracted_files_go_when_they_are_done_with(archive: Path) -> None:
    with open_source(archive) as files:
        root = files.root
    assert not root.exists()


def link(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("slice.dcm")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


UNSAFE: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "parent": (lambda a: a.writestr("../out.dcm", "x"), r"outside the archive, '\.\./out\.dcm'"),
    "inner": (lambda a: a.writestr("a/../../b.dcm", "x"), r"outside the archive"),
    "backslash": (lambda a: a.writestr("..\\b.dcm", "x"), r"outside the archive"),
    "absolute": (lambda a: a.writestr("/tmp/out.dcm", "x"), r"outside .*'/tmp/out\.dcm'"),
    "drive": (lambda a: a.writestr("C:/out.dcm", "x"), r"outside .*'C:/out\.dcm'"),
    "link": (link, r"a link or special file, 'slice\.dcm'"),
    "twice": (lambda a: a.writestr("a/1.dcm", "x"), r"FileExistsError: .*a/1\.dcm"),
}


@pytest.mark.parametrize("what", UNSAFE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_zip_is_refused(archive: Path, what: str) -> None:
    add, message = UNSAFE[what]
    with zipfile.ZipFile(archive, "a") as file:
        add(file)
    before = files_below(archive.parent)
    with pytest.raises(UnreadableFileError, match=message), open_source(archive):
        pass
    assert files_below(archive.parent) == before


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_zip_cut_short(archive: Path, keep: float) -> None:
    archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
    message = r"dicom\.zip: found a file that is no whole \.zip \(BadZipFile"
    with pytest.raises(UnreadableFileError, match=message), open_source(archive):
        pass


@pytest.mark.parametrize("offset", [45, 60])
def test_zip_with_a_damaged_member(archive: Path, offset: int) -> None:
    content = bytearray(archive.read_bytes())
    start = content.index(b"a/1.dcm")
    content[start + offset - 30] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="no whole"), open_source(archive):
        pass
