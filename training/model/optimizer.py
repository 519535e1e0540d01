"""The optimizer, and how its rate goes up and down over a run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from saros_hf.errors import UsageError

OptimizerName: TypeAlias = Literal["adamw", "sgd"]
Decay: TypeAlias = Literal["cosine", "poly"]


@dataclass(frozen=True)
class Optimisation:
    """The optimizer and the course of its rate.

    Attributes:
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled with AdamW, in the gradient with SGD.
        warmup: Share of the run in which the rate rises.
        decay: How it falls afterwards.
        momentum: Of SGD, which takes Nesterov's step; nnU-Net's if not given.
    """

    optimizer: OptimizerName
    learning_rate: float
    weight_decay: float
    warmup: float
    decay: Decay
    momentum: float = 0.99

    def configure(
        self, parameters: Iterable[Parameter], trainer: Trainer
    ) -> OptimizerLRSchedulerConfig:
        """Return the optimizer, whose rate rises and falls once over the trainer's whole run.

        Raises:
            UsageError: The run has no end.
        """
        steps = trainer.estimated_stepping_batches
        if math.isinf(steps) and not _timers(trainer):
            raise UsageError(
                "--trainer.max_epochs",
                "-1, and no other limit",
                "a run with an end, over which the learning rate rises and falls",
                "Give --trainer.max_time, --trainer.max_steps, or a number of epochs.",
            )

        # A function of the step, so that a resumed run may be longer than the one it goes on with.
        def rate(step: int) -> float:
            return rate_at(progress_of(trainer, step, steps), warmup=self.warmup, decay=self.decay)

        optimizer = self._optimizer(parameters)
        schedule = LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def take_over(self, checkpoint: Mapping[str, Any]) -> None:
        """Put these in place of the rate, decay and momentum that a checkpoint was written with."""
        for state in checkpoint.get("optimizer_states", ()):
            for group in state["param_groups"]:
                group["lr"] *= self.learning_rate / group["initial_lr"]
                group["initial_lr"] = self.learning_rate
                group["weight_decay"] = self.weight_decay
                if "momentum" in group:
                    group["momentum"] = self.momentum
        for state in checkpoint.get("lr_schedulers", ()):
            state["base_lrs"] = [self.learning_rate] * len(state["base_lrs"])

    def _optimizer(self, parameters: Iterable[Parameter]) -> Optimizer:
        rate, shrinking = self.learning_rate, self.weight_decay
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=shrinking)
        return torch.optim.SGD(
            parameters,
            lr=rate,
            weight_decay=shrinking,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
        )


def rate_at(progress: float, *, warmup: float, decay: Decay) -> float:
    """Return the share of the peak rate at a share of the run.

    A linear rise over the share ``warmup``, then half a cosine or nnU-Net's polynomial down to 0.

    >>> [round(rate_at(p, warmup=0.2, decay="cosine"), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    >>> [round(rate_at(p, warmup=0.0, decay="poly"), 3) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.536, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    left = 1 - min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)
    return (1 - math.cos(math.pi * left)) / 2 if decay == "cosine" else float(left**0.9)


def progress_of(trainer: Trainer, step: int, total_steps: float) -> float:
    """Return which share of a run lies behind, by steps or by ``max_time``, whichever is more."""
    shares = [(step + 1) / (total_steps + 1)]
    for timer in _timers(trainer):
        elapsed = timer.time_elapsed(RunningStage.TRAINING)
        left = timer.time_remaining() or 0.0
        shares.append(elapsed / max(elapsed + left, 1e-9))
    return min(max(shares), 1.0)


def _timers(trainer: Trainer) -> list[Timer]:
    """Return the timers that end a run, as ``max_time`` makes one."""
    timers = [one for one in trainer.callbacks if isinstance(one, Timer)]  # type: ignore[attr-defined]
    return [one for one in timers if one.time_remaining() is not None]
