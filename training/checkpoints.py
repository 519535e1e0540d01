"""Where a run can be taken up again."""

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` up to date: after each epoch, and where a run is interrupted.

    Not where it fails: weights that are no numbers are nothing to go on from.

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
            save_on_exception=True,
            enable_version_counter=False,
        )

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep the weights of a run that somebody stopped."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            super().on_exception(trainer, pl_module, exception)
