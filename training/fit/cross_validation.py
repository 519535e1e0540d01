"""The five-fold run: ``saros fit`` fold by fold, each going on where it was cut off."""

import csv
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from saros_hf.errors import SarosError
from saros_hf.hub.client import Destination

from ..data.loaders import SIGNALS
from ..model.pretrained import WEIGHTS
from ..publish.model_folder import push_model, read_networks, refuse_controlled, write_model_folder
from .export_model import MODEL_FOLDER
from .last_checkpoint import LAST
from .lightning_cli import FOLDS, fold_folder
from .signals import RunStoppedError

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
        FoldError: A fold failed. The same call goes on from its last checkpoint.
        RunStoppedError: So it does after a signal, which the fold saves itself at first.
    """
    for fold in FOLDS:
        if not (fold_folder(out, fold) / MODEL_FOLDER / WEIGHTS).is_file():  # put there last
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
    if (folder / LAST).is_file():
        more += ["--ckpt_path", str(folder / LAST)]
    command = [sys.executable, "-m", "training", "fit", *arguments, *more]
    with subprocess.Popen(command) as process, _handing_on_signals(process) as caught:
        code = process.wait()
    if caught:
        raise RunStoppedError(
            folder,
            f"{signal.Signals(caught[0]).name}",
            "five folds trained",
            "Run the same command again: it goes on.",
        )
    if code:
        raise FoldError(
            folder,
            f"exit code {code} of training",
            "0",
            "Mend what the message above tells and run the same command again: it goes on.",
        )


@contextmanager
def _handing_on_signals(process: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Let a process save what it has before this one ends; yield the signals that came."""
    caught: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        caught.append(number)
        # A terminal sends Ctrl-C to both, and a second one would stop the process at once.
        process.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    before = {one: signal.signal(one, hand_on) for one in SIGNALS}
    try:
        yield caught
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


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
