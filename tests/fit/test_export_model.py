"""``saros fit --push_to_hub``: rank zero publishes, and no Hub error ends a run."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.hub_client import hub_environment
from helpers.hub_server import Hub
from helpers.model_folders import network, record, write_checkpoint
from huggingface_hub import ModelCard

from training.fit.checkpoints import RunCheckpoint
from training.fit.export_model import ModelExporter
from training.module import SarosSegmenter

FIT = (
    *("--config", "joint", "--config", "small", "--trainer.max_epochs=1"),
    *("--trainer.accelerator=cpu", "--data.patch_size=[32,32]", "--data.batch_size=2"),
    *("--data.patches_per_epoch=4", "--trainer.enable_progress_bar=false"),
)


def fit(
    hub: Hub | None, data: Path, cache: Path, folder: Path, *more: str, token: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", "fit", *FIT, *more]
    command += [f"--data.data_dir={data}", f"--data.cache_dir={cache}"]
    environment = hub_environment(hub, folder / "home", token)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_together_and_publish_once(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    """Real gloo processes, uneven shares of validation cases."""
    with Hub() as hub:
        ran = fit(
            hub,
            phantoms,
            cache,
            tmp_path,
            *("--push_to_hub=user/model", "--trainer.devices=2", "--trainer.strategy=ddp"),
            token="hf_test",
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "All distributed processes registered. Starting with 2 processes" in ran.stderr
        assert hub.requests.count("POST /api/repos/create") == 1
        files = hub.files("models/user/model")
    model = tmp_path / "runs" / "fold_1" / "model"
    for name in ("README.md", "config.json", "model.safetensors"):
        assert files[name] == (model / name).read_bytes()
    saros = json.loads(files["config.json"])["_saros"]["training"]
    assert saros["licenses"].keys() == {"synthetic"}
    assert saros["settings"]["devices"] == 2
    card = ModelCard(files["README.md"].decode())
    assert card.data.eval_results[0].dataset_split == "validation"
    assert card.data.eval_results[0].metric_value == pytest.approx(
        saros["validation"]["average"], abs=1e-4
    )
    assert SarosSegmenter.from_pretrained(model).record is not None


def test_run_without_a_hub_keeps_its_network(phantoms: Path, cache: Path, tmp_path: Path) -> None:
    ran = fit(None, phantoms, cache, tmp_path, "--push_to_hub=user/model", token="hf_test")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "tried again when training is over" in ran.stderr
    assert "found no answer from" in ran.stderr
    assert "/runs/fold_1/best.ckpt user/model" in ran.stderr
    assert "hf_test" not in ran.stdout + ran.stderr
    SarosSegmenter.from_pretrained(tmp_path / "runs" / "fold_1" / "model")


def test_export_errors_are_warnings(tmp_path: Path) -> None:
    best = tmp_path / "best.ckpt"
    write_checkpoint(best, network())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".DS_Store").write_text("the system's")
    trainer = finished_run(tmp_path, best)
    ModelExporter().on_fit_end(trainer, network())
    SarosSegmenter.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match=rf"notes.txt: found.*saros publish-model {best} user/mod"):
        ModelExporter().on_fit_end(trainer, network())
    best.write_bytes(b"no checkpoint")
    with pytest.warns(UserWarning, match="no checkpoint of this package"):
        ModelExporter().on_fit_end(trainer, network())


def test_run_without_validation_keeps_its_latest_network(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "last.ckpt", network())
    with pytest.warns(UserWarning, match=r"no epoch was validated: model/ is from last\.ckpt"):
        ModelExporter().on_fit_end(finished_run(tmp_path, None), network())
    SarosSegmenter.from_pretrained(tmp_path / "model")


def finished_run(folder: Path, best: Path | None) -> SimpleNamespace:
    """Return what the exporter asks a trainer for."""
    checkpoint = RunCheckpoint(folder)
    checkpoint.best_model_path = "" if best is None else str(best)
    return SimpleNamespace(
        is_global_zero=True, fast_dev_run=False, checkpoint_callbacks=[checkpoint]
    )


def test_controlled_weights_are_reported_at_the_start() -> None:
    restricted = network()
    restricted.record = record(1, NIH_controlled_access=1)
    trainer = SimpleNamespace(is_global_zero=True)
    with pytest.warns(
        UserWarning, match="NIH controlled access.*will not be published automatically"
    ):
        ModelExporter("user/model").on_train_start(trainer, restricted)
