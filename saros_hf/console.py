"""Write lines, tables and warnings to the terminal."""

import argparse
import sys
from typing import TYPE_CHECKING, TypeAlias

from .errors import printable

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Subparsers", "say", "show", "warn"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Object to which each ``command.py`` adds its command."""


def say(line: str) -> None:
    """Write a line to standard output, without wrapping, markup or control characters."""
    sys.stdout.write(f"{printable(line)}\n")


def show(table: "Table") -> None:
    """Write a table to standard output, as wide as needed unless that is a terminal."""
    from rich.console import Console

    # Cells hold names of files and texts of DICOM, where "[/b]" is no markup.
    width = None if Console().is_terminal else 400
    Console(width=width, markup=False, emoji=False).print(table)


def warn(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"saros: {printable(line)}\n")
