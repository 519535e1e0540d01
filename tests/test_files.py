import errno
import os
import re
from pathlib import Path

import pytest

from saros_hf.errors import UsageError
from saros_hf.files import files_in, remove_leftovers, replace_files, write_atomically

OURS = re.compile(r"(fold_\d/)?[abc]\.txt")


def test_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"

    def write(text: str, *, fail: bool = False) -> None:
        with write_atomically(path) as aside:
            aside.write_text(text)
            if fail:
                raise RuntimeError("disk full")

    write("old")
    with (
        pytest.raises(OSError, match=f"No space left on device: '{path}'"),
        write_atomically(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with write_atomically(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError, match="disk full"):
        write("half", fail=True)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def write(folder: Path, *names: str, fail: bool = False) -> None:
    with replace_files(folder, OURS) as aside:
        for name in names:
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_text("new")
        if fail:
            raise OSError(28, "No space left on device")


def test_files_of_a_folder_are_replaced_together(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    write(folder, "a.txt", "b.txt", "fold_2/a.txt")
    for path in folder.rglob("*.txt"):
        path.write_text("old")
    (folder / ".writing-killed").mkdir()
    (folder / ".writing-file").touch()
    (folder / ".writing-link").symlink_to(tmp_path)
    (folder / ".DS_Store").write_text("the system's")
    with pytest.raises(OSError, match="No space left"):
        write(folder, "a.txt", "c.txt", fail=True)
    assert {path.read_text() for path in folder.rglob("*.txt")} == {"old"}
    assert files_in(folder) == ["a.txt", "b.txt", "fold_2/a.txt"]
    write(folder, "a.txt", "c.txt")
    assert files_in(folder) == ["a.txt", "c.txt"]
    assert {path.read_text() for path in folder.rglob("*.txt")} == {"new"}
    assert sorted(path.name for path in folder.iterdir()) == [".DS_Store", "a.txt", "c.txt"]


@pytest.mark.parametrize("stranger", ["notes.txt", "fold_2/notes.txt", "fold_2/deep/a.txt"])
def test_folder_with_other_files_is_refused(tmp_path: Path, stranger: str) -> None:
    path = tmp_path / stranger
    path.parent.mkdir(exist_ok=True, parents=True)
    for existing in (path, tmp_path / "a.txt"):
        existing.write_text("old")
    with pytest.raises(UsageError, match=f"{stranger}: found a file that this command did not"):
        write(tmp_path, "a.txt")
    assert path.read_text() == (tmp_path / "a.txt").read_text() == "old"


def test_leftovers_of_killed_processes_are_removed_but_not_recent_ones(tmp_path: Path) -> None:
    for name in (".writing-killed", ".writing-now"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.png").touch()
    os.utime(tmp_path / ".writing-killed", (0, 0))
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == [".writing-now"]
