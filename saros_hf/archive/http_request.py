"""One HTTP request: it ends when told to, and its errors say whether asking again may help."""

import base64
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPException, HTTPResponse, InvalidURL, responses
from importlib.metadata import PackageNotFoundError, version
from threading import Event, Lock, Thread
from typing import TypeVar
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ..errors import TransferError, TransientError
from .retry import Patience

KEPT = "Check the network and run the same command again; what has arrived is kept."
_MOVED = "The archive may have moved it: look for it on the archive's site, or update saros-hf."
_CHUNK_BYTES = 1 << 20
_POLL_S = 0.1
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")

E = TypeVar("E", bound=TransferError)


class RangeError(TransientError):
    """The server has nothing from the requested position on, but ``total_bytes`` before it."""

    total_bytes: int | None = None


@dataclass(frozen=True)
class Exchange:
    """A request for one address and the answer to it.

    Attributes:
        url: An http or https address; a user name and password in it are sent along.
        patience: Its ``stall_s`` is how long the server may be silent.
        stop: Set to give up within a second, whatever the server does.
    """

    url: str
    patience: Patience
    stop: Event

    def open(self, headers: Mapping[str, str]) -> HTTPResponse:
        """Return the answer, redirects followed, its body unread.

        Raises:
            RangeError: HTTP 416.
            TransientError: Worth another try: no connection, silence, HTTP 408, 425, 429 or 5xx.
            TransferError: Not worth another try, or interrupted.
        """
        self._refuse_interrupted()
        try:
            asked = _request(self.url, headers)
            answer = _in_background(lambda: _opener().open(asked, timeout=self.patience.stall_s))
            while not wait([answer], timeout=_POLL_S).done:
                if self.stop.is_set():
                    answer.add_done_callback(_close)
                    self._refuse_interrupted()
            return answer.result()
        except HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (InvalidURL, ValueError):
            # Their text holds the address, secrets included.
            raise self.error(
                TransferError, "no usable address", "http://... or https://...", "Correct it."
            ) from None
        except TransferError:
            raise
        except (OSError, HTTPException) as error:
            raise self._failed(error) from error

    def chunks(self, response: HTTPResponse) -> Iterator[bytes]:
        """Yield the body in pieces of at most 1 MiB; one that ends early just ends.

        Raises:
            TransientError: The connection is lost or silent.
            TransferError: Interrupted.
        """
        with _hung_up_on(self.stop, response):
            while chunk := self._read(response):
                yield chunk

    def error(self, kind: type[E], found: str, expected: str, remedy: str = KEPT) -> E:
        """Return an error that names the address without its secrets."""
        return kind(public_url(self.url), found, expected, remedy)

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            chunk = response.read1(_CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            self._refuse_interrupted()
            raise self._failed(error) from error
        self._refuse_interrupted()
        return chunk

    def _refuse_interrupted(self) -> None:
        if self.stop.is_set():
            remedy = "Run the same command again; what has arrived is kept."
            raise self.error(TransferError, "a transfer that was interrupted", "its end", remedy)

    def _refused(self, error: HTTPError) -> TransferError:
        found = f"HTTP {error.code} ({responses.get(error.code, 'no standard status')})"
        if error.code == 416:
            beyond = self.error(RangeError, found, "the rest of the file")
            total = error.headers.get("Content-Range", "").rpartition("/")[2]
            beyond.total_bytes = int(total) if total.isdecimal() else None
            return beyond
        if error.code not in (408, 425, 429) and error.code < 500:
            return self.error(TransferError, found, "HTTP 200 (OK)", _MOVED)
        busy = self.error(TransientError, found, "HTTP 200 (OK)")
        busy.retry_after_s = _retry_after_s(error.headers.get("Retry-After", ""))
        return busy

    def _failed(self, error: OSError | HTTPException) -> TransferError:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            found = f"a certificate that proves nothing ({reason.verify_message})"
            remedy = "Check the clock and the certificates of this machine."
            return self.error(TransferError, found, "one that is valid", remedy)
        found = f"a lost connection ({type(reason).__name__}: {reason})"
        if isinstance(reason, TimeoutError):
            found = f"silence for {self.patience.stall_s:g} s"
        return self.error(TransientError, found, "an answer")


def public_url(url: str) -> str:
    """Return ``url`` without user name, password and query, but for UIDs in the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    fields = (field.partition("=") for field in parts.query.split("&") if field)
    query = "&".join(f"{k}={v if _UID.fullmatch(v) else '...'}" for k, _, v in fields)
    return urlunsplit(_without_login(parts)._replace(query=query))


def _without_login(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")


def _request(url: str, headers: Mapping[str, str]) -> request.Request:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidURL
    headers = {"User-Agent": _user_agent(), **headers}
    asked = request.Request(urlunsplit(_without_login(parts)), headers=headers)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        asked.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    return asked


@cache
def _user_agent() -> str:
    try:
        return f"saros-hf/{version('saros-hf')} (+saros_hf)"
    except PackageNotFoundError:
        return "saros-hf (+saros_hf)"


def _opener() -> request.OpenerDirector:
    opener = request.OpenerDirector()
    # Those of urlopen, less the ones for file, ftp and data addresses.
    for handler in (
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _in_background(action: Callable[[], HTTPResponse]) -> Future[HTTPResponse]:
    future: Future[HTTPResponse] = Future()

    def settle() -> None:
        try:
            future.set_result(action())
        except (OSError, HTTPException, ValueError) as error:
            future.set_exception(error)
        finally:
            future.cancel()  # so that nobody waits for ever after an error unforeseen here

    # A daemon: a program that ends need not wait for a silent server.
    Thread(target=settle, daemon=True).start()
    return future


def _close(answer: Future[HTTPResponse]) -> None:
    if answer.exception() is None:
        answer.result().close()


@contextmanager
def _hung_up_on(stop: Event, response: HTTPResponse) -> Iterator[None]:
    """End a read that waits for the server as soon as ``stop`` is set."""
    over, lock = Event(), Lock()

    def watch() -> None:
        while not over.is_set():
            if stop.wait(_POLL_S):
                with lock:
                    if not over.is_set():
                        _hang_up(response)
                return

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()


def _hang_up(response: HTTPResponse) -> None:
    # Closing it here would wait for the read to return. AttributeError: it is closed already.
    with (
        suppress(OSError, ValueError, AttributeError),
        socket.fromfd(response.fileno(), socket.AF_INET, socket.SOCK_STREAM) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)


def _retry_after_s(text: str) -> float | None:
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
