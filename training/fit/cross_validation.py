"""Five-fold cross-validation: ``saros fit`` fold by fold, continuing an interrupted run."""

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.errors import SarosError
from saros_hf.hub.client import Destination

from ..model.pretrained import WEIGHTS, read_config
from ..model.training_record import TrainingRecord
from ..publish.model_folder import push_model, read_networks, refuse_controlled, write_model_folder
from .checkpoints import MODEL_FOLDER
from .lightning_cli import FOLDS, fold_folder


class FoldError(SarosError, RuntimeError):
    """Training on one fold failed."""


@dataclass(frozen=True)
class FoldResult:
    """The best validation score of one fold.

    Attributes:
        fold: Number of the fold.
        dice: Best mean Dice on its validation cases.
        epoch: Epoch of that score, ``None`` if the network was trained by an earlier version.
    """

    fold: int
    dice: float
    epoch: int | None


def cross_validate(out: Path, arguments: Sequence[str]) -> list[FoldResult]:
    """Train on each of the five folds that is not finished yet.

    Args:
        out: Folder of the run; fold K is in ``out/fold_K``.
        arguments: Further options of ``saros fit``. Single folds are never published.

    Raises:
        FoldError: Training failed. The same call continues from the fold's last checkpoint.
    """
    for fold in FOLDS:
        if not (fold_folder(out, fold) / MODEL_FOLDER / WEIGHTS).is_file():  # written last
            _fit(fold, out, arguments)
    return [_result(out, fold) for fold in FOLDS]


def publish_folds(out: Path, to: Destination) -> str:
    """Put the networks of all folds into one repository and return its address.

    Raises:
        RightsError: They were trained on CTs under controlled access.
        SarosError: The Hub refused, or could not be reached. ``saros publish-model`` tries again.
    """
    networks = read_networks(out)
    refuse_controlled(networks, allowed=False)
    folder = Path("hub") / to.repo_id
    files = write_model_folder(folder, networks, [], repo_id=to.repo_id)
    return push_model(folder, files, to)


def _fit(fold: int, out: Path, arguments: Sequence[str]) -> None:
    """Train one fold in its own process, as multi-device strategies need."""
    own = ["--out", str(out), "--fold", str(fold), "--push_to_hub", "null", "--ckpt_path", "last"]
    command = [sys.executable, "-m", "training", "fit", *arguments, *own]
    with subprocess.Popen(command) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # a terminal has interrupted it already, kill -INT has not
            process.wait()
            raise
    if code:
        raise FoldError(
            fold_folder(out, fold),
            f"exit code {code} of training",
            "0",
            "Fix the error above and run the same command again: it goes on.",
        )


def _result(out: Path, fold: int) -> FoldResult:
    """Return the validation score that is saved with the network of a fold."""
    folder = fold_folder(out, fold) / MODEL_FOLDER
    record = TrainingRecord.from_dict(read_config(folder)["training"])
    if record is None:
        return FoldResult(fold, math.nan, None)
    return FoldResult(fold, record.validation.get("average", math.nan), record.epoch)
