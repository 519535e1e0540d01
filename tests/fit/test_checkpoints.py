import csv
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers.interruptions import Interruption, NanWeights
from helpers.training_options import JOINT, QUIET, TINY
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from saros_hf.errors import MissingFileError, UnreadableFileError, UsageError
from training.cli import main
from training.datamodule import SarosDataModule
from training.fit.checkpoints import (
    RunCheckpoint,
    checkpoint_to_load,
    lock_folder,
    make_way,
    refuse_other_network,
    settings_in,
)
from training.fit.watchdog import Watchdog
from training.module import SarosSegmenter


class Scored(LightningModule):
    """Logs given scores, one an epoch."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.scores = scores

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # noqa: ARG002
        self.log("val_dice", self.scores[self.current_epoch], on_epoch=True, on_step=False)
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run_scored(
    folder: Path, scores: Sequence[float], *more: Callback, top: int = 1, resume: Path | None = None
) -> RunCheckpoint:
    checkpoint = RunCheckpoint(folder, save_top_k=top)
    trainer = Trainer(max_epochs=len(scores), callbacks=[*more, checkpoint], **QUIET)
    trainer.fit(Scored(scores), DataLoader(torch.zeros(2, 1)), ckpt_path=resume, weights_only=True)
    return checkpoint


def epoch_of(path: Path) -> int:
    epoch: int = torch.load(path, weights_only=True)["epoch"]
    return epoch


@pytest.mark.parametrize(
    ("top", "names"),
    [
        (1, ["best.ckpt", "last.ckpt"]),
        (2, ["best-epoch=1.ckpt", "best-epoch=2.ckpt", "best.ckpt", "last.ckpt"]),
    ],
)
def test_best_and_last_epoch_are_kept(tmp_path: Path, top: int, names: list[str]) -> None:
    checkpoint = run_scored(tmp_path, [0.2, 0.9, 0.5, 0.1], top=top)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert epoch_of(tmp_path / "best.ckpt") == 1
    assert epoch_of(Path(checkpoint.best_model_path)) == 1
    assert epoch_of(tmp_path / "last.ckpt") == 3


@pytest.mark.parametrize("top", [1, 2])
def test_moved_run_keeps_its_best_epoch(tmp_path: Path, top: int) -> None:
    run_scored(tmp_path / "a", [0.2, 0.9], top=top)
    moved = (tmp_path / "a").rename(tmp_path / "b")
    checkpoint = run_scored(moved, [0.2, 0.9, 0.7], top=top, resume=moved / "last.ckpt")
    assert epoch_of(moved / "best.ckpt") == 1
    assert epoch_of(moved / "last.ckpt") == 2
    assert Path(checkpoint.best_model_path).parent == moved
    run_scored(moved, [0.2, 0.9, 0.7, 1.0], top=top, resume=moved / "last.ckpt")
    assert epoch_of(moved / "best.ckpt") == 3


def test_new_folder_starts_without_a_best_epoch(tmp_path: Path) -> None:
    run_scored(tmp_path / "a", [0.9])
    run_scored(tmp_path / "b", [0.9, 0.5], resume=tmp_path / "a" / "last.ckpt")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 1


def test_nan_weights_do_not_replace_last_checkpoint(tmp_path: Path) -> None:
    run_scored(tmp_path, [0.1, 0.2], NanWeights(epoch=1))
    assert epoch_of(tmp_path / "last.ckpt") == 0


def run_network(
    data: Path, cache: Path, folder: Path, *more: Callback, resume: Path | None = None, workers: int
) -> SarosSegmenter:
    """Train two epochs of two steps, with dropout and averaged weights."""
    seed_everything(5, verbose=False)
    datamodule = SarosDataModule(
        data,
        patch_size=(32, 32),
        patches_per_epoch=4,
        batch_size=2,
        cache_dir=cache,
        num_workers=workers,
    )
    small = {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}
    segmenter = SarosSegmenter(architecture="FPN", options=small)
    callbacks = [*more, RunCheckpoint(folder), EMAWeightAveraging(decay=0.9)]
    trainer = Trainer(max_epochs=2, limit_val_batches=1, callbacks=callbacks, **QUIET)
    trainer.fit(segmenter, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return segmenter


@pytest.mark.slow
def test_interrupted_run_ends_with_the_same_weights(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    whole = run_network(phantoms, cache, tmp_path / "whole", workers=0).state_dict()
    cut = tmp_path / "cut"
    with pytest.raises(SystemExit):
        run_network(phantoms, cache, cut, Interruption("SIGINT", step=4), workers=2)
    assert epoch_of(cut / "last.ckpt") == 0
    resumed = run_network(phantoms, cache, cut, resume=cut / "last.ckpt", workers=2).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.slow
def test_run_cut_off_in_an_epoch_goes_on_with_larger_batches(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    """Three of four batches are done; then an epoch has two."""
    steps = []
    for batch_size, limit in ((2, {"max_steps": 3}), (4, {"max_epochs": 3})):
        data = SarosDataModule(
            phantoms,
            patch_size=(32, 32),
            patches_per_epoch=8,
            batch_size=batch_size,
            cache_dir=cache,
        )
        callbacks = [RunCheckpoint(tmp_path), Watchdog(check_every=1)]
        trainer = Trainer(limit_val_batches=1, callbacks=callbacks, **QUIET | limit)
        last = tmp_path / "last.ckpt"
        resume = last if last.is_file() else None
        options = {"decoder_channels": (16, 16, 8, 8, 8)}
        trainer.fit(SarosSegmenter(options=options), datamodule=data, ckpt_path=resume)
        steps.append(trainer.global_step)
    assert steps == [3, 7]


@pytest.fixture
def fit_options(
    phantoms: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Options of a short ``saros fit`` in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    quick = ["--trainer.limit_val_batches=1", "--trainer.num_sanity_val_steps=0"]
    return [*JOINT, f"--data.data_dir={phantoms}", f"--data.cache_dir={cache}", *TINY, *quick]


def interrupt(name: str, step: int) -> str:
    callback = "{class_path: helpers.interruptions.Interruption, init_args: "
    return f"--trainer.callbacks=[{callback}{{name: {name}, step: {step}}}}}]"


@pytest.mark.parametrize(("name", "step", "epoch"), [("SIGINT", 1, 0), ("SIGTERM", 3, 1)])
def test_stopped_run_says_how_to_continue(
    fit_options: list[str],
    capsys: pytest.CaptureFixture[str],
    name: str,
    step: int,
    epoch: int,
) -> None:
    last = Path("runs/fold_1/last.ckpt")
    with pytest.raises(SystemExit, match="130"):
        main(["fit", *fit_options, "--trainer.max_epochs=3", interrupt(name, step)])
    lines = [one for one in capsys.readouterr().err.splitlines() if one.startswith("saros: ")]
    advice = f"--ckpt_path last: it goes on at the start of epoch {epoch}."
    assert lines == [f"saros: interrupted. Run the same command with {advice}"]
    assert last.exists() == (epoch > 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run under SLURM, which saved a checkpoint of its own and one epoch."""
    for name in ("hpc_ckpt_1.ckpt", "last.ckpt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in (("SLURM_NTASKS", "1"), ("SLURM_JOB_NAME", "saros")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    return monkeypatch


def test_outside_slurm_a_run_continues_only_on_request(folder: Path) -> None:
    assert checkpoint_to_load(None, folder, "fit") is None
    assert checkpoint_to_load("last", folder, "fit") == folder / "last.ckpt"
    assert checkpoint_to_load(str(folder / "hpc_ckpt_1.ckpt"), folder, "test") is not None


def test_requeued_slurm_job_continues_from_last_epoch(
    folder: Path, slurm: pytest.MonkeyPatch
) -> None:
    assert checkpoint_to_load(None, folder, "fit") == folder / "last.ckpt"
    (folder / "hpc_ckpt_1.ckpt").unlink()
    assert checkpoint_to_load(None, folder, "fit") is None  # a new job in an old folder
    slurm.setenv("SLURM_RESTART_COUNT", "1")
    assert checkpoint_to_load(None, folder, "fit") == folder / "last.ckpt"
    (folder / "last.ckpt").unlink()
    assert checkpoint_to_load(None, folder, "fit") is None


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_the_best_epoch_is_scored_by_default(folder: Path, verb: str) -> None:
    with pytest.raises(MissingFileError, match=r"best\.ckpt: found no such file.*--ckpt_path"):
        checkpoint_to_load(None, folder, verb)
    best = folder / "best.ckpt"
    best.touch()
    assert (
        checkpoint_to_load(None, folder, verb) == checkpoint_to_load("best", folder, verb) == best
    )


def test_missing_or_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    assert checkpoint_to_load("last", tmp_path, "fit") is None  # the first run of a job script
    remote = ("http://127.0.0.1/a.ckpt", f"file://{__file__}", "hpc", "registry:a")
    for named, verb in (("last", "test"), ("best", "fit"), *((one, "test") for one in remote)):
        with pytest.raises(MissingFileError, match="--ckpt_path"):
            checkpoint_to_load(named, tmp_path, verb)
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    strangers = {"hyper_parameters": {"_class_path": "os.path"}, "SarosDataModule": {"fold": 1}}
    torch.save(strangers, tmp_path / "other.ckpt")
    for name in ("text.ckpt", "other.ckpt"):
        with pytest.raises(UnreadableFileError, match=rf"{name}: found no checkpoint"):
            settings_in(tmp_path / name)


def test_options_of_another_network_are_refused() -> None:
    path = Path("best.ckpt")
    trained = {"data.task": "joint", "data.window": (-250, 350.0), "model.learning_rate": 1e-3}
    given = {**trained, "data.window": [-250.0, 350], "model.learning_rate": 1e-6}
    refuse_other_network(path, trained, given)
    message = r'--data\.task: found "body-parts", expected "joint", with which best\.ckpt'
    with pytest.raises(UsageError, match=message):
        refuse_other_network(path, trained, {**given, "data.task": "body-parts"})


def test_earlier_run_makes_way_only_on_request(tmp_path: Path) -> None:
    names = ("best.ckpt", "best-epoch=3.ckpt", "last.ckpt", "model/config.json", "log/metrics.csv")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    message = r"found best-epoch=3\.ckpt, best\.ckpt, last\.ckpt, model of an earlier run, expected"
    for resumed in (None, tmp_path / "other" / "last.ckpt"):
        with pytest.raises(UsageError, match=rf"{message} none.*--ckpt_path last.*--overwrite"):
            make_way(tmp_path, resumed, overwrite=False)
    make_way(tmp_path, tmp_path / "last.ckpt", overwrite=True)  # goes on
    assert (tmp_path / "last.ckpt").is_file()
    make_way(tmp_path, None, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    make_way(tmp_path, None, overwrite=False)


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            lock_folder(tmp_path / "run"),
            pytest.raises(UsageError, match="another process that trains"),
            lock_folder(tmp_path / "run"),
        ):
            pass


@pytest.mark.slow
def test_slurm_requeues_a_fold_in_its_own_folder(
    fit_options: list[str], tmp_path: Path, slurm: pytest.MonkeyPatch
) -> None:
    """SLURM signals the first fold that its time is up; the job asks to be requeued."""
    job = {"JOB_ID": "123", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "NTASKS_PER_NODE": "1"}
    for name, value in job.items():
        slurm.setenv(f"SLURM_{name}", value)
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    slurm.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")

    main(["fit", *fit_options, interrupt("SIGUSR1", step=1)])
    assert (tmp_path / "asked").read_text() == "requeue 123\n"
    assert [path.parent.name for path in tmp_path.rglob("hpc*.ckpt")] == ["fold_1"]

    for fold, epochs, trained in ((2, 1, "0"), (1, 2, "1")):
        main(["fit", *fit_options, f"--fold={fold}", f"--trainer.max_epochs={epochs}"])
        log = tmp_path / "runs" / f"fold_{fold}" / "log" / f"version_{epochs - 1}" / "metrics.csv"
        with log.open() as file:
            assert {row["epoch"] for row in csv.DictReader(file)} == {trained}
