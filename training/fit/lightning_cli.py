"""``saros fit|validate|test|predict``: LightningCLI on the one module and the one data module."""

import os
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from lightning import LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from saros_hf.console import warn
from saros_hf.errors import UsageError
from saros_hf.volume import Volume

from ..data.patch_batches import refuse_thick_patches
from ..datamodule import SHARED, SarosDataModule
from ..model.predict_volume import Prediction
from ..module import SarosSegmenter
from ..predict.inputs import SUFFIX, PredictionInput
from ..predict.write_maps import write_maps
from .checkpoints import (
    RunCheckpoint,
    checkpoint_to_load,
    lock_folder,
    make_way,
    refuse_other_network,
    settings_in,
)
from .export_model import ModelExporter
from .watchdog import Watchdog

Fold: TypeAlias = Literal[1, 2, 3, 4, 5]
FOLDS: tuple[Fold, ...] = get_args(Fold)

_CONFIGS = Path(__file__).parents[1] / "configs"


def with_shipped_configs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the names of shipped configurations replaced by their paths."""
    resolved = []
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.rpartition("=")
        shipped = _CONFIGS / f"{value}.yaml"
        is_config = option == "--config" or (not equals and previous == "--config")
        if is_config and not Path(value).exists() and shipped.is_file():
            argument = f"{option}{equals}{shipped}"
        resolved.append(argument)
    return resolved


def fold_folder(out: Path | str, fold: int) -> Path:
    """Return the folder of the run that validates on ``fold``."""
    return Path(out) / f"fold_{fold}"


class PredictionWriter(BasePredictionWriter):
    """Writes each label map as soon as it is predicted.

    Args:
        folder: Folder for the files ``case_XXX.nii.gz``; a joint network writes
            ``case_XXX/TASK.nii.gz``.
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
        """Write the label maps of one case, named after the folder of its CT."""
        image = Path(prediction.image)
        job = PredictionInput(image, Path(self.folder) / f"{image.parent.name}{SUFFIX}")
        arrays = prediction.arrays.items()
        write_maps({task: Volume(array, prediction.affine) for task, array in arrays}, job)


class SarosCLI(LightningCLI):
    """LightningCLI with one set of options for what data and network must agree on.

    A run writes everything to ``OUT/fold_K``: checkpoints, logs and the final model. With a
    checkpoint, the options it was trained with are the defaults.
    """

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments, with a checkpoint again on top of the options saved in it."""
        super().parse_arguments(parser, args)
        verb = self.config["subcommand"]
        options = self.config[verb]
        folder = fold_folder(options["out"], options["fold"])
        path = checkpoint_to_load(options["ckpt_path"], folder, verb)
        if path is None:
            options["ckpt_path"] = None
            return
        trained = settings_in(path)
        self._parser(verb).set_defaults(trained)
        super().parse_arguments(parser, args)
        if options["ckpt_path"] is None:
            warn(f"--ckpt_path is {path}")
        self.config[verb]["ckpt_path"] = str(path)
        refuse_other_network(path, trained, self.config[verb])
        self.config[verb]["model"]["encoder_weights"] = None  # not downloaded to be replaced

    def _parse_ckpt_path(self) -> None:
        """Skip Lightning's step, in which the checkpoint's options overrule the arguments."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the run and link those that data and network share."""
        parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the run")
        parser.add_argument("--fold", type=Fold, default=1, help="validation fold, 1 to 5")
        parser.add_argument(
            "--overwrite", action="store_true", help="replace an earlier run in the folder"
        )
        parser.link_arguments("fold", "data.fold")
        for name in SHARED:
            parser.link_arguments(f"data.{name}", f"model.{name}")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.link_arguments(
            ("out", "fold"), "checkpoint.dirpath", compute_fn=lambda *at: str(fold_folder(*at))
        )
        parser.add_argument(
            "--push_to_hub", type=str | None, default=None, help="publish the best as user/model"
        )
        parser.add_lightning_class_args(Watchdog, "watchdog")
        parser.add_lightning_class_args(ModelExporter, "export")
        parser.link_arguments("push_to_hub", "export.push_to_hub")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def instantiate_trainer(self, **options: Any) -> Trainer:  # noqa: ANN401
        """Return the trainer, which logs to CSV and TensorBoard files by default.

        Raises:
            UsageError: The strategy starts processes that cannot take over this one's objects.
        """
        given = self._get(self.config_init, "trainer", default={})
        strategy = given.get("strategy")
        if str(strategy).endswith(("_spawn", "_fork", "_notebook")):
            raise UsageError("--trainer.strategy", strategy, "ddp, which starts whole processes")
        if given.get("enable_checkpointing") is False:
            self._parser(self.subcommand).callback_keys.remove("checkpoint")
        if given.get("logger") in (None, True):
            options["logger"] = [
                CSVLogger(self.folder, name="log"),
                TensorBoardLogger(self.folder, name="tensorboard", version=""),
            ]
        if given.get("default_root_dir") is None:
            # Under SLURM, Lightning saves and finds its own checkpoints here.
            options["default_root_dir"] = self.folder
        return super().instantiate_trainer(**options)

    def before_fit(self) -> None:
        """Refuse what cannot be trained before the slice cache is built for it.

        Raises:
            UsageError: The patches have three dimensions, or the run has no step.
        """
        refuse_thick_patches(self.datamodule.patch_size)
        steps = ("limit_train_batches", "max_steps", "max_epochs", "accumulate_grad_batches")
        for name in steps:
            if getattr(self.trainer, name) == 0:
                raise UsageError(f"--trainer.{name}", "0", "more: nothing would be trained")

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return fold_folder(self._get(self.config, "out"), self._get(self.config, "fold"))

    def fit(self, **options: Any) -> None:  # noqa: ANN401
        """Train, with the run's folder locked.

        Raises:
            UsageError: The folder holds another run.
            KeyboardInterrupt: Ctrl-C or SIGTERM stopped the training.
        """
        keeps = bool(self.trainer.checkpoint_callbacks) and not self.trainer.fast_dev_run  # type: ignore[attr-defined]
        with lock_folder(self.folder) if keeps and self.trainer.is_global_zero else nullcontext():
            if keeps:
                resumed = None if options["ckpt_path"] is None else Path(options["ckpt_path"])
                make_way(self.folder, resumed, overwrite=self._get(self.config, "overwrite"))
            try:
                self.trainer.fit(**options)
            except SystemExit as stop:  # Lightning's way to end after either
                raise KeyboardInterrupt(
                    "Run the same command with --ckpt_path last: "
                    f"it goes on at the start of epoch {self.trainer.current_epoch}."
                ) from stop

    def before_predict(self) -> None:
        """Drop each label map from memory once it is written."""
        self.config_init["predict"]["return_predictions"] = False


def run(args: ArgsType = None) -> None:
    """Train, validate, test or predict, depending on the first argument."""
    # Lightning 2.6 calls functions that jsonargparse 4.49 deprecates; users cannot change that.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    # A checkpoint never runs code, by whatever way it reaches torch.load.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        SarosCLI(
            SarosSegmenter,
            SarosDataModule,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            args=args,
        )
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        if _author(error) not in ("jsonargparse", "lightning"):
            raise
        raise UsageError("--trainer", str(error), "options that Lightning can use") from error
    except SystemExit as stop:  # Lightning's way to end after Ctrl-C
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise


def _author(error: Exception) -> str:
    """Return the package that raised an error: Lightning checks its options, some of them late."""
    frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    return str(frame.f_globals["__name__"]).partition(".")[0]
