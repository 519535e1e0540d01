import time
from collections.abc import Callable
from itertools import pairwise
from threading import Event, Timer

import pytest

from saros_hf.archive.retry import Patience, with_retries
from saros_hf.errors import TransferError, TransientError


def failing(*errors: TransferError) -> tuple[list[float], Callable[[], str]]:
    """Return the times of each attempt, and an action that succeeds after these errors."""
    moments: list[float] = []

    def action() -> str:
        moments.append(time.monotonic())
        if len(moments) <= len(errors):
            raise errors[len(moments) - 1]
        return "done"

    return moments, action


def busy(retry_after_s: float | None = None) -> TransientError:
    error = TransientError("archive", "HTTP 503", "HTTP 200")
    error.retry_after_s = retry_after_s
    return error


def patience(longest_wait_s: float = 0.02, first_wait_s: float = 0.001) -> Patience:
    return Patience(attempts=4, first_wait_s=first_wait_s, longest_wait_s=longest_wait_s)


def test_retried_until_success() -> None:
    moments, action = failing(busy(), busy(), busy())
    assert with_retries(action, patience=patience(), stop=Event()) == "done"
    assert len(moments) == 4


def test_number_of_attempts_is_limited() -> None:
    errors = [busy() for _ in range(9)]
    moments, action = failing(*errors)
    with pytest.raises(TransientError, match="HTTP 503") as caught:
        with_retries(action, patience=patience(), stop=Event())
    assert len(moments) == 4
    assert caught.value is errors[3]


def test_final_error_is_not_retried() -> None:
    gone = TransferError("archive", "HTTP 404", "HTTP 200")
    moments, action = failing(gone)
    with pytest.raises(TransferError, match="HTTP 404"):
        with_retries(action, patience=patience(), stop=Event())
    assert len(moments) == 1


def test_pauses_grow() -> None:
    moments, action = failing(busy(), busy(), busy())
    with_retries(action, patience=patience(longest_wait_s=1, first_wait_s=0.02), stop=Event())
    first, second, third = (b - a for a, b in pairwise(moments))
    assert first >= 0.02
    assert second >= 0.04
    assert third >= 0.08


@pytest.mark.parametrize(
    ("retry_after_s", "longest_wait_s", "least_s", "most_s"),
    [(0.15, 9, 0.15, 9), (3600, 0.05, 0.05, 3600)],
)
def test_pause_requested_by_the_server(
    retry_after_s: float, longest_wait_s: float, least_s: float, most_s: float
) -> None:
    moments, action = failing(busy(retry_after_s))
    with_retries(action, patience=patience(longest_wait_s), stop=Event())
    assert least_s <= moments[1] - moments[0] < most_s


def test_stop_ends_a_pause() -> None:
    stop = Event()
    moments, action = failing(*(busy() for _ in range(9)))
    start = time.monotonic()
    Timer(0.1, stop.set).start()
    with pytest.raises(TransientError):
        with_retries(action, patience=patience(60, first_wait_s=60), stop=stop)
    assert 0.1 <= time.monotonic() - start < 50
    assert len(moments) <= 2


def test_stop_set_before() -> None:
    stop = Event()
    stop.set()
    moments, action = failing(busy(), busy())
    with pytest.raises(TransientError):
        with_retries(action, patience=patience(60, first_wait_s=60), stop=stop)
    assert len(moments) == 1
