import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from helpers.processes import started
from lightning.pytorch.strategies import DDPStrategy

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.module import SarosSegmenter
from training.predict.devices import make_trainer
from training.predict.ensemble import read_ensemble

SMALL = {"decoder_channels": (16, 16, 8, 8, 8)}


def save(folder: Path, seed: int, **options: object) -> Path:
    """Save an untrained network whose predictions depend on the seed."""
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
    """Three intact CTs of 12 slices and a truncated one."""
    folder = tmp_path / "cts"
    folder.mkdir()
    whole = read_image(phantoms / "case_000" / "image.nii.gz")
    write_volume(folder / "a.nii.gz", Volume(whole.array[..., :12], whole.affine))
    shutil.copy(folder / "a.nii.gz", folder / "b.nii.gz")
    shutil.copy(folder / "a.nii.gz", folder / "c.nii.gz")
    content = (folder / "a.nii.gz").read_bytes()
    (folder / "bad.nii.gz").write_bytes(content[: len(content) // 2])
    return folder


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
def test_odd_cts_do_not_end_the_run_and_the_next_run_resumes(
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
    # Pictures come first, so that a CT with label maps is complete.
    assert (out / "b" / "body-regions.png").exists()
    # Once the problems are fixed, the same command predicts only what is missing.
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


@pytest.mark.slow
def test_label_map_knows_what_made_it(
    cts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, other = save(tmp_path / "model", 1), save(tmp_path / "other", 2)
    options = ("--no-pictures", "--workers", "0")
    (tmp_path / "list.txt").write_text("cts/a.nii.gz\ncts/b.nii.gz\n")

    def predict(*models: object, out: str = "out") -> list[bytes]:
        """Return both label maps, and check that they were made anew."""
        capfd.readouterr()
        assert run("predict", tmp_path / "list.txt", tmp_path / out, *options, *models) == 0
        assert "2 CTs predicted on 1 device(s), 0 were there" in capfd.readouterr().out
        return [(tmp_path / out / name).read_bytes() for name in ("a.nii.gz", "b.nii.gz")]

    found = [predict("--model", model)]
    for models in (["--model", other], ["--model", model, "--model", other]):
        found.append(predict(*models))
        found.append(predict(*models, "--mirror"))
    assert len({a for a, _ in found}) == len(found)
    assert predict("--model", other, out="fresh") == predict("--model", other) == found[1]
    # Another CT of the same name.
    whole = read_image(cts / "a.nii.gz")
    write_volume(cts / "b.nii.gz", Volume(whole.array[::-1], whole.affine))
    command = ("predict", tmp_path / "list.txt", tmp_path / "out", *options, "--model", other)
    assert run(*command) == 0
    assert "1 CTs predicted on 1 device(s), 1 were there" in capfd.readouterr().out
    assert (tmp_path / "out" / "b.nii.gz").read_bytes() != found[1][1]


@pytest.mark.slow
def test_nothing_but_predictions_is_replaced(
    cts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, other, out = save(tmp_path / "model", 1), save(tmp_path / "other", 2), tmp_path / "out"
    (tmp_path / "list.txt").write_text("cts/a.nii.gz\ncts/b.nii.gz\n")
    command = ("predict", tmp_path / "list.txt", out, "--no-pictures", "--workers", "0", "--model")
    assert run(*command, model) == 0
    # Corrected by hand: kept by the same model, and refused to another.
    corrected = nibabel.load(out / "b.nii.gz")
    voxels = np.asarray(corrected.dataobj).copy()
    voxels[0, 0, 0] = 13
    nibabel.save(nibabel.Nifti1Image(voxels, corrected.affine, corrected.header), out / "b.nii.gz")
    content = (out / "b.nii.gz").read_bytes()
    assert run(*command, model) == 0
    capfd.readouterr()
    assert run(*command, other) == 1
    shown = capfd.readouterr().err
    assert "saros: label maps of 2 CT(s) by another model or options are made anew" in shown
    assert f"{out / 'b.nii.gz'}: found a label map that was changed after its prediction" in shown
    # A CT, of which nobody wants a label map in its place: the arguments are swapped.
    shutil.copy(cts / "a.nii.gz", out / "a.nii.gz")
    swapped = ("predict", "--model", model, out / "b.nii.gz", cts / "a.nii.gz")
    for arguments in (swapped, (*command, other)):
        assert run(*arguments) == 1
        assert "a.nii.gz: found a file that no prediction made" in capfd.readouterr().err
    assert (out / "a.nii.gz").read_bytes() == (cts / "a.nii.gz").read_bytes()
    assert (out / "b.nii.gz").read_bytes() == content
    assert run(*command, other, "--overwrite") == 0
    assert read_mask(out / "a.nii.gz", "body-regions").same_grid(read_image(cts / "a.nii.gz"))
    assert (out / "b.nii.gz").read_bytes() != content


@pytest.mark.slow
def test_one_ct_is_predicted_once(
    cts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, out = save(tmp_path / "model", 1), cts / "labels.nii.gz"
    (tmp_path / "list.txt").write_text(str(cts / "a.nii.gz"))
    for _ in range(2):
        assert run("predict", "--model", model, cts / "a.nii.gz", out) == 0
    assert capfd.readouterr().out.splitlines()[-1] == f"{out} was there already"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "code", "told"),
    [
        ("all", 130, "saros: interrupted. Run the same command again: it goes on."),
        ("worker", 1, "saros: --workers: found a reading process that was killed"),
    ],
)
def test_stopped_run_blames_no_ct(
    cts: Path, tmp_path: Path, victim: str, code: int, told: str
) -> None:
    """SIGTERM to all processes, as a batch system sends it; SIGKILL to a worker, as for memory."""
    model, out = save(tmp_path / "model", 1), tmp_path / "out"
    names = [str(tmp_path / f"{number}.nii.gz") for number in range(200)]
    for name in names:
        os.link(cts / "a.nii.gz", name)
    (tmp_path / "list.txt").write_text("\n".join(names))
    command = [sys.executable, "-m", "training", "predict", "--model", str(model)]
    command += [str(tmp_path / "list.txt"), str(out), "--workers", "2", "--accelerator", "cpu"]
    with started(command, stderr=subprocess.PIPE) as process:
        while not list(out.glob("*.nii.gz")):
            assert process.poll() is None
            time.sleep(0.1)
        if victim == "all":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            os.kill(int(children.split()[-1]), signal.SIGKILL)
        _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert told in error
    assert "Traceback" not in error
    assert not list(out.glob("*.error.txt"))


@pytest.mark.slow
def test_full_disk_ends_the_run(
    model: Path, cts: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    assert run("predict", "--model", model, cts, small_disk / "out", "--no-pictures") == 1
    shown = capfd.readouterr().err
    assert shown.count("saros: ") == 1
    assert "No space left on device" in shown
    assert "Make room and start the same command again" in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_checkpoint_of_a_training_stopped_by_slurm_is_ignored(
    model: Path,
    cts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hpc_ckpt_1.ckpt").write_bytes(b"a checkpoint of a training")
    for name, value in (("NTASKS", 1), ("NTASKS_PER_NODE", 1), ("PROCID", 0), ("LOCALID", 0)):
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    Path("list.txt").write_text(str(cts / "a.nii.gz"))
    for predicted, kept in ((1, 0), (0, 1)):
        assert run("predict", "--model", model, "list.txt", "out", "--no-pictures") == 0
        shown = capfd.readouterr()
        expected = f"{predicted} CTs predicted on 1 device(s), {kept} were"
        assert expected in shown.out
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
def test_unusable_options_are_refused(
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


@pytest.mark.slow
@pytest.mark.usefixtures("cts")
def test_two_processes_share_a_list_and_resume(model: Path, tmp_path: Path) -> None:
    """Real gloo processes: first 5 CTs for 2 processes, then 1 CT."""
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


def test_devices_wait_for_each_other_longer_than_half_an_hour() -> None:
    trainer = make_trainer(Path("unused"), accelerator="cpu", devices="2")
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._timeout > timedelta(days=30)


@pytest.mark.slow
def test_probabilities_of_folds_are_averaged(cts: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    for fold in (1, 2, 3):
        save(run_folder / f"fold_{fold}" / "model", fold)
    ensemble = read_ensemble([run_folder])
    assert len(ensemble.networks) == 3
    assert ensemble.spec.slice_spacing_mm == 6.0  # of 5, 6 and 7
    image = read_image(cts / "a.nii.gz")
    together = ensemble.predict_maps(image)["body-regions"].array
    folders = [run_folder / f"fold_{fold}" / "model" for fold in (1, 2, 3)]
    members = [SarosSegmenter.from_pretrained(folder) for folder in folders]
    votes = [member.predict_volume(image).array for member in members]
    assert all((vote != together).any() for vote in votes)
    # Where all three agree, the mean of their probabilities agrees too.
    agreed = (votes[0] == votes[1]) & (votes[1] == votes[2])
    assert agreed.any()
    assert np.array_equal(together[agreed], votes[0][agreed])


def test_models_of_different_tasks_are_not_averaged(model: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", 1)
    with pytest.raises(UsageError, match=r"other: found a model for .*body-regions"):
        read_ensemble([model, other])
    with pytest.raises(MissingFileError, match="found no such folder"):
        read_ensemble([tmp_path / "nothing"])
