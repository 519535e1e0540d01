import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.nifti import read_image, read_mask
from training.averaging import PredictOptions
from training.cli import main
from training.ensemble import read_ensemble
from training.inference import find_jobs, predict_one
from training.module import SarosSegmenter

SMALL = {"decoder_channels": (16, 16, 8, 8, 8)}


def save(folder: Path, seed: int, **options: object) -> Path:
    """Save a network that has learned nothing but has a taste of its own."""
    torch.manual_seed(seed)
    segmenter = SarosSegmenter(options=SMALL, **options)
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


def test_many_cts_one_of_them_broken(
    model: Path, cts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("predict", "--model", model, cts, out, "--workers", "0") == 1
    shown = capfd.readouterr()
    assert "3 CTs predicted on 1 device(s), 0 were there already, 1 failed" in shown.out
    assert "bad.nii.gz: found" in shown.err
    assert (out / "bad.error.txt").read_text().startswith(str(cts / "bad.nii.gz"))
    assert not (out / "bad").exists()
    for name in "abc":
        for task in ("body-regions", "body-parts"):
            labels = read_mask(out / name / f"{task}.nii.gz", task)
            assert labels.same_grid(read_image(cts / "a.nii.gz"))
            assert (out / name / f"{task}.png").read_bytes().startswith(b"\x89PNG")
    # Mended, the same command does what is left, and only that.
    shutil.copy(cts / "a.nii.gz", cts / "bad.nii.gz")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert run("predict", "--model", model, cts, out, "--workers", "1") == 0
    assert "1 CTs predicted on 1 device(s), 3 were there already" in capfd.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert not list(out.glob("*.error.txt"))
    assert run("predict", "--model", model, cts, out, "--overwrite", "--no-pictures") == 0
    assert all(path.stat().st_mtime_ns > time for path, time in times.items())


@pytest.mark.usefixtures("cts")
def test_two_processes_share_a_list_and_go_on(model: Path, tmp_path: Path) -> None:
    """Real gloo processes, uneven shares, one CT there already, one broken."""
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
    # More devices than CTs: one has nothing to do.
    listed.write_text("path\ncts/b.nii.gz\ncts/a.nii.gz\n")
    command[-1] = "3"
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "1 CTs predicted on 3 device(s), 1 were there already" in again.stdout


def test_folds_are_averaged(phantoms: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    for fold in (1, 2, 3):
        save(run_folder / f"fold_{fold}" / "model", fold)
    ensemble = read_ensemble([run_folder])
    assert len(ensemble.networks) == 3
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "found no path in it"),
        ("a/ct.nii.gz\nb/ct.nii.gz\n", "found 2 CTs to be written there"),
    ],
)
def test_lists_that_make_no_sense(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises((MissingFileError, UsageError), match=message):
        find_jobs(tmp_path / "list.txt", tmp_path / "out")
