"""Checkpoints of a run: which ones are kept, and from which one training or scoring starts."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint

from saros_hf.errors import MissingFileError, UnreadableFileError, UsageError

from ..datamodule import SHARED, SarosDataModule
from ..module import SarosSegmenter

BEST = "best.ckpt"
LAST = "last.ckpt"
MODEL_FOLDER = "model"
_FIXED = {
    *(f"data.{name}" for name in SHARED),
    *(f"model.{name}" for name in ("architecture", "encoder_name", "options", "position")),
    "model.optimizer",
}


class RunCheckpoint(ModelCheckpoint):
    """Keeps the best epoch as ``best.ckpt`` and the latest one as ``last.ckpt``.

    Lightning's own ``save_last`` writes ``last.ckpt`` only after an epoch that is among the best.
    Weights with NaN or inf never replace ``last.ckpt``.

    Args:
        dirpath: Folder of the run.
        monitor: Logged score that decides which epoch is best.
        mode: Whether a higher (``max``) or a lower (``min``) score is better.
        save_top_k: Number of best epochs to keep. With more than one, ``best.ckpt`` is a link to
            the best of them.
    """

    def __init__(
        self,
        dirpath: Path | None = None,
        monitor: str = "val_dice",
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
    ) -> None:
        super().__init__(
            dirpath,
            "best" if save_top_k == 1 else "best-{epoch}",
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch: first the best, so that ``last.ckpt`` knows its score."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.best_model_path:
            self._link_checkpoint(trainer, self.best_model_path, self._in_folder(BEST))
        is_finite = all(bool(one.isfinite().all()) for one in pl_module.parameters())
        if is_finite and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self._in_folder(LAST))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best scores if their checkpoints are here, also in a moved folder."""
        moved = {path: self._in_folder(Path(path).name) for path in state_dict["best_k_models"]}
        if not all(Path(path).is_file() for path in moved.values()):
            return  # another run's checkpoint: this folder has no best epoch yet
        paths = {
            name: moved.get(state_dict[name], "")
            for name in ("best_model_path", "kth_best_model_path")
        }
        scores = {moved[path]: score for path, score in state_dict["best_k_models"].items()}
        here = {"dirpath": self.dirpath, "best_k_models": scores, **paths}
        super().load_state_dict(state_dict | here)

    def _in_folder(self, name: str) -> str:
        return str(Path(self.dirpath or "") / name)


def checkpoint_to_load(named: str | None, folder: Path, verb: str) -> Path | None:
    """Return the checkpoint to start from, ``None`` to train from scratch.

    Args:
        named: Value of ``--ckpt_path``: a file, or ``last`` or ``best`` of the run. Without it,
            the best is scored.
        folder: Folder of the run.
        verb: ``fit``, ``validate``, ``test`` or ``predict``.

    Raises:
        MissingFileError: The file does not exist.
    """
    if named is None and verb == "fit":
        named = "last" if _is_requeued(folder) else None
        if named is None:
            return None
    of_the_run = {"last": folder / LAST, "best": folder / BEST, None: folder / BEST}
    path = of_the_run.get(named, Path(named or ""))
    if path.is_file():
        return path
    if named == "last" and verb == "fit":
        return None  # a job script may ask for it in its first run too
    raise MissingFileError(
        path if named in of_the_run else str(named),
        "no such file",
        "a checkpoint of saros fit",
        "Give its path with --ckpt_path, or --out and --fold of its run.",
    )


def _is_requeued(folder: Path) -> bool:
    """Return whether SLURM restarted this job, or a job in this folder asked for it."""
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        return True
    return SLURMEnvironment.detect() and any(folder.glob("hpc_ckpt_*.ckpt"))


def settings_in(path: Path) -> dict[str, Any]:
    """Return the options of ``saros fit`` that a checkpoint was trained with, by option name.

    Raises:
        UnreadableFileError: The file is not a checkpoint of this package.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        network = checkpoint["hyper_parameters"]
        network.pop("_instantiator", None)
        fold = checkpoint[SarosDataModule.__qualname__]["fold"]
        signature(SarosSegmenter).bind_partial(**network)  # raises for what it does not know
    except Exception as error:
        raise UnreadableFileError(
            path,
            f"no checkpoint of this package ({type(error).__name__})",
            "best.ckpt or last.ckpt of saros fit",
        ) from error
    named = {f"{'data' if name in SHARED else 'model'}.{name}": network[name] for name in network}
    return named | {"fold": fold}


def refuse_other_network(path: Path, trained: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise if an option is given that does not fit the weights of a checkpoint.

    Raises:
        UsageError: An option differs that cannot be changed after training.
    """
    for name in sorted(_FIXED & trained.keys()):
        now, before = (json.dumps(one[name]) for one in (given, trained))
        if json.loads(now) != json.loads(before):  # 1 equals 1.0, and a tuple a list
            raise UsageError(
                f"--{name}",
                now,
                f"{before}, with which {path} was trained",
                "Leave it out, also of --config, or train another network.",
            )


def make_way(folder: Path, resumed: Path | None, *, overwrite: bool) -> None:
    """Remove the checkpoints and the model of an earlier run, unless that is to go on.

    Its logs stay. Each rank may call this before training starts.

    Args:
        folder: Folder of the new run.
        resumed: Checkpoint that it starts from, ``None`` to train from scratch.
        overwrite: Whether an earlier run may be removed.

    Raises:
        UsageError: It may not; says what is there.
    """
    if resumed is not None and resumed.resolve().parent == folder.resolve():
        return
    checkpoints = sorted({*folder.glob("best*.ckpt"), *folder.glob(LAST)})
    found = [*checkpoints, *folder.glob(MODEL_FOLDER)]
    if found and not overwrite:
        raise UsageError(
            folder,
            f"{', '.join(path.name for path in found)} of an earlier run",
            "none",
            "Go on with --ckpt_path last, replace it with --overwrite, or give another --out.",
        )
    for path in checkpoints:
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / MODEL_FOLDER, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run's folder, so that no other process trains in it.

    Raises:
        UsageError: Another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "fit.lock", blocking=False):
            yield
    except Timeout as error:
        raise UsageError(
            folder,
            "another process that trains there",
            "one at a time",
            "Wait for it, or give another --out or --fold.",
        ) from error
