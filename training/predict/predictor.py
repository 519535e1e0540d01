"""Predicts many CTs on any number of devices with Lightning, and goes on after a stop."""

import errno
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch.utils.data import DataLoader, Dataset

from saros_hf.ct import read_ct
from saros_hf.errors import SarosError, UsageError
from saros_hf.files import remove_leftovers, write_atomically
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..model.test_time_averaging import PredictOptions
from .ensemble import Ensemble
from .inputs import PredictionInput, beside
from .write_maps import predict_one


@dataclass(frozen=True)
class Tally:
    """What became of the CTs, over all devices."""

    written: int
    kept: int
    failed: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A CT as a worker hands it over, ``None`` and what was wrong if it could not read it."""

    job: PredictionInput
    ct: Volume | None = None
    failure: str = ""


class CtDataset(Dataset[Reading]):
    """CTs to predict, read when asked for."""

    def __init__(self, jobs: Sequence[PredictionInput]) -> None:
        self.jobs = jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> Reading:
        job = self.jobs[index]
        try:
            return Reading(job, read_ct(job.source))
        except Exception as error:  # nobody can list what may be odd about one of thousands
            if job.alone:
                raise
            return Reading(job, failure=_told(job, error))


class Predictor(LightningModule):
    """Labels CT after CT; one that cannot be done is told of and passed over.

    Of many, what is wrong with one stands in ``NAME.error.txt`` beside where its label map would
    be, until it succeeds. What is wrong with one alone is raised.

    Args:
        ensemble: Networks that predict together.
        jobs: All CTs, the same list on every device; each takes its share of what is left.
        options: Averaging over mirror images, tiles, clean-up.
        keep: Leave label maps that are there already as they are.
        pictures: Draw a picture of each.
        num_workers: Processes that read the next CTs meanwhile.
        progress: Called with (slices done, slices in all) of each CT.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        jobs: Sequence[PredictionInput],
        options: PredictOptions,
        *,
        keep: bool = True,
        pictures: bool = True,
        num_workers: int = 0,
        progress: OnProgress | None = None,
    ) -> None:
        super().__init__()
        # There may be more devices than CTs.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.networks = ensemble.networks
        self.ensemble = ensemble
        self.jobs = jobs
        self.options = options
        self.keep = keep
        self.pictures = pictures
        self.num_workers = num_workers
        self.progress = progress
        self.left: Sequence[PredictionInput] = jobs
        """What is to be done, on all devices."""
        self.written: list[Path] = []
        """Files of the CT that was predicted last."""
        self.tally = Tally(0, 0, 0)
        """What became of this device's CTs; of all devices', once prediction has ended."""
        # There may be fewer CTs left than devices.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let the first device say what is left: no two see the same, once one has written."""
        left = self._what_is_left() if self.trainer.is_global_zero else []
        self.left = self.trainer.strategy.broadcast(left)

    def predict_dataloader(self) -> DataLoader[Reading]:
        """Return this device's share of the CTs."""
        share = self.left[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(
            CtDataset(share), batch_size=None, num_workers=self.num_workers, collate_fn=_as_it_is
        )

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:  # noqa: ANN401
        """Leave the CT where it is: slices go to the device a few at a time."""
        return batch

    def predict_step(self, batch: Reading, batch_idx: int) -> bool:  # noqa: ARG002
        """Predict and write one CT; return whether it was possible."""
        failure = self._predict(batch.job, batch.ct) if batch.ct is not None else batch.failure
        if failure:
            _note(batch.job, failure)
            self.tally = replace(self.tally, failed=self.tally.failed + 1)
        else:
            _note_path(batch.job).unlink(missing_ok=True)
            self.tally = replace(self.tally, written=self.tally.written + 1)
        return not failure

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Wait for the other devices and add up what became of the CTs."""
        strategy = self.trainer.strategy
        counts = torch.tensor([self.tally.written, self.tally.failed], device=strategy.root_device)
        written, failed = strategy.reduce(counts, reduce_op="sum").tolist()
        self.tally = Tally(written, len(self.jobs) - len(self.left), failed)

    def _what_is_left(self) -> list[PredictionInput]:
        tasks = self.ensemble.spec.tasks
        left = [job for job in self.jobs if not (self.keep and job.is_finished(tasks))]
        places = [(job.target, *job.label_maps(tasks).values()) for job in left]
        for folder in {path.parent for paths in places for path in paths}:
            remove_leftovers(folder)
        return left

    def _predict(self, job: PredictionInput, ct: Volume) -> str:
        """Write label maps and pictures; return what was wrong, nothing if all went well."""
        options, progress = self.options, self.progress
        try:
            self.written = predict_one(
                self.ensemble, ct, job, options, picture=self.pictures, progress=progress
            )
        except Exception as error:  # see CtDataset
            _refuse_full_disk(job, error)
            if job.alone:
                raise
            return _told(job, error)
        return ""


def _note_path(job: PredictionInput) -> Path:
    return beside(job.target, ".error.txt")


def _note(job: PredictionInput, failure: str) -> None:
    """Say what was wrong with a CT, on the screen and beside where its label map would be."""
    sys.stderr.write(f"saros: {failure.splitlines()[0]}\n")
    try:
        with write_atomically(_note_path(job)) as aside:
            aside.write_text(f"{job.source}\n{failure}\n", encoding="utf-8")
    except OSError as error:
        _refuse_full_disk(job, error)
        sys.stderr.write(f"saros: {error}\n")


def _told(job: PredictionInput, error: Exception) -> str:
    """Return an error in one line, and where it is none of ours, the traceback in more."""
    if isinstance(error, SarosError):
        return str(error)
    line = " ".join(f"{job.source}: {type(error).__name__}: {error}".split())
    return "\n".join([line, *traceback.format_exception(error)])


def _refuse_full_disk(job: PredictionInput, error: Exception) -> None:
    """Raise if an error would come again with every CT that follows."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise UsageError(
            job.target,
            str(error),
            "room for the label maps",
            "Make room and start the same command again: it goes on.",
        ) from error


def _as_it_is(reading: Any) -> Any:  # noqa: ANN401 - DataLoader tells no type
    return reading
