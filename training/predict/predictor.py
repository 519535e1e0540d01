"""Prediction of many CTs with Lightning, on any number of devices, resumable after any stop."""

import errno
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning import LightningModule
from torch.utils.data import DataLoader, Dataset

from saros_hf.console import warn
from saros_hf.ct import read_ct
from saros_hf.errors import SarosError, UsageError
from saros_hf.files import remove_leftovers, write_atomically
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..model.test_time_averaging import PredictOptions
from .ensemble import Ensemble
from .inputs import PredictionInput, beside
from .write_maps import write_maps, write_pictures

Item: TypeAlias = tuple[PredictionInput, Volume | str]
"""A CT to predict, with its volume or the error that reading it raised."""


class CtDataset(Dataset[Item]):
    """Reads the CTs to predict, in worker processes if there are any."""

    def __init__(self, inputs: Sequence[PredictionInput]) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Item:
        item = self.inputs[index]
        try:
            return item, read_ct(item.source)
        except Exception as error:  # one odd CT among thousands must not end the run
            if item.alone:
                raise
            return item, _describe(item, error)


class Predictor(LightningModule):
    """Writes the label maps of CT after CT; an error with one of many does not end the run.

    The error is reported on the screen and in ``NAME.error.txt`` beside the place of the label
    map; a later success removes that file. An error with a CT that is ``alone`` is raised.

    Args:
        ensemble: Networks whose probabilities are averaged.
        inputs: All CTs, the same list on every device; each device predicts its part.
        options: Mirror averaging, tiles and clean-up.
        keep: Keep label maps that exist already.
        pictures: Draw a picture beside each label map.
        num_workers: Processes that read the next CTs meanwhile.
        progress: Called with (slices done, slices in all) of each CT.

    Attributes:
        written: Files of the CT predicted last.
        predicted: Number of CTs predicted, after the run over all devices.
        kept: Number of CTs whose label maps existed already.
        failed: Number of CTs with an error, after the run over all devices.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        inputs: Sequence[PredictionInput],
        options: PredictOptions,
        *,
        keep: bool = True,
        pictures: bool = True,
        num_workers: int = 0,
        progress: OnProgress | None = None,
    ) -> None:
        super().__init__()
        # There may be fewer CTs than devices.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.networks = ensemble.networks
        self.ensemble = ensemble
        self.inputs = inputs
        self.options = options
        self.keep = keep
        self.pictures = pictures
        self.num_workers = num_workers
        self.progress = progress
        self.written: list[Path] = []
        self.predicted = self.kept = self.failed = 0

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let the first device list the remaining CTs: it must be one list for all devices."""
        remaining = self._find_remaining() if self.trainer.is_global_zero else []
        self._remaining = self.trainer.strategy.broadcast(remaining)
        self.kept = len(self.inputs) - len(self._remaining)

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return this device's part of the CTs."""
        inputs = self._remaining[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(CtDataset(inputs), batch_size=None, num_workers=self.num_workers)

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:  # noqa: ANN401
        """Leave the CT on the CPU: slices go to the device a few at a time."""
        return batch

    def predict_step(self, batch: Item, batch_idx: int) -> bool:  # noqa: ARG002
        """Predict and write one CT; return whether that succeeded."""
        item, ct = batch
        failure = ct if isinstance(ct, str) else self._predict(item, ct)
        if failure:
            self.failed += 1
            _report(item, failure)
        else:
            self.predicted += 1
            beside(item.target, ".error.txt").unlink(missing_ok=True)
        return not failure

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Wait for the other devices and add up the numbers of CTs."""
        strategy = self.trainer.strategy
        counts = torch.tensor([self.predicted, self.failed], device=strategy.root_device)
        self.predicted, self.failed = strategy.reduce(counts, reduce_op="sum").tolist()

    def _find_remaining(self) -> list[PredictionInput]:
        remaining: list[PredictionInput] = []
        folders: set[Path] = set()
        for item in self.inputs:
            paths = item.label_maps(self.ensemble.spec.tasks).values()
            if not (self.keep and all(path.is_file() for path in paths)):
                remaining.append(item)
                folders |= {path.parent for path in (item.target, *paths)}
        for folder in folders:
            remove_leftovers(folder)
        return remaining

    def _predict(self, item: PredictionInput, ct: Volume) -> str:
        """Write label maps and pictures; return a description of the error, if there was one."""
        try:
            maps = self.ensemble.predict_maps(ct, self.options, progress=self.progress)
            # Label maps come last, so that where they exist their pictures do too.
            pictures = write_pictures(ct, maps, item) if self.pictures else []
            self.written = write_maps(maps, item) + pictures
        except Exception as error:  # see CtDataset
            _refuse_full_disk(item, error)
            if item.alone:
                raise
            return _describe(item, error)
        return ""


def _report(item: PredictionInput, failure: str) -> None:
    """Write an error to the screen and beside the place of the label map."""
    warn(failure.splitlines()[0])
    try:
        with write_atomically(beside(item.target, ".error.txt")) as aside:
            aside.write_text(f"{item.source}\n{failure}\n", encoding="utf-8")
    except OSError as error:
        _refuse_full_disk(item, error)
        warn(str(error))


def _describe(item: PredictionInput, error: Exception) -> str:
    """Return an error in one line, followed by the traceback unless the user can act on it."""
    if isinstance(error, SarosError):
        return str(error)
    line = " ".join(f"{item.source}: {type(error).__name__}: {error}".split())
    return "\n".join([line, *traceback.format_exception(error)])


def _refuse_full_disk(item: PredictionInput, error: Exception) -> None:
    """Raise if an error would occur again with every further CT."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Make room and start the same command again: it goes on."
        raise UsageError(item.target, str(error), "room for the label maps", remedy) from error
