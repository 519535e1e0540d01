import os
import subprocess
import sys
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


def test_zip_of_a_killed_process_is_removed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    code = (
        "import os, sys; from pathlib import Path; from saros_hf.archive import local_files\n"
        "with local_files.open_source(Path(sys.argv[1])): os._exit(9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    subprocess.run([sys.executable, "-c", code, archive], env=environment, check=False)
    (left,) = (tmp_path / "tmp").glob("saros-zip-*")
    with open_source(archive) as files:
        assert not left.exists()
        with open_source(archive):
            assert files.root.is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    store, source = tmp_path / "store", tmp_path / "source"
    for folder in (store, source):
        folder.mkdir()
        (folder / f"{folder.name}.dcm").write_text("x")
    (source / "link").symlink_to(store)
    (source / "again").symlink_to(store)
    (source / "loop").symlink_to(source)
    (source / "dangling").symlink_to(tmp_path / "nowhere")
    with open_source(source) as files:
        assert sorted(path.name for path in files.paths) == ["source.dcm", "store.dcm"]


def test_unsafe_zip_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../out.dcm", "x")
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UnreadableFileError, match=r"'\.\./out\.dcm'"), open_source(archive):
        pass
    assert sorted(archive.parent.rglob("*")) == before
