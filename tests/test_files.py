import os
from pathlib import Path

import pytest

from saros_hf.files import remove_leftovers, write_atomically


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with write_atomically(path) as aside:
        aside.write_text("old")
    with write_atomically(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_and_fail() -> None:
        with write_atomically(path) as aside:
            aside.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    for name in (".writing-killed", ".writing-now"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.png").touch()
    os.utime(tmp_path / ".writing-killed", (0, 0))
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == [".writing-now"]
