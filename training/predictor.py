"""Predicts many CTs on any number of devices with Lightning, and goes on after a stop."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saros_hf.ct import read_ct
from saros_hf.errors import SarosError
from saros_hf.files import write_atomically
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .averaging import PredictOptions
from .ensemble import Ensemble
from .inference import SUFFIX, Job, predict_one


@dataclass(frozen=True)
class Tally:
    """What became of the CTs, over all devices."""

    written: int
    kept: int
    failed: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A CT as a worker hands it over: neither CT nor error if its label maps are there already."""

    job: Job
    ct: Volume | None = None
    error: str = ""


class CtDataset(Dataset[Reading]):
    """CTs to predict, read when asked for.

    Args:
        jobs: What to read.
        tasks: Label maps that a finished CT has.
        keep: Do not read CTs that are finished.
    """

    def __init__(self, jobs: Sequence[Job], tasks: Sequence[Task], *, keep: bool) -> None:
        self.jobs = jobs
        self.tasks = tasks
        self.keep = keep

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> Reading:
        job = self.jobs[index]
        if self.keep and all(path.is_file() for path in job.label_maps(self.tasks).values()):
            return Reading(job)
        try:
            return Reading(job, read_ct(job.source))
        except (SarosError, OSError) as error:
            return Reading(job, error=str(error))


class Predictor(LightningModule):
    """Labels CT after CT; one that cannot be read is told of and passed over.

    Of many, what is wrong with one stands in ``NAME.error.txt`` beside where its label map would
    be, until it succeeds.

    Args:
        ensemble: Networks that predict together.
        jobs: All CTs, the same list on every device; each takes its share.
        options: Averaging over mirror images, tiles, clean-up.
        keep: Leave label maps that are there already as they are.
        pictures: Draw a picture of each.
        num_workers: Processes that read the next CTs meanwhile.
        progress: Called with (slices done, slices in all) of each CT.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        jobs: Sequence[Job],
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
        self.written: list[Path] = []
        """Files of the CT that was predicted last."""
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64))

    @property
    def tally(self) -> Tally:
        """What became of the CTs of all devices, once prediction has ended."""
        return Tally(*self.counts.tolist())

    def predict_dataloader(self) -> DataLoader[Reading]:
        """Return this device's share of the CTs."""
        share = self.jobs[self.trainer.global_rank :: self.trainer.world_size]
        dataset = CtDataset(share, self.ensemble.spec.tasks, keep=self.keep)
        return DataLoader(
            dataset, batch_size=None, num_workers=self.num_workers, collate_fn=_as_it_is
        )

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:  # noqa: ANN401
        """Leave the CT where it is: slices go to the device a few at a time."""
        return batch

    def predict_step(self, batch: Reading, batch_idx: int) -> int:  # noqa: ARG002
        """Predict and write one CT; return the place of its outcome in :class:`Tally`."""
        outcome = self._outcome(batch)
        self.counts[outcome] += 1
        return outcome

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Wait for the other devices and add up what became of the CTs.

        Here, since Lightning passes over all earlier hooks of a device without a CT.
        """
        self.counts.copy_(self.trainer.strategy.reduce(self.counts, reduce_op="sum"))

    def _outcome(self, reading: Reading) -> int:
        job, note = reading.job, _error_note(reading.job)
        if reading.error:
            sys.stderr.write(f"saros: {reading.error}\n")
            if len(self.jobs) == 1:
                return 2
            with write_atomically(note) as aside:
                aside.write_text(f"{job.source}\n{reading.error}\n", encoding="utf-8")
            return 2
        if reading.ct is None:
            return 1
        options, progress = self.options, self.progress
        self.written = predict_one(
            self.ensemble, reading.ct, job, options, picture=self.pictures, progress=progress
        )
        note.unlink(missing_ok=True)
        return 0


def _error_note(job: Job) -> Path:
    return job.target.with_name(job.target.name.removesuffix(SUFFIX) + ".error.txt")


def _as_it_is(reading: Any) -> Any:  # noqa: ANN401 - DataLoader tells no type
    return reading
