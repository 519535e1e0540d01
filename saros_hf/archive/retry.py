"""Retry transfers that failed for a passing reason, with growing pauses."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import tenacity

from ..errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Limits for retries and time-outs.

    Attributes:
        attempts: Maximum number of attempts, the first one included.
        first_wait_s: Pause after the first failure; it doubles with every further failure.
        longest_wait_s: Maximum pause, also if the server asks for a longer one.
        stall_s: A connection without any data for this long counts as lost.
    """

    attempts: int = 6
    first_wait_s: float = 2.0
    longest_wait_s: float = 120.0
    stall_s: float = 60.0


def with_retries(action: Callable[[], T], *, patience: Patience, stop: Event) -> T:
    """Return the result of ``action``, which is called again if it raises ``TransientError``.

    Args:
        action: Function that resumes where its last call stopped.
        patience: Number of attempts and length of pauses.
        stop: Set to give up at once, even during a pause.

    Raises:
        TransientError: The error of the last attempt.
    """
    backoff = tenacity.wait_exponential(
        multiplier=patience.first_wait_s, max=patience.longest_wait_s
    ) + tenacity.wait_random(0, patience.first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        requested = error.retry_after_s if isinstance(error, TransientError) else None
        return min(max(backoff(state), requested or 0.0), patience.longest_wait_s)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(patience.attempts) | tenacity.stop_when_event_set(stop),
        wait=wait,
        retry=tenacity.retry_if_exception_type(TransientError),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )
    return retrying(action)
