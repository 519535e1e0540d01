import zipfile
from pathlib import Path

import pytest
from helpers.dicom_files import zipped

from saros_hf.archive.local_files import open_source
from saros_hf.errors import UnreadableFileError


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


def test_extracted_files_are_removed(archive: Path) -> None:
    with open_source(archive) as files:
        root = files.root
    assert not root.exists()


def test_unsafe_zip_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../out.dcm", "x")
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UnreadableFileError, match=r"'\.\./out\.dcm'"), open_source(archive):
        pass
    assert sorted(archive.parent.rglob("*")) == before
