"""Pictures of one validation case during training, in the log folder and the loggers."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.volume import Volume

from ..data.case_batches import CaseBatch
from ..pictures import axial_planes, overlay_png
from ..transforms import Window, to_hu

_HEIGHTS = (0.85, 0.5, 0.15)


class SamplePictures(Callback):
    """Draws annotated slices of the first validation case, truth beside prediction.

    The pictures go to ``pictures/`` in the log folder, TensorBoard, Weights & Biases and MLflow.

    Args:
        every_n_epochs: Epochs between two sets of pictures.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: CaseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Draw the first case of the first device."""
        epoch = trainer.current_epoch
        if batch_idx or trainer.sanity_checking or epoch % self.every_n_epochs:
            return
        folder = trainer.log_dir  # a collective call: before the other ranks return
        if not trainer.is_global_zero:
            return
        for task, labels in outputs.items():
            png = _picture(batch, labels, task, pl_module.window)  # type: ignore[arg-type]
            if folder is not None:
                path = Path(folder) / "pictures" / f"{task}_epoch_{epoch:04}.png"
                with write_atomically(path) as temporary:
                    temporary.write_bytes(png)
            for logger in trainer.loggers:
                _log(logger, f"{task}/{batch.case_id}", png, trainer.global_step)


def _picture(batch: CaseBatch, labels: Tensor, task: Task, window: Window) -> bytes:
    def volume(slices: Tensor) -> Volume:
        """Return slices (N, I, J) as a volume (I, J, N)."""
        return Volume(slices.movedim(0, -1).cpu().numpy(), np.diag([*batch.spacing_mm, 1.0]))

    ct = volume(to_hu(batch.image[:, batch.image.shape[1] // 2], window))
    maps = {"truth": volume(batch.masks[task]), "prediction": volume(labels)}
    return overlay_png(ct, maps, axial_planes(ct, _HEIGHTS), task=task)


def _log(logger: Logger, name: str, png: bytes, step: int) -> None:
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, image, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [image], step=step)
    elif isinstance(logger, MLFlowLogger):
        file = f"{name.replace('/', '_')}_step_{step:07}.png"
        logger.experiment.log_image(logger.run_id, image, file)
