"""Runs that are cut off by signals, and what they leave."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from training.datamodule import SarosDataModule
from training.fit.last_checkpoint import LastCheckpoint, _is_between_steps
from training.fit.signals import RunStoppedError
from training.module import SarosSegmenter


class Signals(Callback):
    """Sends its own process a signal in the middle of a step, or of a validation."""

    def __init__(self, name: str, step: int | None = None, times: int = 1) -> None:
        self.name = name
        self.step = step
        self.times = times

    def on_before_optimizer_step(self, trainer: Trainer, *_: Any) -> None:  # noqa: ANN401
        if trainer.global_step + 1 == self.step:
            self._send()

    def on_validation_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        if self.step is None:
            self._send()

    def _send(self) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), signal.Signals[self.name])


class Spoils(Callback):
    """Makes the weights of the last step of the second epoch no numbers."""

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        if trainer.global_step == 8:
            next(module.parameters()).data.fill_(torch.nan)


class Validations(Callback):
    """Counts them."""

    done = 0

    def on_validation_end(self, *_: Any) -> None:  # noqa: ANN401
        self.done += 1


class Runs:
    """Runs of two epochs of four steps, of a network with dropout and averaged weights."""

    def __init__(self, phantoms: Path, cache: Path, folder: Path) -> None:
        self.phantoms = phantoms
        self.cache = cache
        self.folder = folder

    def run(
        self, name: str, *more: Callback, resume: Path | None = None, workers: int = 0
    ) -> tuple[SarosSegmenter, int]:
        """Return the network and the number of validations."""
        seed_everything(5, verbose=False)
        datamodule = SarosDataModule(
            self.phantoms,
            patch_size=(32, 32),
            patches_per_epoch=8,
            batch_size=2,
            cache_dir=self.cache,
            num_workers=workers,
        )
        small = {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}
        segmenter = SarosSegmenter(architecture="FPN", options=small)
        validations = Validations()
        folder = self.folder / name
        every = ModelCheckpoint(folder, "{step}", every_n_train_steps=3, save_top_k=-1)
        trainer = Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[
                *more,
                validations,
                every,
                LastCheckpoint(folder),
                EMAWeightAveraging(decay=0.9),
            ],
        )
        trainer.fit(segmenter, datamodule=datamodule, ckpt_path=resume, weights_only=True)
        return segmenter, validations.done


@pytest.fixture(scope="module")
def runs(phantoms: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(phantoms, cache, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(runs: Runs) -> SarosSegmenter:
    """A run that nothing disturbs; checkpoints of steps 3 and 6 are left."""
    segmenter, validations = runs.run("whole")
    assert validations == 2
    return segmenter


def assert_same(one: SarosSegmenter, other: SarosSegmenter) -> None:
    state = other.state_dict()
    for name, value in one.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(("step", "workers"), [(3, 0), (6, 2)])
def test_a_run_cut_off_in_an_epoch_ends_as_if_it_had_not_been(
    runs: Runs, whole: SarosSegmenter, step: int, workers: int
) -> None:
    checkpoint = runs.folder / "whole" / f"step={step}.ckpt"
    resumed, _ = runs.run(f"from {step}", resume=checkpoint, workers=workers)
    assert_same(whole, resumed)


@pytest.mark.parametrize(
    ("name", "sent_in_step", "saved_after", "validations"),
    [("SIGINT", 3, 3, 2), ("SIGTERM", 4, 4, 1), ("SIGUSR1", None, 4, 1)],
)
def test_a_signal_stops_a_run_where_it_goes_on_as_if_nothing_had_been(
    runs: Runs,
    whole: SarosSegmenter,
    name: str,
    sent_in_step: int | None,
    saved_after: int,
    validations: int,
) -> None:
    """In the midst of an epoch, in its last step, and in its validation."""
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with pytest.raises(RunStoppedError, match=f"after step {saved_after}, .*--ckpt_path last"):
        runs.run(name, Signals(name, sent_in_step), workers=2)
    last = runs.folder / name / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == saved_after
    assert handlers == [
        signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    ]
    resumed, done = runs.run(name, resume=last)
    assert done == validations
    assert_same(whole, resumed)


def test_a_second_interrupt_stops_at_once(runs: Runs) -> None:
    with pytest.raises(SystemExit):
        runs.run("twice", Signals("SIGINT", step=2, times=2))
    assert not (runs.folder / "twice" / "last.ckpt").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_weights_that_are_no_numbers_are_not_kept(runs: Runs) -> None:
    runs.run("spoiled", Spoils())
    last = torch.load(runs.folder / "spoiled" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert all(bool(one.isfinite().all()) for one in last["current_model_state"].values())


@pytest.mark.parametrize(
    ("batch_idx", "options", "expected"),
    [
        (0, {}, True),
        (3, {}, False),  # validation is due after four batches
        (4, {"is_last_batch": True}, False),
        (0, {"accumulate_grad_batches": 2}, False),
        (1, {"accumulate_grad_batches": 2}, True),
        (0, {"val_check_batch": None}, True),  # validation by the clock
        (0, {"val_check_batch": float("inf")}, True),
        # Validation every four batches of the run, which began two batches before this epoch.
        (1, {"check_val_every_n_epoch": None, "total": 3}, False),
        (3, {"check_val_every_n_epoch": None, "total": 5}, True),
    ],
)
def test_a_run_stops_between_two_steps_only(
    batch_idx: int, options: dict[str, Any], expected: bool
) -> None:
    state = {
        "is_last_batch": False,
        "accumulate_grad_batches": 1,
        "val_check_batch": 4,
        "check_val_every_n_epoch": 1,
        "fit_loop": SimpleNamespace(total_batch_idx=options.pop("total", None)),
    }
    assert _is_between_steps(SimpleNamespace(**state | options), batch_idx) is expected
