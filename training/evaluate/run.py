"""Score many cases in parallel."""

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

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
    with ProcessPoolExecutor(
        processes, context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        # The processes start here, without Ctrl-C, which the main process handles.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        running = [pool.submit(_scores_or_error, evaluation, pair) for pair in chosen]
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        try:
            for done, (pair, future) in enumerate(zip(chosen, running, strict=True), start=1):
                result = future.result()
                if isinstance(result, SarosError):
                    failures[pair.case_id] = result
                else:
                    scores += result
                if progress is not None:
                    progress(done, len(chosen))
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()  # some may still be starting
            raise
        except BrokenProcessPool as error:
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
    except Exception as error:  # noqa: BLE001 - one odd case must not end the run
        return failure_of(pair.case_id, error)


def failure_of(case_id: str, error: Exception) -> SarosError:
    """Return an error with a case as one that fits in a line."""
    if isinstance(error, SarosError):
        return error
    found = f"{type(error).__name__}: {error}"
    return SarosError(case_id, found, "files that can be read and compared")
