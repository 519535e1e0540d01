import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.processes import started

from saros_hf.acquire.workspace import WORK_NAME, claim

HOLD = """
import sys, time
from pathlib import Path
from saros_hf.acquire.workspace import claim
with claim(Path(sys.argv[1]), "case_000") as work:
    (work / "dicom").mkdir()
    (work / "dicom" / "1.dcm").write_bytes(b"fetched")
    (work / ".writing-x" / "case_000").mkdir(parents=True)
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_claim_ends_with_its_process(tmp_path: Path) -> None:
    with started([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        with claim(tmp_path, "case_000") as work:
            assert work is None
        with claim(tmp_path, "case_001") as work:
            assert work is not None
    with claim(tmp_path, "case_000") as work:
        assert work is not None
        # Fetched files stay, half-written ones are removed.
        assert [path.name for path in work.rglob("*")] == ["dicom", "1.dcm"]
        (work / "dicom" / "1.dcm").unlink()
        (work / "dicom").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_claim_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claim(tmp_path, "case_000"):
        raise RuntimeError
    assert not (tmp_path / WORK_NAME).exists()


def test_simultaneous_claims(tmp_path: Path) -> None:
    """The end of one claim removes the folder that the next one is about to use."""

    def claim_once(number: int) -> int:
        with claim(tmp_path, f"case_{number % 8:03d}") as work:
            return 0 if work is None else 1

    with ThreadPoolExecutor(8) as pool:
        claimed = sum(pool.map(claim_once, range(800)))
    assert claimed >= 8
    assert list(tmp_path.iterdir()) == []


def test_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / WORK_NAME).write_text("mine")
    with pytest.raises(FileExistsError), claim(tmp_path, "case_000"):
        pass
