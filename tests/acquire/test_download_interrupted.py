"""Downloads on a full disk, or killed, interrupted and started twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from helpers.archive_world import CASE_IDS, finished, leftovers
from helpers.archives import MASKS, Archives
from helpers.processes import started
from helpers.s3_server import FORBIDDEN, Hang

from saros_hf.acquire.workspace import WORK_NAME
from training.cli import main

ALWAYS = 12


def test_disk_full(archives: Archives, small_disk: Path) -> None:
    archives.folder = small_disk / "saros"
    outcomes = archives.download("idc")
    reasons = {one.reason for one in outcomes if one.status == "failed"}
    assert any("No space left on device" in reason for reason in reasons)
    assert set(finished(archives.folder)) < set(CASE_IDS)
    assert leftovers(archives.folder) == []
    (small_disk / "ballast").unlink()
    archives.recover("idc")


def start(archives: Archives) -> "AbstractContextManager[subprocess.Popen[str]]":
    """Run the command in a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "training", "download", *archives.arguments()]
    return started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_run_is_resumed(archives: Archives, seed: int) -> None:
    archives.s3.delay_s = 0.1
    with start(archives) as process:
        wait_until(lambda: bool(archives.s3.requests))
        sleep(float(np.random.default_rng(seed).uniform(0, 1.0)))
        process.kill()
    finished(archives.folder)
    assert leftovers(archives.folder) == []
    archives.s3.delay_s = 0
    archives.recover("idc")


@pytest.mark.slow
def test_interrupted_run_is_resumed(archives: Archives) -> None:
    archives.s3.fail("2.dcm", *[Hang()] * ALWAYS)
    with start(archives) as process:
        wait_until(lambda: any(one.endswith("2.dcm") for one in archives.s3.requests))
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.rstrip().endswith("saros: interrupted. Run the same command again: it goes on.")
    assert "Traceback" not in errors
    assert leftovers(archives.folder) == []
    archives.s3.faults.clear()
    archives.recover("idc")


@pytest.mark.slow
def test_two_runs_share_one_folder(archives: Archives) -> None:
    archives.s3.delay_s = 0.02
    with start(archives) as one, start(archives) as other:
        ended = [run.communicate(timeout=60) for run in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), ended
    assert finished(archives.folder) == list(CASE_IDS)
    assert not (archives.folder / WORK_NAME).exists()
    assert len(archives.web.asked(MASKS)) == 1
    # Every slice was fetched only once.
    fetched = [one for one in archives.s3.fetched() if not one.startswith("HEAD")]
    assert sorted(fetched) == sorted(set(fetched))


def test_command_line_lists_failures(
    archives: Archives, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = archives.world.cases[1].series_instance_uid
    archives.s3.fail(f"{uid}/2.dcm", *[FORBIDDEN] * ALWAYS)
    with pytest.raises(SystemExit) as ended:
        main(["download", *archives.arguments()])
    assert ended.value.code == 1
    output = capsys.readouterr().out
    assert "2 written, 1 failed" in output
    assert "case_001" in output
    assert "AccessDenied" in output
    header, row = (archives.folder / "failures.csv").read_text().splitlines()
    assert header == "case_id,series_instance_uid,reason"
    assert row.startswith(f"case_001,{uid},")
    archives.s3.faults.clear()
    main(["download", *archives.arguments()])
    assert "1 written, 2 there already" in capsys.readouterr().out
    assert not (archives.folder / "failures.csv").exists()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = monotonic() + 60
    while not happened():
        assert monotonic() < deadline
        sleep(0.01)
