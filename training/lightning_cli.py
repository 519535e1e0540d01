"""``saros fit|validate|test|predict``: LightningCLI on the one module and the one data module."""

import os
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from saros_hf.nifti import write_volume
from saros_hf.volume import Volume

from .datamodule import SarosDataModule
from .inference import prediction_path
from .module import SarosSegmenter
from .slicewise import Prediction


class PredictionWriter(BasePredictionWriter):
    """Writes each predicted label map as soon as it is there.

    Args:
        folder: Where ``case_XXX.nii.gz`` files go, of both label maps ``case_XXX/TASK.nii.gz``.
    """

    def __init__(self, folder: Path = Path("predictions")) -> None:
        super().__init__("batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002 - Lightning passes these by position
        pl_module: LightningModule,  # noqa: ARG002
        prediction: Prediction,
        *rest: Any,  # noqa: ANN401, ARG002
    ) -> None:
        """Write one case under its folder's name."""
        case_id = Path(prediction.image).parent.name
        tasks = tuple(prediction.arrays)
        for task, array in prediction.arrays.items():
            path = prediction_path(Path(self.folder), case_id, task if len(tasks) > 1 else None)
            labels = Volume(array, prediction.affine)
            write_volume(path, labels, description=f"{task} predicted by saros-hf")


class SarosCLI(LightningCLI):
    """LightningCLI whose data options decide the network's task, channels and window."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Say once what data and network must agree on, and where predictions go."""
        for name in ("task", "context", "window"):
            parser.link_arguments(f"data.{name}", f"model.{name}")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def before_predict(self) -> None:
        """Keep no label map in memory once it is written."""
        self.config_init["predict"]["return_predictions"] = False


def run(args: ArgsType = None) -> None:
    """Train, validate, test or predict as the arguments say."""
    # Lightning 2.6 calls what jsonargparse 4.49 deprecates; a user can do nothing about it.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    SarosCLI(
        SarosSegmenter,
        SarosDataModule,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        args=args,
    )
