"""Write lines, tables and warnings to the terminal, whatever names are in them and whoever reads."""

import argparse
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from .errors import printable

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Subparsers", "all_written", "open_streams", "say", "show", "warn"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Object to which each ``command.py`` adds its command."""


def say(line: str) -> None:
    """Write a line to standard output, without wrapping, markup or control characters."""
    sys.stdout.write(f"{printable(line)}\n")


def show(table: "Table") -> None:
    """Write a table to standard output, as wide as needed unless that is a terminal."""
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, width=400)
    console.print(
        Segments(
            Segment(text if text == "\n" else printable(text), style)
            for text, style, _ in console.render(table)
        )
    )


def warn(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"saros: {printable(line)}\n")


class _Output(io.FileIO):
    """The file of a standard stream; what cannot be written is dropped, as the work must go on."""

    error: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            return len(data)


def open_streams() -> None:
    """Let standard output and error take any character, and a reader who has left or never was."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file opened would be taken for it
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _opened(sys.stdout, 1)
    sys.stderr = _opened(sys.stderr, 2)


def all_written() -> bool:
    """Return whether standard output could be written; warn if not, unless its reader has left."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, "raw", None), "error", None)
    if error is None or isinstance(error, BrokenPipeError):
        return True
    warn(f"standard output: {error.strerror}")
    return False


def _opened(stream: TextIO | None, descriptor: int) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor, "w", closefd=False)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", False),
    )
