import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saros_hf.acquire.workspace import WORK_NAME, claim

HOLD = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from saros_hf.acquire.workspace import claim
with claim(Path(sys.argv[1]), "case_000") as work:
    (work / "dicom").mkdir()
    (work / "dicom" / "1.dcm").write_bytes(b"fetched")
    (work / ".writing-x" / "case_000").mkdir(parents=True)
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "claimed\n"
    with claim(tmp_path, "case_000") as work:
        assert work is None
    with claim(tmp_path, "case_001") as work:
        assert work is not None
    holder.kill()
    holder.communicate()
    with claim(tmp_path, "case_000") as work:
        assert work is not None
        # What was fetched stays, what was half written goes.
        assert [path.name for path in work.rglob("*")] == ["dicom", "1.dcm"]
        (work / "dicom" / "1.dcm").unlink()
        (work / "dicom").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_finished_claim_even_after_an_error(tmp_path: Path) -> None:
    try:
        with claim(tmp_path, "case_000"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert not (tmp_path / WORK_NAME).exists()


def test_claims_that_come_and_go_at_once_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    """The last one to leave removes the folder that the next one is about to use."""

    def come_and_go(number: int) -> int:
        with claim(tmp_path, f"case_{number % 8:03d}") as work:
            return 0 if work is None else 1

    with ThreadPoolExecutor(8) as pool:
        claimed = sum(pool.map(come_and_go, range(4000)))
    assert claimed >= 8  # how many is up to the scheduler
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / WORK_NAME).write_text("mine")
    with pytest.raises(FileExistsError), claim(tmp_path, "case_000"):
        pass
