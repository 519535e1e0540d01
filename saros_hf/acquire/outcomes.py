"""What became of each series, for the table at the end of a run and for ``failures.csv``."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ..files import write_atomically

FAILURES_NAME = "failures.csv"

_Row: TypeAlias = tuple[str, str, str]
_COLUMNS: _Row = ("case_id", "series_instance_uid", "reason")

Status: TypeAlias = Literal["written", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one series.

    Attributes:
        series_uid: Empty for a damaged file that does not say which series it is of.
        case_id: Empty if the series failed before it was given one.
        status: ``kept`` means that the case was there already.
        path: The case folder, ``None`` if the series failed.
        reason: Why it failed, or what is unusual about it, in one line.
    """

    series_uid: str
    case_id: str
    status: Status
    path: Path | None
    reason: str = ""


def write_failures(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Bring ``folder/failures.csv`` up to date with a run; it is gone when nothing is left in it.

    What an earlier run says of series that this one did not touch stays.

    Returns:
        The file if something failed in this run.
    """
    path = folder / FAILURES_NAME
    touched = {outcome.series_uid for outcome in outcomes if outcome.series_uid}
    rows = [row for row in _read(path) if row[1] and row[1] not in touched]
    failed = [
        (one.case_id, one.series_uid, one.reason) for one in outcomes if one.status == "failed"
    ]
    rows += [row for row in failed if row not in rows]
    if rows:
        _write(path, rows)
    else:
        path.unlink(missing_ok=True)
    return path if failed else None


def _read(path: Path) -> list[_Row]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(row[0], row[1], row[2]) for row in rows if len(row) == len(_COLUMNS)]


def _write(path: Path, rows: Sequence[_Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_COLUMNS, *rows])
    with write_atomically(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
