"""Stops a training run that cannot succeed, and says what to check."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from saros_hf.errors import SarosError
from saros_hf.labels import IGNORE_INDEX, Task, num_classes

from ..data.case_batches import CaseBatch
from ..data.patch_batches import PatchBatch

_MIN_INSIDE = 0.01
"""In any CT, more than this fraction of voxels lies inside a soft tissue window."""


class WastedRunError(SarosError, RuntimeError):
    """Training would go on, but cannot succeed."""


class Watchdog(Callback):
    """Stops a run whose loss is NaN or inf, or that sees or predicts nothing but background.

    Args:
        warmup_epochs: Epochs after which a validation must predict more than background.
        check_every: Steps between two checks of batch and loss; each waits for the device.
    """

    def __init__(self, warmup_epochs: int = 5, check_every: int = 20) -> None:
        self.warmup_epochs = warmup_epochs
        self.check_every = check_every
        self._annotated = False
        self._inside_window = 0.0
        self._foreground: dict[Task, bool] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Reset the checks of the training epoch."""
        self._annotated = False
        self._inside_window = 0.0

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        batch: PatchBatch,
        batch_idx: int,
    ) -> None:
        """Check some batches, before a label without an output crashes the step."""
        if batch_idx % self.check_every and not trainer.is_last_batch:
            return
        for task, mask in batch.masks.items():
            known = mask[mask != IGNORE_INDEX]
            if known.numel() == 0:
                continue
            self._annotated = True
            if int(known.max()) >= num_classes(task):
                raise WastedRunError(
                    f"step {trainer.global_step}, {task}",
                    f"label {int(known.max())}",
                    f"0 to {num_classes(task) - 1}, or {IGNORE_INDEX}",
                    "Check that the label maps are those of this task: saros verify DIR.",
                )
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
        """Check the loss of the same batches."""
        if batch_idx % self.check_every and not trainer.is_last_batch:
            return
        if not torch.isfinite(outputs["loss"]):
            raise WastedRunError(
                f"step {trainer.global_step}",
                f"a loss of {outputs['loss'].item()}",
                "a number",
                "Lower --model.learning_rate, clip gradients with "
                "--trainer.gradient_clip_val 1, or train with --trainer.precision 32-true.",
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop if no checked batch had any annotation, or any tissue."""
        if not self._annotated:
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                "no annotated voxel in its patches",
                "some in every patch",
                "Check the label maps: saros verify DIR.",
            )
        if self._inside_window < _MIN_INSIDE:
            raise WastedRunError(
                f"epoch {trainer.current_epoch}",
                f"{self._inside_window:.1%} of voxels inside the window at best",
                "CT in Hounsfield units, mostly soft tissue and fat",
                "Check --data.window, and that images are CT in HU: saros verify DIR.",
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Reset the check of the predictions."""
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
        """Note which label maps hold more than background."""
        for task, labels in outputs.items():
            self._foreground[task] |= bool(labels.any())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a label map is all background in every case after the warm-up."""
        if trainer.current_epoch < self.warmup_epochs or trainer.sanity_checking:
            return
        for task, found in self._foreground.items():
            found_here = torch.tensor(float(found), device=pl_module.device)
            if not trainer.strategy.reduce(found_here, reduce_op="sum"):
                raise WastedRunError(
                    f"epoch {trainer.current_epoch}, {task}",
                    "background alone in every prediction",
                    "other labels after so many epochs",
                    "Check --data.window against the CTs, raise --model.learning_rate, or "
                    "raise --model.class_balance.",
                )
