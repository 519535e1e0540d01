import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training_options import UNSAVED
from hypothesis import given
from hypothesis import strategies as st
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from saros_hf.errors import UsageError
from training.model.optimizer import Decay, Optimisation, OptimizerName, rate_at


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.9), st.sampled_from(["cosine", "poly"]))
def test_learning_rate_rises_once_then_falls(
    one: float, other: float, warmup: float, decay: Decay
) -> None:
    early, late = sorted((one, other))
    first, second = (rate_at(p, warmup=warmup, decay=decay) for p in (early, late))
    assert 0 <= first <= 1
    if late <= warmup:
        assert first <= second
    if early >= warmup:
        assert first >= second - 1e-12


class Line(LightningModule):
    """A linear layer that records the learning rate of each step."""

    def __init__(self, optimizer: OptimizerName, decay: Decay) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.optimisation = Optimisation(optimizer, 0.5, 1e-4, 0.2, decay)
        self.rates: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # noqa: ARG002
        group = self.trainer.optimizers[0].param_groups[0]
        self.rates.append(group["lr"])
        return self.layer(batch).sum()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.optimisation.configure(self.parameters(), self.trainer)


def fit(line: Line, *, batches: int = 9, resume: Path | None = None, **options: object) -> None:
    trainer = Trainer(**UNSAVED | options)
    trainer.fit(line, DataLoader(torch.zeros(batches, 1)), ckpt_path=resume, weights_only=True)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("decay", ["cosine", "poly"])
def test_schedule_ends_with_the_last_step(optimizer: OptimizerName, decay: Decay) -> None:
    line = Line(optimizer, decay)
    fit(line, max_epochs=1)
    # Nine steps at (n + 1) / 10 of the run, the first two during the warm-up.
    expected = [0.5 * rate_at((n + 1) / 10, warmup=0.2, decay=decay) for n in range(9)]
    assert line.rates == pytest.approx(expected)
    assert line.rates[1] == max(line.rates) == 0.5


def test_accumulated_batches_count_as_one_step() -> None:
    line = Line("adamw", "cosine")
    fit(line, max_epochs=1, accumulate_grad_batches=3)
    assert line.rates[:3] == [line.rates[0]] * 3
    assert len(set(line.rates)) == 3


@pytest.mark.parametrize(("batches", "accumulated"), [(8, 1), (2, 1), (8, 4), (16, 1)])
def test_resumed_run_continues_at_its_share_of_the_schedule(
    batches: int, accumulated: int, tmp_path: Path
) -> None:
    """Half of four epochs is done, in steps of another batch size or number of devices."""
    every_epoch = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    whole = {"max_epochs": 4, "enable_checkpointing": True, "callbacks": [every_epoch]}
    fit(Line("adamw", "cosine"), batches=8, **whole)
    line = Line("adamw", "cosine")
    half = {"resume": tmp_path / "epoch=1.ckpt", "accumulate_grad_batches": accumulated}
    fit(line, batches=batches, max_epochs=4, **half)
    steps = batches // accumulated
    progress = [(n + 1) / (4 * steps + 1) for n in range(2 * steps, 4 * steps)]
    expected = [0.5 * rate_at(p, warmup=0.2, decay="cosine") for p in progress]
    # The checkpoint sets the rate of the first step.
    assert line.rates[accumulated::accumulated] == pytest.approx(expected[1:])


def test_schedule_ends_with_the_time_limit() -> None:
    line = Line("adamw", "cosine")
    fit(line, max_epochs=-1, max_time={"seconds": 2})
    assert max(line.rates) == pytest.approx(0.5, rel=0.02)
    assert line.rates[-1] < 0.02
    assert line.rates[len(line.rates) // 2] == pytest.approx(
        0.5 * rate_at(0.5, warmup=0.2, decay="cosine"), rel=0.25
    )


def test_run_without_an_end_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--trainer.max_epochs: found -1.*--trainer.max_time"):
        fit(Line("adamw", "cosine"), max_epochs=-1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("learning_rate", bad) for bad in (0.0, -1.0, 2.0, math.nan)),
        *(("weight_decay", bad) for bad in (-1e-3, math.inf)),
        *(("warmup", bad) for bad in (-0.1, 1.1)),
        ("momentum", 1.0),
    ],
)
def test_values_out_of_range_are_refused(option: str, value: float) -> None:
    usable = Optimisation("sgd", 0.5, 1e-4, 0.2, "cosine")
    with pytest.raises(UsageError, match=f"--model.{option}: found {value}, expected"):
        replace(usable, **{option: value})


def test_checkpoint_takes_over_the_options_given_now() -> None:
    """Half way down the cosine, with a tenth of the rate and another weight decay."""
    parameters = [torch.zeros(1, requires_grad=True)]
    before = torch.optim.SGD(parameters, lr=0.5)
    schedule = LambdaLR(before, lambda step: 1.0 if step == 0 else 0.5)
    before.step()
    schedule.step()
    after = torch.optim.SGD(parameters, lr=1.0)
    resumed = LambdaLR(after, lambda step: 0.25 if step else 1.0)
    after.load_state_dict(before.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    Optimisation("sgd", 0.05, 3e-4, 0.2, "cosine").take_over(resumed)
    assert after.param_groups[0]["lr"] == pytest.approx(0.025)
    assert after.param_groups[0]["weight_decay"] == 3e-4
    after.step()
    resumed.step()
    assert after.param_groups[0]["lr"] == pytest.approx(0.0125)
