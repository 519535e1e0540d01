"""Where a run can be taken up again."""

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from .signals import Interruption, RunStoppedError, StopRequest

LAST = "last.ckpt"


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` up to date: after each epoch, and where a signal stops the run.

    That is between two steps and outside a validation, where a run goes on as if it had never
    stopped. Weights that are no numbers are nothing to go on from and are not kept.

    Args:
        dirpath: Folder of the run.
        every_n_train_steps: Keep it so often instead of after each epoch.
    """

    def __init__(self, dirpath: Path | None = None, every_n_train_steps: int | None = None) -> None:
        super().__init__(
            dirpath,
            "last",
            every_n_train_steps=every_n_train_steps,
            save_on_train_epoch_end=every_n_train_steps is None,
            enable_version_counter=False,
        )
        self._every_n_steps = every_n_train_steps
        self._interruption = Interruption()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note of signals; until here there was nothing to save."""
        super().on_train_start(trainer, pl_module)
        self._interruption.watch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals stop what comes after training."""
        super().on_train_end(trainer, pl_module)
        self._interruption.leave()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Save if it is time, and stop if somebody asked for it."""
        every = self._every_n_steps
        if every and trainer.global_step % every == 0 and _are_numbers(pl_module):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if _is_between_steps(trainer, batch_idx):
            self._obey(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch, its validation done, and stop if somebody asked for it."""
        if _are_numbers(pl_module):
            super().on_train_epoch_end(trainer, pl_module)
        self._obey(trainer, pl_module)

    def _obey(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.should_stop:
            return  # the run is at its end anyway
        wish = self._interruption.wish(trainer)
        if wish == StopRequest.NONE:
            return
        path = Path(self.dirpath or trainer.default_root_dir) / LAST
        if _are_numbers(pl_module) and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(path)
        if wish == StopRequest.REQUEUE:
            self._interruption.requeue()
            return
        raise RunStoppedError(
            path.parent,
            f"a signal to stop after step {trainer.global_step}",
            "the end of the run",
            "Go on with the same command and --ckpt_path last.",
        )


def _is_between_steps(trainer: Trainer, batch_idx: int) -> bool:
    """Tell whether an optimizer step is done and neither a validation nor an epoch's end is due."""
    if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
        return False
    # Without epochs to count, validations are so many batches of the whole run apart.
    counted = batch_idx if trainer.check_val_every_n_epoch else trainer.fit_loop.total_batch_idx
    every = trainer.val_check_batch
    return every is None or bool((counted + 1) % every)


def _are_numbers(module: LightningModule) -> bool:
    return all(bool(one.isfinite().all()) for one in module.parameters())
