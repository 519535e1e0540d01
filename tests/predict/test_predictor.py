import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.nifti import read_image, read_mask
from training.cli import main
from training.model.test_time_averaging import PredictOptions
from training.module import SarosSegmenter
from training.predict.devices import Devices, make_trainer
from training.predict.ensemble import read_ensemble
from training.predict.inputs import find_jobs
from training.predict.write_maps import predict_one

SMALL = {"decoder_channels": (16, 16, 8, 8, 8)}


def save(folder: Path, seed: int, **options: object) -> Path:
    """Save a network that has learned nothing but has a taste of its own."""
    torch.manual_seed(seed)
    segmenter = SarosSegmenter(options=SMALL, **options)
    segmenter.slice_spacing_mm.fill_(4.0 + seed)
    for module in segmenter.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    segmenter.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"), 0, task="joint", position=True, context=1)


@pytest.fixture
def cts(phantoms: Path, tmp_path: Path) -> Path:
    """Three sound CTs and one cut short, as files of their own."""
    folder = tmp_path / "cts"
    folder.mkdir()
    for name in "abc":
        shutil.copy(phantoms / "case_000" / "image.nii.gz", folder / f"{name}.nii.gz")
    whole = (folder / "a.nii.gz").read_bytes()
    (folder / "bad.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_many_cts_some_of_them_odd(
    model: Path, cts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    blocked = out / "b" / "body-regions.nii.gz"
    blocked.mkdir(parents=True)
    assert run("predict", "--model", model, cts, out, "--workers", "0") == 1
    shown = capfd.readouterr()
    assert "2 CTs predicted on 1 device(s), 0 were there already, 2 failed" in shown.out
    assert "bad.nii.gz: found" in shown.err
    assert "b.nii.gz: IsADirectoryError" in shown.err
    assert "Traceback" not in shown.err
    assert (out / "bad.error.txt").read_text().startswith(str(cts / "bad.nii.gz"))
    assert "Traceback" in (out / "b.error.txt").read_text()
    assert not (out / "bad").exists()
    for name in "ac":
        for task in ("body-regions", "body-parts"):
            labels = read_mask(out / name / f"{task}.nii.gz", task)
            assert labels.same_grid(read_image(cts / "a.nii.gz"))
            assert (out / name / f"{task}.png").read_bytes().startswith(b"\x89PNG")
    # Pictures come first, so that where a label map is there, nothing is missing.
    assert (out / "b" / "body-regions.png").exists()
    # Mended, the same command does what is left, and only that.
    shutil.copy(cts / "a.nii.gz", cts / "bad.nii.gz")
    blocked.rmdir()
    killed = out / "b" / ".writing-killed"
    killed.mkdir()
    os.utime(killed, (0, 0))
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert run("predict", "--model", model, cts, out, "--workers", "1") == 0
    assert "2 CTs predicted on 1 device(s), 2 were there already" in capfd.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert not list(out.glob("*.error.txt"))
    assert not killed.exists()
    assert run("predict", "--model", model, cts, out, "--overwrite", "--no-pictures") == 0
    assert all(path.stat().st_mtime_ns > time for path, time in times.items())


def test_a_full_disk_ends_the_run(
    model: Path, cts: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    assert run("predict", "--model", model, cts, small_disk / "out", "--no-pictures") == 1
    shown = capfd.readouterr().err
    assert shown.count("saros: ") == 1
    assert "No space left on device" in shown
    assert "Make room and start the same command again" in shown
    assert "Traceback" not in shown


def test_a_training_stopped_by_slurm_is_none_of_its_business(
    model: Path,
    cts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hpc_ckpt_1.ckpt").write_bytes(b"what Lightning saves of a training before its time is up")
    for name, value in (("NTASKS", 1), ("NTASKS_PER_NODE", 1), ("PROCID", 0), ("LOCALID", 0)):
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    Path("list.txt").write_text(str(cts / "a.nii.gz"))
    for told in (
        "1 CTs predicted on 1 device(s), 0 were",
        "0 CTs predicted on 1 device(s), 1 were",
    ):
        assert run("predict", "--model", model, "list.txt", "out", "--no-pictures") == 0
        shown = capfd.readouterr()
        assert told in shown.out
        assert "SLURM auto-requeueing enabled" not in shown.err
        assert "Total length" not in shown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tile", "0"], "tile: found 0, expected at least 32"),
        (["--batch-size", "0"], "batch_size: found 0, expected at least 1"),
        (["--devices", "0"], "expected what this machine has"),
        (["--precision", "fp7"], "expected what this machine has"),
    ],
)
def test_options_that_make_no_sense(
    options: list[str],
    message: str,
    model: Path,
    cts: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run("predict", "--model", model, cts, tmp_path / "out", *options) == 1
    (line,) = [one for one in capfd.readouterr().err.splitlines() if one.startswith("saros: ")]
    assert message in line


@pytest.mark.usefixtures("cts")
def test_two_processes_share_a_list_and_go_on(model: Path, tmp_path: Path) -> None:
    """Real gloo processes: an uneven share, then less to do than there are processes."""
    listed = tmp_path / "list.csv"
    listed.write_text("path\n" + "".join(f"cts/{n}.nii.gz\n" for n in ("a", "b", "c", "bad", "no")))
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "training", "predict", "--model", str(model)),
        *(str(listed), str(out), "--no-pictures", "--accelerator", "cpu", "--devices", "2"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "3 CTs predicted on 2 device(s), 0 were there already, 2 failed" in done.stdout
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["a", "b", "c"]
    (out / "b" / "body-parts.nii.gz").unlink()
    listed.write_text("".join(f"cts/{n}.nii.gz\n" for n in "abc"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert "1 CTs predicted on 2 device(s), 2 were there already, 0 failed" in again.stdout


def test_a_device_waits_for_the_others_longer_than_for_half_an_hour() -> None:
    trainer = make_trainer(Devices("cpu", devices="2"), Path("unused"), bar=False)
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._timeout > timedelta(days=30)


def test_folds_are_averaged(phantoms: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    for fold in (1, 2, 3):
        save(run_folder / f"fold_{fold}" / "model", fold)
    ensemble = read_ensemble([run_folder])
    assert len(ensemble.networks) == 3
    assert ensemble.spec.slice_spacing_mm == 6.0  # of 5, 6 and 7
    image = read_image(phantoms / "case_000" / "image.nii.gz")
    (job,) = find_jobs(phantoms / "case_000" / "image.nii.gz", tmp_path / "together.nii.gz")
    predict_one(ensemble, image, job, PredictOptions(), picture=False)
    together = read_mask(job.target, "body-regions").array
    alone = [
        SarosSegmenter.from_pretrained(run_folder / f"fold_{fold}" / "model") for fold in (1, 2, 3)
    ]
    votes = [segmenter.predict_volume(image).array for segmenter in alone]
    assert all((vote != together).any() for vote in votes)
    # Where all three agree no mean of probabilities can say otherwise.
    agreed = (votes[0] == votes[1]) & (votes[1] == votes[2])
    assert agreed.any()
    assert np.array_equal(together[agreed], votes[0][agreed])


def test_models_of_different_tasks_are_not_averaged(model: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", 1)
    with pytest.raises(UsageError, match=r"other: found a model for .*body-regions"):
        read_ensemble([model, other])
    with pytest.raises(MissingFileError, match="found no such folder"):
        read_ensemble([tmp_path / "nothing"])
