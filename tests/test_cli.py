import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from helpers.bad_folders import BAD_FOLDERS, truncate
from helpers.case_folders import write_folder
from helpers.training_options import JOINT, TINY

from saros_hf.labels import TASKS
from saros_hf.nifti import read_image, read_mask
from training.cli import main
from training.module import SarosSegmenter

SIZES = ("small", "base", "large")
Run: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``saros`` in this process, in the test's folder; return exit code, output, errors."""
    monkeypatch.chdir(tmp_path)  # saros fit writes to runs/ by default

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of an untrained network."""
    segmenter = SarosSegmenter(options={"decoder_channels": (16, 16, 8, 8, 8)})
    segmenter.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_help_lists_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in ("demo", "phantom", "convert", "fit", "validate", "test", "predict"):
        assert f"\n    {command} " in out


def test_phantom_writes_a_folder_that_loads(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("phantom", tmp_path / "d", "--cases", "2", "--seed", "4", "--size", "64")
    assert (code, out.split(" in ")[0]) == (0, "2 synthetic cases")
    assert read_image(tmp_path / "d" / "case_001" / "image.nii.gz").shape[:2] == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["body-regions", "body-parts", "joint"])
@pytest.mark.parametrize("size", SIZES)
def test_every_shipped_config_takes_a_step(
    run: Run,
    phantoms: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: str,
    task: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}"]
    configs = ["--config", task, "--config", size]
    code, _, err = run("fit", *configs, *place, *TINY, "--trainer.fast_dev_run=1")
    assert code == 0, err


@pytest.mark.parametrize(
    ("command", "how"),
    [
        *((name, "goes on") for name in ("phantom", "convert", "download", "cross-validate")),
        *((name, "starts anew") for name in ("demo", "evaluate", "verify", "validate", "predict")),
        ("predict --model m", "goes on"),
    ],
)
def test_interrupted_command_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, how: str
) -> None:
    def stop(_: list[str], *, is_process: bool) -> int:  # noqa: ARG001
        raise KeyboardInterrupt

    monkeypatch.setattr("training.cli._run", stop)
    code, _, err = run(*command.split())
    assert (code, err) == (130, f"saros: interrupted. Run the same command again: it {how}.\n")


def test_print_config_shows_every_option(run: Run) -> None:
    code, out, _ = run("fit", "--config", "base", "--data.data_dir=x", "--print_config")
    assert code == 0
    assert "learning_rate: 0.001" in out
    assert "patch_size:" in out


@pytest.mark.slow
def test_fit_resume_validate_test_and_predict(
    run: Run,
    phantoms: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = [f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}"]
    common = [*JOINT, *place, "--fold=2", "--data.context=1"]
    code, _, err = run("fit", *common, *TINY)
    assert code == 0, err
    (last,) = tmp_path.rglob("last.ckpt")
    assert list(last.parent.glob("best*.ckpt"))
    torch.load(last, weights_only=True)  # holds nothing that runs code
    more = [option for option in TINY if "max_epochs" not in option]
    longer = ["--trainer.max_epochs=2", "--model.learning_rate=1e-6"]
    code, _, err = run("fit", *common, *more, *longer, "--ckpt_path=last")
    assert code == 0, err
    resumed = max(tmp_path.rglob("metrics.csv"), key=lambda path: path.stat().st_mtime)
    assert "\n1," in resumed.read_text()
    assert "\n0," not in resumed.read_text()
    # The learning rate given now, not the checkpoint's.
    assert torch.load(last, weights_only=True)["lr_schedulers"][0]["base_lrs"] == [1e-6]

    # Task, context, window and fold are the checkpoint's.
    code, out, err = run("validate", *place, *TINY, f"--ckpt_path={last}")
    assert code == 0, err
    assert "val_dice/torso" in out
    for option in ("--config=body-parts", "--data.context=0", "--fold=1"):
        code, _, err = run("validate", *place, *TINY, option, f"--ckpt_path={last}")
        assert code == 1
        assert "trained" in _one_line(err)
    code, out, err = run("test", *common, *TINY, f"--ckpt_path={last}")
    assert code == 0, err
    assert "test_dice" in out
    assert "test_nsd" in out
    target = tmp_path / "predicted"
    code, _, err = run(
        "predict", *place, *TINY, f"--ckpt_path={last}", f"--predictions.folder={target}"
    )
    assert code == 0, err
    written = sorted(path.name for path in target.iterdir())
    assert len(written) == 2
    for task in TASKS:
        labels = read_mask(target / written[0] / f"{task}.nii.gz", task)
        assert labels.same_grid(read_image(phantoms / written[0] / "image.nii.gz"))


def test_predict_labels_one_ct_and_draws_it(
    run: Run, phantoms: Path, model: Path, tmp_path: Path
) -> None:
    image = phantoms / "case_000" / "image.nii.gz"
    out = tmp_path / "labels.nii.gz"
    code, printed, _ = run("predict", "--model", model, image, out)
    assert code == 0
    assert printed.split() == [str(out), str(tmp_path / "labels.png")]
    assert read_mask(out, "body-regions").same_grid(read_image(image))
    assert (tmp_path / "labels.png").read_bytes().startswith(b"\x89PNG")


def test_predict_labels_a_folder_of_cases(run: Run, model: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    code, _, _ = run("predict", "--model", model, folder, tmp_path / "out")
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"case_00{n}.{kind}" for n in range(3) for kind in ("nii.gz", "png")]


def _one_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("saros: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize(("spoil", "kind", "message"), BAD_FOLDERS)
def test_bad_data_end_fit_with_one_line(
    run: Run,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    kind: type,  # noqa: ARG001 - the table is shared with test_load_dataset
    message: str,
) -> None:
    folder = write_folder(tmp_path / "data")
    spoil(folder)
    cache = tmp_path / "cache"
    code, _, err = run("fit", f"--data.data_dir={folder}", f"--data.cache_dir={cache}", *TINY)
    assert code == 1
    assert message in _one_line(err)
    assert not list(cache.rglob("*.arrow"))


def test_bad_arguments_end_with_one_line(
    run: Run, model: Path, phantoms: Path, tmp_path: Path
) -> None:
    image = phantoms / "case_000" / "image.nii.gz"
    fit = ["fit", *TINY, f"--data.data_dir={tmp_path / 'no'}"]
    for arguments, message in [
        (["phantom", tmp_path / "p", "--cases", "0"], "cases: found 0, expected at least 1"),
        (["phantom", phantoms, "--cases", "3"], "expected a new or empty folder"),
        (["convert", tmp_path / "absent", tmp_path / "o"], "absent"),
        (["convert", tmp_path, tmp_path / "o"], "no CT"),
        (["predict", "--model", tmp_path / "m", image, "o.nii.gz"], "found no such folder"),
        (["predict", "--model", model, image, tmp_path / "o"], "found no .nii.gz name"),
        (["predict", "--model", model, tmp_path / "x.nii.gz", "o.nii.gz"], "found no such file"),
        (["fit", f"--data.data_dir={tmp_path / 'no'}", *TINY], "found no such folder"),
        ([*fit, "--data.patch_size=[32,32,8]"], "the networks are two-dimensional"),
        ([*fit, "--data.window=[350,-250]"], "window: found 350 to -250 HU"),
        ([*fit, '--data.label_weights={"body-regions":[1,1]}'], "found 2 weights, expected 14"),
        ([*fit, "--data.augmentation.scale=1.5"], "augmentation.scale: found 1.5"),
    ]:
        code, _, err = run(*arguments)
        assert code == 1, arguments
        assert message in _one_line(err)
    assert not (tmp_path / "p").exists()
    assert not (tmp_path / "o").exists()
    code, _, err = run("fit", f"--data.data_dir={phantoms}", "--fold=9", *TINY)
    assert code == 2  # argparse's own
    assert 'Parser key "fold"' in err


def test_truncated_case_is_reported_and_skipped(run: Run, model: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    truncate(folder)
    code, _, err = run("predict", "--model", model, folder, tmp_path / "out")
    assert code == 1
    assert "case_001/image.nii.gz: found a file that is cut short" in _one_line(err)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "case_000.nii.gz",
        "case_000.png",
        "case_001.error.txt",
        "case_002.nii.gz",
        "case_002.png",
    }


def test_convert_reports_each_series(run: Run, real_data: Path, tmp_path: Path) -> None:
    code, out, _ = run("convert", real_data / "dicom-abdomen-2mm", tmp_path)
    assert code == 0
    assert out.startswith("written")
    image = read_image(tmp_path / "case_000" / "image.nii.gz")
    assert image.shape == (512, 512, 8)


def test_real_ct_trains_a_few_steps(
    run: Run,
    real_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "data")
    tissue = real_data / "abdomen-tissue"
    for case_folder in folder.glob("case_*"):
        shutil.copy(tissue / "image.nii.gz", case_folder / "image.nii.gz")
        for task in ("body-regions", "body-parts"):
            shutil.copy(tissue / f"{task}-proxy.nii.gz", case_folder / f"{task}.nii.gz")
    code, _, err = run(
        "fit", f"--data.data_dir={folder}", f"--data.cache_dir={tmp_path / 'c'}", *TINY
    )
    assert code == 0, err
    mask = read_mask(folder / "case_000" / "body-regions.nii.gz", "body-regions")
    assert np.unique(mask.array[..., 2]).tolist() == [0, 1, 2, 3, 5, 11]


FORK = """
import os, signal, sys
from training.cli import main
sys.argv[1:] = ["verify", "nowhere"]
try:
    main()
except SystemExit:
    pass
assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
if os.fork() == 0:
    os._exit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_forked_processes_end_at_sigterm() -> None:
    """A pool waits for ever for a process that handles SIGTERM while it waits for a lock."""
    subprocess.run([sys.executable, "-c", FORK], check=True)


def test_command_in_a_program_leaves_its_signals_alone(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run("verify", "nowhere")[0] == 1
    assert signal.getsignal(signal.SIGTERM) is before
