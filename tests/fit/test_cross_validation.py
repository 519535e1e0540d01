import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.hub_client import run_saros
from helpers.hub_server import Hub
from helpers.model_folders import network, record

from training.fit.checkpoints import lock_folder
from training.fit.cross_validation import FoldError, cross_validate
from training.predict.ensemble import read_ensemble
from training.publish.model_folder import write_model_folder

TINY = [
    *("--config", "body-regions", "--config", "small", "--data.patch_size", "[32,32]"),
    *("--data.patches_per_epoch", "4", "--data.batch_size", "2", "--trainer.accelerator", "cpu"),
    *("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
]


def write_finished_fold(folder: Path, fold: int) -> None:
    """Write the model of a finished fold; its score is there whatever the logger was."""
    one = network(fold, fold=fold)
    one.record = replace(record(fold), validation={"average": fold / 10}, epoch=7)
    write_model_folder(folder / "model", [one], [], repo_id="user/model")


@pytest.mark.slow
def test_finished_folds_are_kept_and_unfinished_ones_continue(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    place = ["--data.data_dir", str(phantoms), "--data.cache_dir", str(cache)]
    out = tmp_path / "run"
    for fold in (1, 2, 3, 4):
        write_finished_fold(out / f"fold_{fold}", fold)
    before = {path: path.stat().st_mtime_ns for path in out.glob("fold_*/model/config.json")}
    results = cross_validate(out, [*TINY, *place, "--push_to_hub", "user/model"])
    assert [one.fold for one in results] == [1, 2, 3, 4, 5]
    assert [one.dice for one in results[:4]] == [0.1, 0.2, 0.3, 0.4]
    assert 0 <= results[4].dice <= 1
    assert [one.epoch for one in results] == [7, 7, 7, 7, 0]
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert len(read_ensemble([out]).networks) == 5
    log = out / "fold_5" / "log" / "version_0"
    assert list(log.glob("pictures/*.png"))
    # Single folds are not published: they would replace one another.
    assert "push_to_hub: null" in (log / "config.yaml").read_text()
    with (log / "metrics.csv").open() as file:
        assert any(row.get("val_dice") for row in csv.DictReader(file))
    # A fold without its complete model continues from last.ckpt, the others stay untouched.
    times = {path: path.stat().st_mtime_ns for path in out.glob("fold_*/model/config.json")}
    (out / "fold_5" / "model" / "model.safetensors").unlink()
    cross_validate(out, [*TINY, *place, "--trainer.max_epochs", "2"])
    changed = [p for p, then in times.items() if p.stat().st_mtime_ns != then]
    assert changed == [out / "fold_5" / "model" / "config.json"]
    resumed = out / "fold_5" / "log" / "version_1" / "metrics.csv"
    with resumed.open() as file:
        assert {row["epoch"] for row in csv.DictReader(file)} == {"1"}


def test_all_folds_are_published_as_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (1, 2, 3, 4, 5):
        write_finished_fold(tmp_path / "run" / f"fold_{fold}", fold)
    monkeypatch.chdir(tmp_path)
    with Hub() as hub:
        ran = run_saros(
            hub,
            tmp_path / "home",
            *("cross-validate", "--out", "run"),
            *("--push_to_hub", "user/model", "--export.private=true"),
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.endswith(f"{hub.url}/user/model\n")
        assert hub.requests.count("POST /api/repos/create") == 1
        assert hub.repositories["models/user/model"].private
        files = hub.files("models/user/model")
    assert {path.partition("/")[0] for path in files if path.startswith("fold_")} == {
        *("fold_2", "fold_3", "fold_4", "fold_5")
    }


def test_failing_fold_is_named(tmp_path: Path) -> None:
    with pytest.raises(FoldError, match=r"fold_1: found exit code 1 of training"):
        cross_validate(tmp_path / "run", [*TINY, "--data.data_dir", str(tmp_path / "absent")])


@pytest.mark.slow
def test_interrupt_leaves_the_last_epoch_and_no_process(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "training", "cross-validate", *TINY, "--out", str(tmp_path)),
        *("--data.data_dir", str(phantoms), "--data.cache_dir", str(cache)),
        *("--trainer.max_epochs", "1000", "--data.num_workers", "1"),
    ]
    folder = tmp_path / "fold_1"
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (folder / "last.ckpt").is_file() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in err.decode().splitlines() if line.startswith("saros: ")]
    assert ["--ckpt_path last" in lines[0], lines[1].endswith("it goes on.")] == [True, True]
    assert {path.name for path in folder.glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] > 0
    with lock_folder(folder):  # no process trains there any more
        pass
