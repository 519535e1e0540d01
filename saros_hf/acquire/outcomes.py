"""Results of a run, one per series: the tables at its end and ``failures.csv``."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..errors import printable
from ..files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

FAILURES_NAME = "failures.csv"

_COLUMNS = ["case_id", "series_instance_uid", "reason"]

Status: TypeAlias = Literal["written", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """The result for one series.

    Attributes:
        series_uid: SeriesInstanceUID, empty for a damaged file of an unknown series.
        case_id: Case id, empty if the series failed before it was given one.
        status: ``kept`` means that the case existed already.
        path: The case folder, ``None`` if the series failed.
        reason: Why it failed, or a note on an unusual series, in one line.
    """

    series_uid: str
    case_id: str
    status: Status
    path: Path | None
    reason: str = ""


def write_failures(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Update ``folder/failures.csv`` after a run; the file is removed once it is empty.

    Failures of earlier runs stay if this run did not process the same series.

    Returns:
        The file if something failed in this run, else ``None``.
    """
    path = folder / FAILURES_NAME
    processed = {_cell(outcome.series_uid) for outcome in outcomes}
    rows = [row for row in _read(path) if row[1] and row[1] not in processed]
    failed = [
        [_cell(text) for text in (one.case_id, one.series_uid, one.reason)]
        for one in outcomes
        if one.status == "failed"
    ]
    rows += failed
    if rows:
        with write_atomically(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
    else:
        path.unlink(missing_ok=True)
    return path if failed else None


def _read(path: Path) -> list[list[str]]:
    """Return the rows of an earlier run as far as they are legible; spreadsheets change files."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        try:
            rows = list(csv.reader(file))[1:]
        except csv.Error:
            return []
    return [[_cell(text) for text in row] for row in rows if len(row) == len(_COLUMNS)]


def _cell(text: str) -> str:
    """Return text that a spreadsheet takes for text, not for a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def reasons_table(title: str, outcomes: Sequence[Outcome]) -> "Table":
    """Return a table of cases with their reasons."""
    from rich.table import Table

    table = Table("case", "reason", title=title, title_justify="left")
    for outcome in outcomes:
        table.add_row(outcome.case_id or outcome.series_uid or "unknown", outcome.reason)
    return table


def closing_line(outcomes: Sequence[Outcome], withheld: int = 0) -> str:
    """Return the number of cases by result, e.g. ``2 written, 1 failed``."""
    counts = [
        (sum(one.status == "written" for one in outcomes), "written"),
        (sum(one.status == "kept" for one in outcomes), "there already"),
        (sum(one.status == "failed" for one in outcomes), "failed"),
        (withheld, "under controlled access"),
    ]
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"
