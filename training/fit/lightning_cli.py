"""``saros fit|validate|test|predict``: LightningCLI on the one module and the one data module."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter, ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from saros_hf.volume import Volume

from ..data.patch_batches import refuse_thick_patches
from ..datamodule import SarosDataModule
from ..model.predict_volume import Prediction
from ..module import SarosSegmenter
from ..predict.inputs import SUFFIX, PredictionInput
from ..predict.write_maps import write_maps
from .export_model import ModelExporter
from .last_checkpoint import LastCheckpoint
from .resume import LINKED, alone_in, checkpoint_of, refuse_another_network, settings_in
from .watchdog import Watchdog

Fold: TypeAlias = Literal[1, 2, 3, 4, 5]
FOLDS: tuple[Fold, ...] = get_args(Fold)

_CONFIGS = Path(__file__).parents[1] / "configs"


def with_shipped_configs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--config base`` as the path of the ``base.yaml`` shipped here."""
    resolved = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.rpartition("=")
        shipped = _CONFIGS / f"{value}.yaml"
        names_config = option == "--config" or (not equals and before == "--config")
        if names_config and not Path(value).exists() and shipped.is_file():
            argument = f"{option}{equals}{shipped}"
        resolved.append(argument)
    return resolved


def fold_folder(out: Path | str, fold: int) -> Path:
    """Return where a run with validation fold ``fold`` keeps all it writes."""
    return Path(out) / f"fold_{fold}"


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
        image = Path(prediction.image)
        job = PredictionInput(image, Path(self.folder) / f"{image.parent.name}{SUFFIX}")
        arrays = prediction.arrays.items()
        write_maps({task: Volume(array, prediction.affine) for task, array in arrays}, job)


class SarosCLI(LightningCLI):
    """LightningCLI whose data options decide the network's task, channels and window.

    Everything a run writes goes to ``OUT/fold_K``: checkpoints, logs, at its end the model. What
    a checkpoint was trained with is the default of what the arguments leave open.
    """

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse them, with a checkpoint a second time on top of its own settings."""
        super().parse_arguments(parser, args)
        verb = self.config["subcommand"]
        given = self.config[verb]
        folder = fold_folder(given["out"], given["fold"])
        path = checkpoint_of(given["ckpt_path"], folder, verb)
        if path is None:
            return
        trained = settings_in(path)
        self._parser(verb).set_defaults(trained)
        super().parse_arguments(parser, args)
        self.config[verb]["ckpt_path"] = str(path)
        refuse_another_network(path, trained, self.config[verb])

    def _parse_ckpt_path(self) -> None:
        """Leave out what Lightning does instead: its checkpoint overrules the arguments."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Say once what data and network must agree on, and where results go."""
        parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the run")
        parser.add_argument("--fold", type=Fold, default=1, help="validation fold, 1 to 5")
        parser.link_arguments("fold", "data.fold")
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.{name}")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(LastCheckpoint, "last")
        for name in ("checkpoint", "last"):
            parser.link_arguments(
                ("out", "fold"), f"{name}.dirpath", compute_fn=lambda *at: str(fold_folder(*at))
            )
        parser.set_defaults(
            {
                "checkpoint.filename": "best",
                "checkpoint.monitor": "val_dice",
                "checkpoint.mode": "max",
                "checkpoint.enable_version_counter": False,
            }
        )
        parser.add_argument(
            "--push_to_hub", type=str | None, default=None, help="publish the best as user/model"
        )
        parser.add_lightning_class_args(Watchdog, "watchdog")
        parser.add_lightning_class_args(ModelExporter, "export")
        parser.link_arguments("push_to_hub", "export.push_to_hub")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def instantiate_trainer(self, **options: Any) -> Trainer:  # noqa: ANN401
        """Return the trainer; unless told otherwise it logs to CSV and TensorBoard files."""
        given = self._get(self.config_init, "trainer", default={})
        if given.get("logger") in (None, True):
            options["logger"] = [
                CSVLogger(self.folder, name="log"),
                TensorBoardLogger(self.folder, name="tensorboard", version=""),
            ]
        if given.get("default_root_dir") is None:
            # Under SLURM Lightning saves and looks for checkpoints here: each fold has its own.
            options["default_root_dir"] = self.folder
        return super().instantiate_trainer(**options)

    def before_fit(self) -> None:
        """Refuse patches that the networks cannot take before slices are kept for them."""
        refuse_thick_patches(self.datamodule.patch_size)

    @property
    def folder(self) -> Path:
        """Where the run keeps all it writes."""
        return fold_folder(self._get(self.config, "out"), self._get(self.config, "fold"))

    def fit(self, **options: Any) -> None:  # noqa: ANN401
        """Train, as the only process that does in the run's folder."""
        writes = self.trainer.is_global_zero and not self.trainer.fast_dev_run  # type: ignore[attr-defined]
        with alone_in(self.folder) if writes else nullcontext():
            self.trainer.fit(**options)

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
