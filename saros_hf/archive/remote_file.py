"""A file on a web server that is read in parts, as if it lay on the disk."""

import io
import re
from collections import OrderedDict
from threading import Event

from ..errors import TransferError, TransientError
from .http_request import Exchange, RangeError
from .retry import Patience, with_retries

_BLOCK_BYTES = 256 << 10
_BLOCKS_KEPT = 64
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RemoteFile(io.RawIOBase):
    """A read-only, seekable file that asks the server only for the blocks that are read.

    Args:
        url: An http or https address.
        patience: With the server.
        stop: Set to give up within a second.

    Raises:
        TransferError: From every method: the server does not hand out parts, the file changed
            while it was read, or the transfer failed for good.
    """

    def __init__(self, url: str, *, patience: Patience, stop: Event) -> None:
        super().__init__()
        self._exchange = Exchange(url, patience, stop)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._etag = ""
        self._position = 0
        # The end of a ZIP says what is in it, so it is asked for first.
        self._size = 0
        tail, start = self._request(f"bytes=-{_BLOCK_BYTES}")
        self._tail = start, tail

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return the position that is read next."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position that is read next, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as the file goes, and return how far that is."""
        end = min(self._position + len(buffer), self._size)
        if self._position >= end:
            return 0
        piece = self._bytes(self._position, end)
        buffer[: len(piece)] = piece
        self._position = end
        return len(piece)

    def _bytes(self, start: int, end: int) -> bytes:
        tail_start, tail = self._tail
        if start >= tail_start:
            return tail[start - tail_start : end - tail_start]
        first, last = start // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        self._fetch([n for n in range(first, last + 1) if n not in self._blocks])
        whole = b"".join(self._blocks[number] for number in range(first, last + 1))
        while len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return whole[start - first * _BLOCK_BYTES : end - first * _BLOCK_BYTES]

    def _fetch(self, numbers: list[int]) -> None:
        """Bring blocks, which need not be neighbours, in one request."""
        if not numbers:
            return
        start = numbers[0] * _BLOCK_BYTES
        end = min((numbers[-1] + 1) * _BLOCK_BYTES, self._size)
        content, _ = self._request(f"bytes={start}-{end - 1}")
        if len(content) != end - start:
            raise self._exchange.error(
                TransferError, f"{len(content)} bytes", f"the {end - start} asked for"
            )
        for number in range(numbers[0], numbers[-1] + 1):
            first = number * _BLOCK_BYTES - start
            self._blocks[number] = content[first : first + _BLOCK_BYTES]

    def _request(self, wanted: str) -> tuple[bytes, int]:
        """Return a part of the file and where it begins."""
        return with_retries(
            lambda: self._try(wanted), patience=self._exchange.patience, stop=self._exchange.stop
        )

    def _try(self, wanted: str) -> tuple[bytes, int]:
        exchange = self._exchange
        try:
            response = exchange.open({"Range": wanted})
        except RangeError as error:
            raise exchange.error(TransferError, "an empty or shorter file", "a .zip") from error
        with response:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status != 206 or match is None:
                raise exchange.error(
                    TransferError,
                    f"HTTP {response.status}, a server that does not hand out parts of a file",
                    "HTTP 206",
                    "Fetch the whole file instead: saros download DIR",
                )
            start, last, size = (int(number) for number in match.groups())
            self._refuse_changed(size, response.headers.get("ETag", ""))
            content = b"".join(exchange.chunks(response))
        if len(content) != last + 1 - start:
            raise exchange.error(
                TransientError, f"{len(content)} of {last + 1 - start} bytes", "all of them"
            )
        return content, start

    def _refuse_changed(self, size: int, etag: str) -> None:
        if self._size and (size, etag) != (self._size, self._etag):
            raise self._exchange.error(
                TransferError,
                "another version than a moment ago",
                "the file to stay as it is",
                "Run the same command again.",
            )
        self._size, self._etag = size, etag
