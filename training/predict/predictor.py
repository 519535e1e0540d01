"""Prediction of many CTs with Lightning, on any number of devices, resumable after any stop."""

import signal
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, Dataset

from saros_hf.console import warn
from saros_hf.ct import read_ct
from saros_hf.errors import SarosError, UsageError, is_disk_full
from saros_hf.files import remove_leftovers, write_atomically
from saros_hf.labels import Task
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from ..model.test_time_averaging import PredictOptions
from .ensemble import Ensemble
from .inputs import PredictionInput, beside
from .origin import Origin, digest_of_ct, digest_of_model, origin_of
from .write_maps import refuse_foreign, write_maps, write_pictures


class Reading(NamedTuple):
    """A CT as a worker process read it.

    Attributes:
        item: The CT and the place of its label map.
        ct: Its volume, ``None`` if it could not be read or need not be predicted.
        digest: Digest of its files.
        failure: Description of the error, empty if there was none.
    """

    item: PredictionInput
    ct: Volume | None = None
    digest: str = ""
    failure: str = ""


class CtDataset(Dataset[Reading]):
    """Reads the CTs to predict, in worker processes if there are any.

    Args:
        inputs: All CTs.
        tasks: Label maps of the networks.
        model: Digest of networks and options.
        keep: Leave out CTs whose label maps are there, made by this model of this CT.
    """

    def __init__(
        self, inputs: Sequence[PredictionInput], tasks: Sequence[Task], model: str, *, keep: bool
    ) -> None:
        self.inputs = inputs
        self.tasks = tasks
        self.model = model
        self.keep = keep

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Reading:
        item = self.inputs[index]
        try:
            return self._read(item)
        except Exception as error:  # one odd CT among thousands must not end the run
            if item.alone:
                raise
            return Reading(item, failure=_describe(item, error))

    def _read(self, item: PredictionInput) -> Reading:
        paths = item.label_maps(self.tasks).values()
        if self.keep and all(path.is_file() for path in paths):
            digest = digest_of_ct(item.source)
            if all(origin_of(path) == Origin(self.model, digest) for path in paths):
                return Reading(item)
        # The volume first: it says what is wrong with the files.
        ct = read_ct(item.source)
        return Reading(item, ct, digest_of_ct(item.source))


