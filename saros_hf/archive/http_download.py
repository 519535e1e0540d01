"""Download over HTTP and resume what an earlier call left unfinished."""

import json
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import responses
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from ..errors import TransferError, TransientError, causes
from .retry import Patience

RETRY = "Check the network and run the same command again; finished files are kept."
_MOVED = "The archive may have moved it: look for it on the archive's site, or update saros-hf."
_HEADERS = {"User-Agent": "saros-hf", "Accept-Encoding": "identity"}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def ignore(_count: int) -> None:
    """Count nothing."""


def download(
    url: str,
    path: Path,
    *,
    patience: Patience,
    stop: Event,
    on_bytes: Callable[[int], None] = ignore,
    expected_bytes: int | None = None,
) -> None:
    """Try once to download ``url`` to ``path``, which appears when it is complete.

    Until then the bytes are in ``<path>.part``. The next call resumes from there if the server
    identified the version of the file with an ETag or a date (kept in ``<path>.part.etag``).

    Args:
        url: An http or https address, with user name and password if the server needs them.
        path: Destination; an existing file is replaced.
        patience: ``stall_s`` is the longest time to wait for the server to send anything.
        stop: Set to end the download at the next bytes that arrive.
        on_bytes: Called with the number of new bytes, those of earlier calls included. A call
            that fails subtracts everything that it has counted.
        expected_bytes: Size of the file, ``None`` if unknown.

    Raises:
        TransientError: The download failed in a way that a retry may fix.
        TransferError: A retry will not help, or ``stop`` was set.
        OSError: The disk is full or cannot be written to.
    """
    part = _Part(path.with_name(path.name + ".part"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with counting(on_bytes) as count:
        present = part.resumable_bytes()
        count(present)
        if present == 0 or present != expected_bytes:
            with _get(url, patience, part.headers()) as response:
                start, total = _extent(url, part, response)
                count(start - present)
                _check_size(url, part, total, expected_bytes)
                _append(url, response, part, count, stop)
            _check_size(url, part, part.path.stat().st_size, expected_bytes)
        part.move_to(path)


def get_json(url: str, *, patience: Patience) -> Any:  # noqa: ANN401
    """Return the JSON value at ``url``, ``None`` for an empty body.

    Raises:
        TransientError: A retry may help; also raised if the body is not JSON.
        TransferError: A retry will not help.
    """
    with _get(url, patience) as response:
        body = response.read().strip()
    try:
        return json.loads(body) if body else None
    except ValueError as error:
        start = body[:40].decode("ascii", "replace")
        raise TransientError(public_url(url), f"no JSON but {start!r}", "JSON", RETRY) from error


@contextmanager
def counting(on_bytes: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """Yield a counter that forwards to ``on_bytes`` and subtracts everything on an error."""
    counted = 0

    def count(arrived: int) -> None:
        nonlocal counted
        counted += arrived
        on_bytes(arrived)

    try:
        yield count
    except BaseException:
        on_bytes(-counted)
        raise


def public_url(url: str) -> str:
    """Return ``url`` without user name, password and query values other than UIDs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    fields = (field.partition("=") for field in parts.query.split("&") if field)
    query = "&".join(f"{k}={v if _UID.fullmatch(v) else '...'}" for k, _, v in fields)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query=query, fragment=""))


def status_error(url: str, status: int, retry_after: str = "") -> TransferError:
    """Return the error for an HTTP status: transient for 408, 425, 429 and 5xx.

    Args:
        url: Address that was asked for.
        status: HTTP status code.
        retry_after: Value of the ``Retry-After`` header; a date is ignored.
    """
    found = f"HTTP {status} ({responses.get(status, 'no standard status')})"
    if status not in (408, 425, 429) and status < 500:
        return TransferError(public_url(url), found, "HTTP 200 (OK)", _MOVED)
    error = TransientError(public_url(url), found, "HTTP 200 (OK)", RETRY)
    error.retry_after_s = float(retry_after) if retry_after.isdecimal() else None
    return error


@dataclass(frozen=True)
class _Part:
    """The bytes of an unfinished download, and the version of the file that they are from."""

    path: Path

    @property
    def _validator_path(self) -> Path:
        return self.path.with_name(self.path.name + ".etag")

    def resumable_bytes(self) -> int:
        if self._validator_path.is_file() and self.path.is_file():
            return self.path.stat().st_size
        return 0

    def headers(self) -> dict[str, str]:
        present = self.resumable_bytes()
        if not present:
            return {}
        validator = self._validator_path.read_text(encoding="ascii")
        return {"Range": f"bytes={present}-", "If-Range": validator}

    def restart(self, response: httpx.Response) -> None:
        self.discard()
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # weak: bytes may differ
            validator = response.headers.get("Last-Modified", "")
        if validator.isascii() and validator:
            self._validator_path.write_text(validator, encoding="ascii")

    def discard(self) -> None:
        self._validator_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        self.path.replace(path)
        self._validator_path.unlink(missing_ok=True)


@contextmanager
def _get(
    url: str, patience: Patience, headers: Mapping[str, str] | None = None
) -> Iterator[httpx.Response]:
    """Yield the response to a GET request, its body unread: successful, or HTTP 416."""
    try:
        with (
            httpx.Client(
                timeout=patience.stall_s,
                follow_redirects=True,
                verify=_certificates(),
                headers={**_HEADERS, **(headers or {})},
            ) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success and response.status_code != 416:
                retry_after = response.headers.get("Retry-After", "")
                raise status_error(url, response.status_code, retry_after)
            yield response
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        # "from None": the text of these errors may contain secrets.
        raise TransferError(
            public_url(url), "no usable address", "http://... or https://...", "Correct it."
        ) from None
    except httpx.RequestError as error:
        raise _connection_error(url, patience, error) from error


@cache
def _certificates() -> ssl.SSLContext:
    """Return those of the operating system, where hospitals install that of their proxy."""
    return ssl.create_default_context()


def _connection_error(url: str, patience: Patience, error: httpx.RequestError) -> TransferError:
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            found = f"an invalid certificate ({cause.verify_message})"
            remedy = "Check the clock and the certificates of this machine."
            return TransferError(public_url(url), found, "a valid one", remedy)
    found = f"a lost connection ({type(error).__name__}: {error})"
    if isinstance(error, httpx.TimeoutException):
        found = f"silence for {patience.stall_s:g} s"
    return TransientError(public_url(url), found, "an answer", RETRY)


def _extent(url: str, part: _Part, response: httpx.Response) -> tuple[int, int | None]:
    """Return the position of the body in the file, and the size of the file if known."""
    if response.status_code == 200:
        part.restart(response)
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    present = part.resumable_bytes()
    content_range = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is not None and int(match[1]) == present > 0:
        return present, int(match[2])
    part.discard()
    found = f"HTTP {response.status_code} with Content-Range {content_range!r}"
    raise TransientError(public_url(url), found, f"the bytes from {present} on", RETRY)


def _append(
    url: str, response: httpx.Response, part: _Part, count: Callable[[int], None], stop: Event
) -> None:
    try:
        with part.path.open("ab") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                count(len(chunk))
                if stop.is_set():
                    raise TransferError(public_url(url), "an interruption", "the whole file", RETRY)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if not isinstance(error, TransferError):
            error.filename = str(part.path)  # write errors do not name the file
        raise


def _check_size(url: str, part: _Part, size_bytes: int | None, expected_bytes: int | None) -> None:
    if size_bytes is None or expected_bytes is None or size_bytes == expected_bytes:
        return
    part.discard()
    found, expected = f"{size_bytes} bytes", f"{expected_bytes} bytes"
    if size_bytes < expected_bytes:
        raise TransientError(public_url(url), found, expected, RETRY)
    raise TransferError(
        public_url(url), found, expected, "The file may have been replaced: update saros-hf."
    )
