import csv
import os
from pathlib import Path

import pytest
import torch
from helpers.training_options import JOINT, TINY

from saros_hf.errors import MissingFileError, UnreadableFileError, UsageError
from training.cli import main
from training.fit.resume import alone_in, checkpoint_of, refuse_another_network, settings_in

TRAINED = {"data.task": "joint", "data.window": (-250, 350.0), "model.learning_rate": 1e-3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run left: hpc_ckpt_1, last, and hpc_ckpt_2 as the newest."""
    for seconds, name in enumerate(("hpc_ckpt_1.ckpt", "last.ckpt", "hpc_ckpt_2.ckpt")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    return tmp_path


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (("SLURM_NTASKS", "1"), ("SLURM_JOB_NAME", "saros")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    return monkeypatch


def test_outside_slurm_a_run_goes_on_only_if_told(folder: Path) -> None:
    assert checkpoint_of(None, folder, "fit") is None
    assert checkpoint_of("last", folder, "fit") == folder / "last.ckpt"
    assert checkpoint_of(str(folder / "hpc_ckpt_1.ckpt"), folder, "test") is not None
    assert checkpoint_of("best", folder, "fit") is None


@pytest.mark.usefixtures("slurm")
def test_under_slurm_the_newest_checkpoint_wins(folder: Path) -> None:
    assert checkpoint_of(None, folder, "fit") == folder / "hpc_ckpt_2.ckpt"
    assert checkpoint_of(None, folder, "test") is None
    (folder / "hpc_ckpt_2.ckpt").unlink()
    assert checkpoint_of(None, folder, "fit") == folder / "last.ckpt"


def test_a_job_started_again_goes_on_without_slurms_checkpoints(
    folder: Path, slurm: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("hpc*"):
        path.unlink()
    assert checkpoint_of(None, folder, "fit") is None  # a new job in an old folder
    slurm.setenv("SLURM_RESTART_COUNT", "1")
    assert checkpoint_of(None, folder, "fit") == folder / "last.ckpt"


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert checkpoint_of("last", tmp_path, "fit") is None  # the first run of a job's script
    for named, verb in (("last", "test"), ("absent.ckpt", "fit")):
        with pytest.raises(MissingFileError, match="--ckpt_path"):
            checkpoint_of(named, tmp_path, verb)
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(UnreadableFileError, match=r"text\.ckpt: found no checkpoint"):
        settings_in(tmp_path / "text.ckpt")


def test_weights_fit_one_network_only() -> None:
    path = Path("best.ckpt")
    given = {**TRAINED, "data.window": [-250.0, 350], "model.learning_rate": 1e-6}
    refuse_another_network(path, TRAINED, given)
    message = r'--data\.task: found "body-parts", expected "joint", with which best\.ckpt'
    with pytest.raises(UsageError, match=message):
        refuse_another_network(path, TRAINED, {**given, "data.task": "body-parts"})


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            alone_in(tmp_path / "run"),
            pytest.raises(UsageError, match="another process that trains"),
            alone_in(tmp_path / "run"),
        ):
            pass


def test_under_slurm_each_fold_keeps_its_own_checkpoints(
    phantoms: Path,
    cache: Path,
    tmp_path: Path,
    slurm: pytest.MonkeyPatch,
) -> None:
    """SLURM tells the first fold that its time is up; it asks to be started again."""
    slurm.chdir(tmp_path)
    job = {"JOB_ID": "123", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in {**job, "NTASKS_PER_NODE": "1"}.items():
        slurm.setenv(f"SLURM_{name}", value)
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    slurm.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}"]
    notice = "--trainer.callbacks=[{class_path: test_checkpoints.Signals, init_args: "
    notice += "{name: SIGUSR1, step: 1}}]"

    main(["fit", *JOINT, *place, *TINY, notice])
    assert (tmp_path / "asked").read_text() == "requeue 123\n"
    (saved,) = tmp_path.rglob("hpc*.ckpt")
    assert saved == tmp_path / "runs" / "fold_1" / "hpc_ckpt_1.ckpt"
    assert torch.load(saved, weights_only=True)["global_step"] == 1

    for fold, epochs, trained in ((2, 1, "0"), (1, 2, "1")):
        options = [f"--fold={fold}", f"--trainer.max_epochs={epochs}"]
        main(["fit", *JOINT, *place, *TINY, *options])
        log = tmp_path / "runs" / f"fold_{fold}" / "log" / f"version_{epochs - 1}" / "metrics.csv"
        with log.open() as file:  # fold 1 goes on from last.ckpt, which is newer than SLURM's
            assert {row["epoch"] for row in csv.DictReader(file)} == {trained}