class Predictor(LightningModule):
    """Writes the label maps of CT after CT; an error with one of many does not end the run.

    The error is reported on the screen and in ``NAME.error.txt`` beside the place of the label
    map; a later success removes that file. An error with a CT that is ``alone`` is raised.

    Args:
        ensemble: Networks whose probabilities are averaged.
        inputs: All CTs, the same list on every device; each device predicts its part.
        options: Mirror averaging, tiles and clean-up.
        keep: Keep label maps that this model made of these CTs, and replace no others than
            untouched predictions.
        pictures: Draw a picture beside each label map.
        num_workers: Processes that read the next CTs meanwhile.
        progress: Called with (slices done, slices in all) of each CT.

    Attributes:
        written: Files of the CT predicted last.
        predicted: Number of CTs predicted, after the run over all devices.
        kept: Number of CTs whose label maps existed already, after the run over all devices.
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
        self._model = ""
        self._ordered: list[PredictionInput] = []
        self.predicted = self.kept = self.failed = 0

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let the first device order the CTs: it must be one list for all devices."""
        precision, options = self.trainer.precision, self.options
        settings = (self.ensemble.spec, options.mirror, options.clean, options.tile, precision)
        self._model = digest_of_model(self.networks, *settings)
        ordered: list[PredictionInput] | UsageError = []
        if self.trainer.is_global_zero:
            try:
                ordered = self._in_order()
            except UsageError as error:
                ordered = error
        ordered = self.trainer.strategy.broadcast(ordered)
        if isinstance(ordered, UsageError):
            raise ordered
        self._ordered = ordered

    def predict_dataloader(self) -> DataLoader[Reading]:
        """Return this device's part of the CTs."""
        inputs = self._ordered[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(
            CtDataset(inputs, self.ensemble.spec.tasks, self._model, keep=self.keep),
            batch_size=None,
            num_workers=self.num_workers,
            worker_init_fn=_leave_signals_to_the_main_process,
        )

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:  # noqa: ANN401
        """Leave the CT on the CPU: slices go to the device a few at a time."""
        return batch

    def on_predict_start(self) -> None:
        """Let SIGTERM stop the run as Ctrl-C does; Lightning would only take note of it."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def predict_step(self, batch: Reading, batch_idx: int) -> bool:  # noqa: ARG002
        """Predict and write one CT; return whether that succeeded."""
        item, ct, digest, failure = batch
        if ct is not None:
            failure = self._predict(item, ct, Origin(self._model, digest))
        if failure:
            self.failed += 1
            _report(item, failure)
            return False
        if ct is None:
            self.kept += 1
        else:
            self.predicted += 1
        beside(item.target, ".error.txt").unlink(missing_ok=True)
        return True

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Wait for the other devices and add up the numbers of CTs."""
        strategy = self.trainer.strategy
        numbers = [self.predicted, self.kept, self.failed]
        counts = torch.tensor(numbers, device=strategy.root_device)
        self.predicted, self.kept, self.failed = strategy.reduce(counts, reduce_op="sum").tolist()

    def _in_order(self) -> list[PredictionInput]:
        """Return the CTs, those to predict first so that each device gets its share.

        Raises:
            UsageError: A file is in the place of a label map that no prediction made.
        """
        tasks = self.ensemble.spec.tasks
        remaining: list[PredictionInput] = []
        there: list[PredictionInput] = []
        others = 0
        for item in self.inputs:
            paths = [path for path in item.label_maps(tasks).values() if path.is_file()]
            models = [refuse_foreign(path).model for path in paths if self.keep]
            others += any(model != self._model for model in models)
            (there if models == [self._model] * len(tasks) else remaining).append(item)
        if others:
            warn(f"label maps of {others} CT(s) by another model or options are made anew.")
        places = [path for one in remaining for path in one.label_maps(tasks).values()]
        for folder in {path.parent for path in (*places, *(one.target for one in remaining))}:
            remove_leftovers(folder)
        return remaining + there

    def _predict(self, item: PredictionInput, ct: Volume, origin: Origin) -> str:
        """Write label maps and pictures; return a description of the error, if there was one."""
        try:
            maps = self.ensemble.predict_maps(ct, self.options, progress=self.progress)
            # Label maps come last, so that where they exist their pictures do too.
            pictures = write_pictures(ct, maps, item) if self.pictures else []
            self.written = write_maps(maps, item, origin=origin, overwrite=not self.keep)
            self.written += pictures
        except Exception as error:  # see CtDataset
            _refuse_full_disk(item, error)
            if item.alone or _is_dead_worker(error):
                raise
            return _describe(item, error)
        return ""


def predict_all(trainer: Trainer, predictor: Predictor) -> None:
    """Predict the CTs of a predictor.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it.
        UsageError: A process that reads CTs was killed.
    """
    try:
        trainer.predict(predictor, return_predictions=False)
    except SystemExit as stop:  # Lightning's way to end after either
        raise KeyboardInterrupt from stop
    except RuntimeError as error:
        if not _is_dead_worker(error):
            raise
        found, expected = "a reading process that was killed", "enough memory for all"
        remedy = "Start the same command again with --workers 0: it goes on."
        raise UsageError("--workers", found, expected, remedy) from error


def _is_dead_worker(error: BaseException) -> bool:
    """Return whether an error says that a reading process died; PyTorch raises it anywhere."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


def _leave_signals_to_the_main_process(_: int) -> None:
    """Ignore Ctrl-C and SIGTERM, which reach all processes: a read cut short is no bad CT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _report(item: PredictionInput, failure: str) -> None:
    """Write an error to the screen and beside the place of the label map."""
    warn(failure.splitlines()[0])
    try:
        with write_atomically(beside(item.target, ".error.txt")) as aside:
            text = f"{item.source}\n{failure}\n"
            aside.write_text(text, encoding="utf-8", errors="backslashreplace")
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
    if is_disk_full(error):
        remedy = "Make room and start the same command again: it goes on."
        raise UsageError(item.target, str(error), "room for the label maps", remedy) from error
