"""The five-fold run: ``saros fit`` fold by fold, each going on where it was cut off."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.errors import SarosError
from saros_hf.hub import Destination

from .exporter import MODEL_FOLDER
from .lightning_cli import FOLDS, fold_folder
from .publish import push_model, read_networks, refuse_controlled, write_model_folder

_LOG = Path("log")


class FoldError(SarosError, RuntimeError):
    """Training on one fold did not come to its end."""


@dataclass(frozen=True)
class FoldResult:
    """What one fold came to.

    Attributes:
        fold: Its number.
        dice: Best mean Dice on its validation cases.
        epoch: When that was reached.
    """

    fold: int
    dice: float
    epoch: int


def cross_validate(out: Path, arguments: Sequence[str]) -> list[FoldResult]:
    """Train on each of the five folds that is not finished yet.

    Args:
        out: Folder of the run; fold K is in ``out/fold_K``.
        arguments: Further options of ``saros fit``. No fold is published by itself.

    Raises:
        FoldError: A fold failed or was stopped. The same call goes on from its last checkpoint.
    """
    for fold in FOLDS:
        if not (fold_folder(out, fold) / MODEL_FOLDER / "config.json").is_file():
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
    """Run a process of its own: strategies and torchrun want the whole of one."""
    folder = fold_folder(out, fold)
    more = ["--out", str(out), "--fold", str(fold), "--push_to_hub", "null"]
    if (folder / "last.ckpt").is_file():
        more += ["--ckpt_path", str(folder / "last.ckpt")]
    command = [sys.executable, "-m", "training", "fit", *arguments, *more]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise FoldError(
            folder,
            found=f"exit code {code} of training",
            expected="0",
            remedy="Mend what the message above tells and run the same command again: it goes on.",
        )


def _result(out: Path, fold: int) -> FoldResult:
    """Return the best epoch that any part of a fold's training logged."""
    best = FoldResult(fold, float("nan"), -1)
    for path in sorted((fold_folder(out, fold) / _LOG).glob("version_*/metrics.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("val_dice")]
        for row in rows:
            dice = float(row["val_dice"])
            if not dice <= best.dice:
                best = FoldResult(fold, dice, int(row["epoch"]))
    return best
