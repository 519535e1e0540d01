"""Download over HTTP, going on where the last try broke off."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from threading import Event
from typing import TypeAlias

from ..errors import SarosError, TransferError, TransientError
from .http_request import Exchange, RangeError
from .retry import Patience

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

_JSON_LIMIT_BYTES = 64 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


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
    """Try once to bring ``url`` to ``path``, which appears when it is whole.

    Until then the bytes are in ``<path>.part``. The next call goes on from there if the server
    has said what tells one version of the file from the next (kept in ``<path>.part.etag``).

    Args:
        url: An http or https address; a user name and password in it are sent along.
        path: Where the file goes; one that is there is replaced.
        patience: Its ``stall_s`` is how long the server may be silent.
        stop: Set to give up within a second.
        on_bytes: Called with bytes that have arrived, those of earlier calls included. A call
            that fails takes back all that it has counted.
        expected_bytes: Size of the file, ``None`` if unknown.

    Raises:
        TransientError: Worth another call.
        TransferError: Not worth another call, or interrupted.
        OSError: The disk is full or cannot be written to.
    """
    exchange = Exchange(url, patience, stop)
    part = _Part(path.with_name(path.name + ".part"))
    with counting(on_bytes) as count, _naming(part.path):
        path.parent.mkdir(parents=True, exist_ok=True)
        present = part.resumable_bytes()
        count(present)
        if present == 0 or present != expected_bytes:
            _bring_rest(exchange, part, present, count, expected_bytes)
        part.put_in_place(path)


def get_json(url: str, *, patience: Patience, stop: Event) -> Json:
    """Return what a small JSON answer says, ``None`` for an empty body.

    Raises:
        TransientError: Worth another call; also for a body that is no JSON.
        TransferError: Not worth another call, interrupted, or more than 64 MiB.
    """
    exchange = Exchange(url, patience, stop)
    body = bytearray()
    with exchange.open({}) as response:
        length = response.length
        for chunk in exchange.chunks(response):
            body += chunk
            if len(body) > _JSON_LIMIT_BYTES:
                raise exchange.error(TransferError, "more than 64 MiB", "a small JSON answer")
    if length is not None and len(body) < length:
        raise exchange.error(TransientError, f"{len(body)} of {length} bytes", "all of them")
    if not body.strip():
        return None
    try:
        parsed: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[:40].decode("ascii", "replace")
        raise exchange.error(TransientError, f"no JSON but {start!r}", "JSON") from error
    return parsed


@contextmanager
def counting(on_bytes: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """Yield a counter that hands on to ``on_bytes`` and takes it all back on an error."""
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


@dataclass(frozen=True)
class _Part:
    """What has arrived of a file, and what tells whether the server still has the same one."""

    path: Path

    @property
    def _validator_path(self) -> Path:
        return self.path.with_name(self.path.name + ".etag")

    def resumable_bytes(self) -> int:
        if not self._validator_path.is_file():
            return 0
        return self.path.stat().st_size if self.path.is_file() else 0

    def headers(self) -> dict[str, str]:
        present = self.resumable_bytes()
        if not present:
            return {}
        validator = self._validator_path.read_text(encoding="ascii")
        return {"Range": f"bytes={present}-", "If-Range": validator}

    def begin(self, response: HTTPResponse) -> None:
        self.discard()
        etag = response.headers.get("ETag", "")
        # A weak tag does not promise the same bytes.
        weak = etag.startswith("W/")
        validator = response.headers.get("Last-Modified", "") if weak or not etag else etag
        if validator.isascii() and validator.isprintable() and validator:
            self._validator_path.write_text(validator, encoding="ascii")

    def discard(self) -> None:
        self._validator_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def put_in_place(self, path: Path) -> None:
        self.path.replace(path)
        self._validator_path.unlink(missing_ok=True)


def _bring_rest(
    exchange: Exchange,
    part: _Part,
    present: int,
    count: Callable[[int], None],
    expected_bytes: int | None,
) -> None:
    try:
        response = exchange.open(part.headers())
    except RangeError as error:
        if error.total_bytes == present and expected_bytes is None:
            return
        part.discard()
        raise
    with response:
        start, total = _extent(exchange, part, response, present)
        count(start - present)
        _refuse_other_size(exchange, part, total, expected_bytes)
        arrived = start
        with part.path.open("ab") as file:
            for chunk in exchange.chunks(response):
                file.write(chunk)
                count(len(chunk))
                arrived += len(chunk)
                _refuse_longer(exchange, part, arrived, expected_bytes)
            file.flush()
            os.fsync(file.fileno())
    wanted = total if expected_bytes is None else expected_bytes
    if wanted is not None and arrived < wanted:
        raise exchange.error(TransientError, f"{arrived} of {wanted} bytes", "all of them")


def _extent(
    exchange: Exchange, part: _Part, response: HTTPResponse, present: int
) -> tuple[int, int | None]:
    """Return where in the file the body begins and how long the file is."""
    if response.status == 200:
        part.begin(response)
        return 0, response.length
    content_range = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(content_range)
    if response.status == 206 and match is not None and int(match[1]) == present > 0:
        return present, int(match[2])
    part.discard()
    raise exchange.error(
        TransientError,
        f"HTTP {response.status} with Content-Range {content_range!r}",
        f"the bytes from {present} on",
        "Run the same command again; it starts from zero.",
    )


def _refuse_other_size(
    exchange: Exchange, part: _Part, total: int | None, expected_bytes: int | None
) -> None:
    if total is not None and expected_bytes is not None and total < expected_bytes:
        part.discard()
        raise exchange.error(TransientError, f"only {total} bytes there", f"{expected_bytes} bytes")
    _refuse_longer(exchange, part, total or 0, expected_bytes)


def _refuse_longer(
    exchange: Exchange, part: _Part, size_bytes: int, expected_bytes: int | None
) -> None:
    if expected_bytes is not None and size_bytes > expected_bytes:
        part.discard()
        raise exchange.error(
            TransferError,
            f"{size_bytes} bytes or more",
            f"{expected_bytes} bytes",
            "The archive may have put another file there; update saros-hf.",
        )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put ``path`` into errors of the disk that do not say which file they are about."""
    try:
        yield
    except SarosError:
        raise
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
