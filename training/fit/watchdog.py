"""Stops a training run that is going to waste, and says what to look at."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from saros_hf.errors import SarosError
from saros_hf.labels import IGNORE_INDEX, Task, num_classes

from ..data.case_batches import CaseBatch
from ..data.patch_batches import PatchBatch

_LEAST_INSIDE = 0.01
"""Of any CT's body more than this share of voxels lies within a soft tissue window."""


class WastedRunError(SarosError, RuntimeError):
    """Training goes on, but nothing can come of it."""


class Watchdog(Callback):
    """Stops a run whose loss is no number, that stands still, or that sees or predicts nothing.

    Args:
        warmup_epochs: Epochs after which a validation may predict background alone.
        check_every: Steps between looks at the batch and the loss; each costs a wait for the
            device.
    """

    def __init__(self, warmup_epochs: int = 5, check_every: int = 20) -> None:
        self.warmup_epochs = warmup_epochs
        self.check_every = check_every
        self._annotated = False
        self._inside_window = 0.0
        self._foreground: dict[Task, bool] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop before the first step if its rate cannot be meant."""
        for group in (group for one in trainer.optimizers for group in one.param_groups):
            peak = group.get("initial_lr", group["lr"])
            if not 0 < peak <= 1:
                raise WastedRunError(
                    "--model.learning_rate",
                    str(peak),
                    "above 0, at most 1",
                    "Take 0.002 for AdamW, 0.01 for SGD.",
                )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget what the last epoch held."""
        self._annotated = False
        self._inside_window = 0.0

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        batch: PatchBatch,
        batch_idx: int,
    ) -> None:
        """Look at some batches, before a label that the network has no output for ends the step."""
        if batch_idx % self.check_every and not trainer.is_last_batch:
            return
        _check_labels(trainer, batch)
        masks = batch.masks.values()
        self._annotated |= any(bool((mask != IGNORE_INDEX).any()) for mask in masks)
        inside = (batch.image.abs() < 1).float().mean()
        self._inside_window = max(self._inside_window, float(inside))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401
        batch: PatchBatch,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Look at the loss of the same batches."""
        if batch_idx % self.check_every == 0 or trainer.is_last_batch:
            _check_loss(trainer, outputs["loss"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop if all batches that were looked at had no annotation, or no tissue."""
        if not self._annotated:
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                "no annotated voxel in its patches",
                "some in every one",
                "Check the label maps: saros verify DIR.",
            )
        if self._inside_window < _LEAST_INSIDE:
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                f"{self._inside_window:.1%} of voxels inside the window at best",
                "CT in Hounsfield units, mostly soft tissue and fat",
                "Check --data.window, and that images are CT in HU: saros verify DIR.",
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget what was predicted before."""
        self._foreground = dict.fromkeys(pl_module.tasks, False)  # type: ignore[arg-type]

    def on_validation_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401
        batch: CaseBatch,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Remember which label maps were more than background."""
        for task, labels in outputs.items():
            self._foreground[task] |= bool(labels.any())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a label map is background in every case though training has gone on a while."""
        if trainer.current_epoch < self.warmup_epochs or trainer.sanity_checking:
            return
        for task, found in self._foreground.items():
            anywhere = torch.tensor(float(found), device=pl_module.device)
            if not trainer.strategy.reduce(anywhere, reduce_op="sum"):
                raise WastedRunError(
                    f"epoch {trainer.current_epoch}, {task}",
                    "background alone in every prediction",
                    "other labels after so many epochs",
                    "Check --data.window against the CTs, raise --model.learning_rate, or "
                    "raise --model.class_balance.",
                )


def _check_loss(trainer: Trainer, loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise WastedRunError(
            f"step {trainer.global_step}",
            f"a loss of {loss.item()}",
            "a number",
            "Lower --model.learning_rate, clip gradients with "
            "--trainer.gradient_clip_val 1, or train with --trainer.precision 32-true.",
        )


def _check_labels(trainer: Trainer, batch: PatchBatch) -> None:
    for task, mask in batch.masks.items():
        known = mask[mask != IGNORE_INDEX]
        if known.numel() and int(known.max()) >= num_classes(task):
            raise WastedRunError(
                f"step {trainer.global_step}, {task}",
                f"label {int(known.max())}",
                f"0 to {num_classes(task) - 1}, or {IGNORE_INDEX}",
                "Check that the label maps are those of this task: saros verify DIR.",
            )
