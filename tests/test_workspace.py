import subprocess
import sys
from pathlib import Path

from saros_hf.workspace import WORK_NAME, claim

HOLD = """
import sys, time
from pathlib import Path
from saros_hf.workspace import claim
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
