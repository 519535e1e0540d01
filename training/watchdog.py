"""Stops a training run that is going to waste, and says what to look at."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from saros_hf.errors import SarosError
from saros_hf.labels import IGNORE_INDEX, num_classes

from .cases import CaseBatch
from .patches import PatchBatch


class WastedRunError(SarosError, RuntimeError):
    """Training goes on, but nothing can come of it."""


class Watchdog(Callback):
    """Stops a run whose loss is no number, or that sees or predicts nothing.

    Args:
        warmup_epochs: Validations that may predict background alone.
        check_every: Steps between looks at the batch and the loss; each costs a wait for the
            device.
    """

    def __init__(self, warmup_epochs: int = 5, check_every: int = 20) -> None:
        self.warmup_epochs = warmup_epochs
        self.check_every = check_every
        self._annotated = False
        self._foreground = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget what the last epoch held."""
        self._annotated = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401
        batch: PatchBatch,
        batch_idx: int,
    ) -> None:
        """Look at the loss and the labels of some batches."""
        if batch_idx % self.check_every and not trainer.is_last_batch:
            return
        loss = outputs["loss"]
        if not torch.isfinite(loss):
            raise WastedRunError(
                f"step {trainer.global_step}",
                found=f"a loss of {loss.item()}",
                expected="a number",
                remedy="Lower --model.learning_rate, clip gradients with "
                "--trainer.gradient_clip_val 1, or train with --trainer.precision 32-true.",
            )
        for task, mask in batch.masks.items():
            known = mask[mask != IGNORE_INDEX]
            self._annotated |= bool(known.numel())
            if known.numel() and int(known.max()) >= num_classes(task):
                raise WastedRunError(
                    f"step {trainer.global_step}, {task}",
                    found=f"label {int(known.max())}",
                    expected=f"0 to {num_classes(task) - 1}, or {IGNORE_INDEX}",
                    remedy="Check that the label maps are those of this task: saros verify DIR.",
                )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop if nothing was annotated in any batch that was looked at."""
        if not self._annotated:
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                found="no annotated voxel in its patches",
                expected="some in every one",
                remedy="Check the label maps: saros verify DIR.",
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget what was predicted before."""
        self._foreground = False

    def on_validation_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401
        batch: CaseBatch,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Remember whether anything but background was predicted."""
        self._foreground |= bool(outputs["foreground"])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if every case is background though training has gone on for a while."""
        late = trainer.current_epoch >= self.warmup_epochs and not trainer.sanity_checking
        found = torch.tensor(float(self._foreground), device=pl_module.device)
        if late and not trainer.strategy.reduce(found, reduce_op="sum"):
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                found="background alone in every prediction",
                expected="other labels after so many epochs",
                remedy="Check --data.window against the CTs, raise --model.learning_rate, or "
                "raise --model.class_balance.",
            )
