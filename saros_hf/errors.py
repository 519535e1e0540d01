"""Errors that a user can act on: they say where, what was found, what was expected, what to do."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "DicomError",
    "GridMismatchError",
    "HubError",
    "MissingFileError",
    "RightsError",
    "SarosError",
    "TableError",
    "TransferError",
    "TransientError",
    "UnknownLabelError",
    "UnreadableFileError",
    "UsageError",
    "causes",
    "is_disk_full",
    "one_line",
    "printable",
    "saros_cause",
]


class SarosError(Exception):
    """A problem with the user's data or command, stated in one line.

    Args:
        where: File, case or option at fault.
        found: What was found there.
        expected: What was expected there.
        remedy: What the user can do, empty if that is obvious.

    Example:
        >>> raise UsageError("--cases", "'12a'", "case_000, 17 or 600-649")
        Traceback (most recent call last):
        saros_hf.errors.UsageError: --cases: found '12a', expected case_000, 17 or 600-649.
    """

    def __init__(self, where: str | Path, found: str, expected: str, remedy: str = "") -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        self.remedy = remedy
        text = f"{where}: found {found}, expected {expected}. {remedy}"
        super().__init__(printable(" ".join(text.split())))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the four arguments, so that worker processes can raise it."""
        return type(self), (self.where, self.found, self.expected, self.remedy)


class MissingFileError(SarosError, FileNotFoundError):
    """A file or folder that should exist does not."""


class UnreadableFileError(SarosError, OSError):
    """A file exists but is damaged or has another format."""


class GridMismatchError(SarosError, ValueError):
    """Two volumes that should share shape and affine do not."""


class UnknownLabelError(SarosError, ValueError):
    """A label map holds a value that is not a label of its task."""


class TableError(SarosError, ValueError):
    """The Segmentation Info CSV has an invalid column or row."""


class DicomError(SarosError, ValueError):
    """A DICOM series cannot be turned into a volume without guessing."""


class UsageError(SarosError, ValueError):
    """An option has a value that the command cannot use."""


class TransferError(SarosError, OSError):
    """A transfer failed and a retry will not help."""


class HubError(SarosError, OSError):
    """The Hugging Face Hub refused a request or could not be reached."""


class RightsError(SarosError, PermissionError):
    """Data would be published that must not be."""


class TransientError(TransferError):
    """A transfer failed and a retry may help.

    Attributes:
        retry_after_s: Seconds that the server asked to wait, ``None`` if it did not say.
    """

    retry_after_s: float | None = None


def printable(text: str) -> str:
    r"""Return text with everything escaped that a terminal would obey or cannot show.

    File names and DICOM texts may hold escape sequences, and bytes that are not UTF-8.

    Example:
        >>> printable("Jörg \x1b[2J \udcf6")
        'Jörg \\x1b[2J \\udcf6'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the chain of its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that a disk or a quota is full.

    Example:
        >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
        True
    """
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def one_line(error: Exception) -> str:
    """Return what went wrong with one item of many, in one line.

    Example:
        >>> one_line(ZeroDivisionError("division by zero"))
        'unexpected ZeroDivisionError: division by zero'
    """
    text = str(error)
    if not isinstance(error, (SarosError, OSError)):
        text = f"unexpected {type(error).__name__}: {text}"
    return printable(" ".join(text.split()))


def saros_cause(error: BaseException) -> SarosError | None:
    """Return the first ``SarosError`` in a chain of causes, ``None`` if there is none."""
    return next((one for one in causes(error) if isinstance(one, SarosError)), None)
