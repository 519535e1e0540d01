"""Score many cases in parallel."""

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import torch

from saros_hf.errors import SarosError, UsageError
from saros_hf.progress import OnProgress, usable_processors

from .pairs import Evaluation, Pair
from .score_case import Score, score_case


def evaluate(
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    *,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> tuple[list[Score], dict[str, SarosError]]:
    """Return the scores of all cases that can be scored, and the errors of the others.

    Args:
        evaluation: Task and surface protocols.
        chosen: Cases to score.
        jobs: Number of cases scored at the same time, by default one per core.
        progress: Called with (cases done, all cases).

    Returns:
        Scores in the order of ``chosen``, and errors by case id.

    Raises:
        UsageError: A worker process was killed, for example because memory ran out.
    """
    processes = max(1, min(jobs or usable_processors(), len(chosen)))
    context = multiprocessing.get_context("spawn")
    scores: list[Score] = []
    failures: dict[str, SarosError] = {}
    with ProcessPoolExecutor(processes, context, initializer=_start_worker) as pool:
        results = pool.map(partial(_scores_or_error, evaluation), chosen)
        try:
            for done, (pair, result) in enumerate(zip(chosen, results, strict=True), start=1):
                if isinstance(result, SarosError):
                    failures[pair.case_id] = result
                else:
                    scores += result
                if progress is not None:
                    progress(done, len(chosen))
        except (BrokenProcessPool, MemoryError) as error:
            found = f"1 of {processes} processes killed, probably out of memory"
            remedy = f"Try --jobs {max(1, processes // 2)}."
            raise UsageError("--jobs", found, "enough memory for all", remedy) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return scores, failures


def score_pair(evaluation: Evaluation, pair: Pair) -> list[Score]:
    """Return the scores of one case.

    Raises:
        SarosError: A file is missing or damaged, or the two label maps cannot be compared.
    """
    prediction, truth = pair.read(evaluation.task)
    return score_case(
        pair.case_id, prediction, truth, evaluation.task, protocols=evaluation.protocols
    )


def _scores_or_error(evaluation: Evaluation, pair: Pair) -> list[Score] | SarosError:
    try:
        return score_pair(evaluation, pair)
    except SarosError as error:
        return error


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the main process
    torch.set_num_threads(1)
