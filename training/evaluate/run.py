"""Score predictions against label maps: in parallel, resumable."""

import hashlib
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from saros_hf.errors import SarosError, UsageError
from saros_hf.progress import OnProgress, usable_processors

from .pairs import Evaluation, Pair
from .score_case import score_case
from .scores import Score, read_metrics, write_metrics

_VERSION = "1"
"""Of how scores are computed: raise it, and no score of before is taken up again."""


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
        UsageError: A process was ended from outside; the cases it had finished are kept.
    """
    places = {pair: folder / "cases" / _name(pair, evaluation) for pair in chosen}
    left = {pair: place for pair, place in places.items() if not place.is_file()}
    processes = max(1, min(jobs or usable_processors(), len(left)))

    def report(finished: int) -> None:
        if progress is not None:
            progress(len(chosen) - len(left) + finished, len(chosen))

    failures = _score_all(left, evaluation, processes, report)
    if failures:
        raise _one_error(failures)
    return [score for pair in chosen for score in read_metrics(places[pair])]


def _score_all(
    left: Mapping[Pair, Path], evaluation: Evaluation, processes: int, report: Callable[[int], None]
) -> dict[str, SarosError]:
    """Write the scores of each case, and return what was wrong with the files of some."""
    failures: dict[str, SarosError] = {}
    context = multiprocessing.get_context("spawn")
    report(0)
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        work = {pool.submit(_score_pair, p, evaluation, place): p for p, place in left.items()}
        try:
            for finished, future in enumerate(as_completed(work), start=1):
                error = future.exception()
                if isinstance(error, SarosError):
                    failures[work[future].case_id] = error
                elif isinstance(error, BrokenProcessPool | MemoryError):
                    raise _out_of_memory(processes) from error
                elif error is not None:
                    raise error
                report(finished)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def _score_pair(pair: Pair, evaluation: Evaluation, place: Path) -> None:
    prediction, truth = pair.read(evaluation.task)
    scores = score_case(
        pair.case_id, prediction, truth, evaluation.task, protocols=evaluation.protocols
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    write_metrics(place, scores)


def _name(pair: Pair, evaluation: Evaluation) -> str:
    """Return a file name that changes with whatever the scores depend on."""
    told = [_VERSION, evaluation.task, *evaluation.protocols]
    for path in (pair.files.mask(evaluation.task), pair.files.image, pair.prediction):
        if path is not None and path.exists():
            status = path.stat()
            told += [str(path.resolve()), str(status.st_size), str(status.st_mtime_ns)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    return f"{pair.case_id}-{digest}.csv"


def _one_thread() -> None:
    torch.set_num_threads(1)


def _out_of_memory(processes: int) -> UsageError:
    return UsageError(
        "--jobs",
        f"that one of {processes} processes was ended, most likely for want of memory",
        "memory for all of them",
        f"Start again with --jobs {max(1, processes // 2)}: finished cases are kept.",
    )


def _one_error(failures: Mapping[str, SarosError]) -> SarosError:
    """Return the first failure, which names the other cases that failed."""
    first, *others = failures
    error = failures[first]
    more = f" Failed as well: {', '.join(sorted(others))}." if others else ""
    return type(error)(error.where, error.found, error.expected, error.remedy + more)
