"""Try a transfer again where that is worth it, waiting longer each time."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import tenacity

from ..errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to put up with a server.

    Attributes:
        attempts: Tries of one transfer, the first one included.
        first_wait_s: Pause after the first failure; it doubles with each further one.
        longest_wait_s: No pause is longer, not even one the server asks for.
        stall_s: A connection that brings nothing for so long counts as lost.
    """

    attempts: int = 6
    first_wait_s: float = 2.0
    longest_wait_s: float = 120.0
    stall_s: float = 60.0


def with_retries(action: Callable[[], T], *, patience: Patience, stop: Event) -> T:
    """Return what ``action`` returns, calling it again while it raises ``TransientError``.

    Args:
        action: Goes on where its last call stopped.
        patience: Number of tries and pauses.
        stop: Set to give up at once, even in a pause.

    Raises:
        TransientError: The last try's.
    """
    backoff = tenacity.wait_exponential(
        multiplier=patience.first_wait_s, max=patience.longest_wait_s
    ) + tenacity.wait_random(0, patience.first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_s if isinstance(error, TransientError) else None
        return min(max(backoff(state), asked or 0.0), patience.longest_wait_s)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(patience.attempts) | tenacity.stop_when_event_set(stop),
        wait=wait,
        retry=tenacity.retry_if_exception_type(TransientError),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )
    return retrying(action)
