"""The optimizer and its learning-rate schedule over a run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
    """Options of the optimizer and of its learning-rate schedule.

    Attributes:
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum.
        learning_rate: Peak of the schedule.
        weight_decay: Weight decay: decoupled with AdamW, added to the gradient with SGD.
        warmup: Fraction of the run in which the learning rate rises.
        decay: Shape of the schedule after the warm-up.
        momentum: SGD momentum; nnU-Net's by default.

    Raises:
        UsageError: A value is out of its range.
    """

    optimizer: OptimizerName
    learning_rate: float
    weight_decay: float
    warmup: float
    decay: Decay
    momentum: float = 0.99

    def __post_init__(self) -> None:
        legal = {
            "learning_rate": (0 < self.learning_rate <= 1, "above 0, at most 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "warmup": (0 <= self.warmup <= 1, "0 to 1, a fraction of the run"),
            "momentum": (0 <= self.momentum < 1, "0 or more, less than 1"),
        }
        for option, (is_legal, expected) in legal.items():
            if not is_legal:
                found = str(getattr(self, option))
                default = "Take 0.002 for AdamW, 0.01 for SGD." if option == "learning_rate" else ""
                raise UsageError(f"--model.{option}", found, expected, default)

    def configure(
        self, parameters: Iterable[Parameter], trainer: Trainer
    ) -> OptimizerLRSchedulerConfig:
        """Return the optimizer, and a schedule that ends where the trainer's run does.

        Raises:
            UsageError: The run has no end.
        """
        if math.isinf(trainer.estimated_stepping_batches) and not _timers(trainer):
            raise UsageError(
                "--trainer.max_epochs",
                "-1, and no other limit",
                "a run with an end, over which the learning rate rises and falls",
                "Give --trainer.max_time, --trainer.max_steps, or a number of epochs.",
            )

        def factor(step: int) -> float:
            progress = progress_of(trainer, step)
            return rate_at(progress, warmup=self.warmup, decay=self.decay)

        optimizer = self._optimizer(parameters)
        schedule = LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def take_over(self, schedule: LambdaLR) -> None:
        """Give these options to a schedule and its optimizer, whose state is a checkpoint's.

        The schedule goes on where it is; only its peak changes.
        """
        groups = schedule.optimizer.param_groups
        states = zip(groups, schedule.get_last_lr(), schedule.base_lrs, strict=True)
        for group, rate, peak in states:
            group["lr"] = rate * (self.learning_rate / peak)  # exactly the rate if all is as before
            group["initial_lr"] = self.learning_rate
            group["weight_decay"] = self.weight_decay
            if "momentum" in group:
                group["momentum"] = self.momentum
        schedule.base_lrs = [self.learning_rate] * len(groups)

    def _optimizer(self, parameters: Iterable[Parameter]) -> Optimizer:
        if self.optimizer == "adamw":
            return torch.optim.AdamW(
                parameters, lr=self.learning_rate, weight_decay=self.weight_decay
            )
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
        )


def rate_at(progress: float, *, warmup: float, decay: Decay) -> float:
    """Return the learning rate, as a fraction of its peak, at a fraction of the run.

    It rises linearly during the fraction ``warmup``, then falls to 0 along half a cosine or
    nnU-Net's polynomial, ``(1 - progress) ** 0.9``.

    >>> [round(rate_at(p, warmup=0.2, decay="cosine"), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    >>> [round(rate_at(p, warmup=0.0, decay="poly"), 3) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.536, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    left = 1 - min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)
    return (1 - math.cos(math.pi * left)) / 2 if decay == "cosine" else float(left**0.9)


def progress_of(trainer: Trainer, step: int) -> float:
    """Return the finished fraction of a run, by epochs, steps or time, whichever is largest.

    Epochs count, not the steps in them: a resumed run may have another number of steps an epoch.
    """
    fractions = [0.0]
    if trainer.max_steps != -1:
        fractions.append((step + 1) / (trainer.max_steps + 1))
    if trainer.max_epochs not in (None, -1):
        batches_to_step = trainer.accumulate_grad_batches
        per_epoch = math.ceil(trainer.num_training_batches / batches_to_step)
        in_epoch = math.ceil((trainer.fit_loop.batch_idx + 1) / batches_to_step)
        done = trainer.current_epoch * per_epoch + in_epoch
        fractions.append((done + 1) / (trainer.max_epochs * per_epoch + 1))
    for timer in _timers(trainer):
        elapsed = timer.time_elapsed(RunningStage.TRAINING)
        left = timer.time_remaining() or 0.0
        fraction = elapsed / max(elapsed + left, 1e-9)
        # Each rank has a clock of its own; with different rates their weights would drift apart.
        fractions.append(trainer.strategy.broadcast(fraction))
    return min(max(fractions), 1.0)


def _timers(trainer: Trainer) -> list[Timer]:
    """Return the timers that end a run; ``max_time`` adds one."""
    timers = [one for one in trainer.callbacks if isinstance(one, Timer)]  # type: ignore[attr-defined]
    return [one for one in timers if one.time_remaining() is not None]
