"""Write lines, tables and warnings to the terminal."""

import argparse
import sys
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Subparsers", "say", "show", "warn"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Object to which each ``command.py`` adds its command."""


def say(line: str) -> None:
    """Write a line to standard output as it is, without wrapping or markup."""
    sys.stdout.write(f"{line}\n")


def show(table: "Table") -> None:
    """Write a table to standard output, as wide as needed unless that is a terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=400)
    console.print(table)


def warn(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"saros: {line}\n")
