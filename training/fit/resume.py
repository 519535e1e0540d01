"""A run's folder: from where in it training goes on, and that only one process does."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from saros_hf.errors import MissingFileError, UnreadableFileError, UsageError

from ..datamodule import SarosDataModule
from .last_checkpoint import LAST

LINKED = ("task", "context", "window")
"""What data and network must agree on: options of the data, kept with the network."""
_FIXED = {
    *(f"data.{name}" for name in LINKED),
    *(f"model.{name}" for name in ("architecture", "encoder_name", "options", "position")),
    "model.optimizer",
}
_OF_LIGHTNING = ("best", "hpc")


def checkpoint_of(named: str | None, folder: Path, verb: str) -> Path | None:
    """Return the checkpoint to begin with, ``None`` if there is none or Lightning finds it.

    Args:
        named: What ``--ckpt_path`` says.
        folder: Of the run.
        verb: ``fit``, ``validate``, ``test`` or ``predict``.

    Raises:
        MissingFileError: The file does not exist.
    """
    if named is None:
        return _left_by_slurm(folder) if verb == "fit" else None
    if named in _OF_LIGHTNING or "://" in named:
        return None
    path = folder / LAST if named == "last" else Path(named)
    if path.is_file():
        return path
    if named == "last" and verb == "fit":
        return None  # a job's script may say so from its first run on
    raise MissingFileError(
        path,
        "no such file",
        "a checkpoint of saros fit",
        "Check --ckpt_path, with last also --out and --fold.",
    )


def _left_by_slurm(folder: Path) -> Path | None:
    """Return where a job that SLURM started again goes on: its newest checkpoint."""
    if not SLURMEnvironment.detect():
        return None
    saved = list(folder.glob("hpc_ckpt_*.ckpt"))
    if saved or int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        saved += folder.glob(LAST)
    return max(saved, key=lambda path: path.stat().st_mtime_ns, default=None)


def settings_in(path: Path) -> dict[str, Any]:
    """Return the options of ``saros fit`` that a checkpoint keeps, by their names.

    Raises:
        UnreadableFileError: It is none of this package.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        network = checkpoint["hyper_parameters"]
        fold = checkpoint[SarosDataModule.__qualname__]["fold"]
    except Exception as error:
        raise UnreadableFileError(
            path,
            f"no checkpoint of this package ({type(error).__name__})",
            "best.ckpt or last.ckpt of saros fit",
        ) from error
    named = {f"{'data' if name in LINKED else 'model'}.{name}": network[name] for name in network}
    named.pop("model._instantiator", None)
    return named | {"fold": fold}


def refuse_another_network(
    path: Path, trained: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raise if options are given that the weights of a checkpoint do not fit.

    Raises:
        UsageError: Names the option.
    """
    for name in sorted(_FIXED & trained.keys()):
        mine, kept = (json.dumps(one[name]) for one in (given, trained))
        if json.loads(mine) != json.loads(kept):  # 1 is 1.0, and a tuple a list
            raise UsageError(
                f"--{name}",
                mine,
                f"{kept}, with which {path} was trained",
                "Leave it out, also of --config, or train another network.",
            )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder, so that no other process trains there.

    Raises:
        UsageError: Another one does.
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
