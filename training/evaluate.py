"""Score a folder of predictions against a folder of SAROS cases: in parallel, resumable."""

import hashlib
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saros_hf.case_files import CaseFiles
from saros_hf.case_table import find_table, read_case_table
from saros_hf.errors import MissingFileError, SarosError, UsageError
from saros_hf.folds import SPLITS, split_of
from saros_hf.labels import Task
from saros_hf.nifti import read_mask
from saros_hf.progress import OnProgress
from saros_hf.volume import Volume

from .evaluation import score_case
from .predictions import find_predictions
from .protocols import SurfaceProtocol
from .scores import Score, read_metrics, write_metrics

_VERSION = "1"
"""Of how scores are computed: raise it, and no score of before is taken up again."""


@dataclass(frozen=True)
class Evaluation:
    """What is scored against what.

    Attributes:
        truth: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        predictions: Folder of label maps, see :func:`training.predictions.find_predictions`.
        task: Which label maps.
        split: ``train``, ``validation``, ``test`` or ``all``.
        fold: Number 1..5 of the validation fold.
        protocols: Surface protocols of the NSD: the honest one, and the one to compare with the
            paper; ``volume`` takes as long again as both.
        allow_missing: Score a case without prediction as if nothing had been found in it.
    """

    truth: Path
    predictions: Path
    task: Task
    split: str = "test"
    fold: int = 1
    protocols: tuple[SurfaceProtocol, ...] = ("slice", "published")
    allow_missing: bool = False


@dataclass(frozen=True)
class Pair:
    """A case and its prediction, ``None`` if there is none."""

    files: CaseFiles
    prediction: Path | None


def pairs(evaluation: Evaluation) -> list[Pair]:
    """Return the cases to score, each with its prediction.

    Raises:
        MissingFileError: There is no truth, or a prediction is missing that must not.
        UsageError: There is no such split, or two predictions are of one case.
    """
    if evaluation.split not in (*SPLITS, "all"):
        raise UsageError(
            "--split",
            found=evaluation.split,
            expected=f"one of {', '.join(SPLITS)}, all",
            remedy="Choose one of them.",
        )
    found = find_predictions(evaluation.predictions, evaluation.task)
    cases = [
        files
        for files in _annotated_cases(evaluation)
        if evaluation.split in ("all", split_of(files.case.fold, validation_fold=evaluation.fold))
    ]
    if not cases:
        raise MissingFileError(
            evaluation.truth,
            found=f"no case with {evaluation.task}.nii.gz in the {evaluation.split} split",
            expected="at least one",
            remedy="Choose another --split, or all.",
        )
    missing = [files.case.case_id for files in cases if files.case.case_id not in found]
    if missing and not evaluation.allow_missing:
        raise MissingFileError(
            evaluation.predictions,
            found=f"no prediction of {len(missing)} of {len(cases)} cases: {_few(missing)}",
            expected=f"one of every case in the {evaluation.split} split",
            remedy="Predict them, or count them as empty predictions with --allow-missing.",
        )
    return [Pair(files, found.get(files.case.case_id)) for files in cases]


def evaluate(
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    folder: Path,
    *,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> list[Score]:
    """Return the scores of all cases, those of an earlier run from ``folder/cases``.

    Raises:
        SarosError: A label map cannot be scored; the other cases are scored and kept first.
    """
    places = {pair: folder / "cases" / _name(pair, evaluation) for pair in chosen}
    left = [pair for pair in chosen if not places[pair].is_file()]
    failures: list[SarosError] = []
    done = len(chosen) - len(left)
    if progress is not None:
        progress(done, len(chosen))
    processes = max(1, min(jobs or os.cpu_count() or 1, len(left)))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        work = [pool.submit(_score_pair, pair, evaluation, places[pair]) for pair in left]
        try:
            for future in as_completed(work):
                if isinstance(error := future.exception(), SarosError):
                    failures.append(error)
                else:
                    future.result()
                done += 1
                if progress is not None:
                    progress(done, len(chosen))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise _first_of(failures)
    return [score for pair in chosen for score in read_metrics(places[pair])]


def _annotated_cases(evaluation: Evaluation) -> list[CaseFiles]:
    table = read_case_table(find_table(evaluation.truth))
    cases = [CaseFiles(case, evaluation.truth / case.case_id) for case in table]
    return [files for files in cases if files.mask(evaluation.task).is_file()]


def _score_pair(pair: Pair, evaluation: Evaluation, place: Path) -> None:
    case_id, task = pair.files.case.case_id, evaluation.task
    truth = read_mask(pair.files.mask(task), task)
    if pair.prediction is None:
        prediction = Volume(np.zeros(truth.shape, np.uint8), truth.affine)
    else:
        prediction = read_mask(pair.prediction, task)
    scores = score_case(case_id, prediction, truth, task, protocols=evaluation.protocols)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_metrics(place, scores)


def _name(pair: Pair, evaluation: Evaluation) -> str:
    """Return a file name that changes with whatever the scores depend on."""
    told = [_VERSION, evaluation.task, *evaluation.protocols]
    for path in (pair.files.mask(evaluation.task), pair.prediction):
        if path is not None:
            status = path.stat()
            told += [str(path.resolve()), str(status.st_size), str(status.st_mtime_ns)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    return f"{pair.files.case.case_id}-{digest}.csv"


def _one_thread() -> None:
    torch.set_num_threads(1)


def _first_of(failures: Sequence[SarosError]) -> SarosError:
    first = failures[0]
    more = f" {len(failures) - 1} more case(s) failed." if len(failures) > 1 else ""
    return type(first)(
        first.where, found=first.found, expected=first.expected, remedy=first.remedy + more
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
