"""What became of each series, for the table at the end of a run and for ``failures.csv``."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from .files import write_atomically

FAILURES_NAME = "failures.csv"

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


def write_failures(folder: Path, outcomes: Iterable[Outcome]) -> Path | None:
    """Write ``folder/failures.csv``, or remove an earlier run's if nothing failed.

    Returns:
        The file, ``None`` if nothing failed.
    """
    path = folder / FAILURES_NAME
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if not failed:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case_id", "series_instance_uid", "reason"))
    writer.writerows((one.case_id, one.series_uid, one.reason) for one in failed)
    with write_atomically(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
    return path
