"""Read and write the case table, the Segmentation Info CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from ..errors import MissingFileError, TableError
from ..files import write_atomically
from ..folds import FOLDS
from .case import AnatomicRegion, Case, Sex

_ATTRIBUTES = {
    "id": "case_id",
    "tcia_study_instance_uid": "study_instance_uid",
    "tcia_series_instance_uid": "series_instance_uid",
    "tcia_collection": "collection",
    "tcia_case_id": "patient_id",
    "gender": "sex",
    "anatomic_region": "anatomic_region",
    "has_breast_implant": "has_breast_implant",
    "orientation_code": "orientation",
    "split": "fold",
}
"""Attribute of :class:`Case` for each column."""
COLUMNS = tuple(_ATTRIBUTES)
TABLE_NAME = "Segmentation-Info.csv"
CHECK_PATH = "Check the path, or make a phantom set with: saros phantom DIR --cases 12"

_TABLE = re.compile(r"segmentation.?info", re.IGNORECASE)
_CHOICES: dict[str, tuple[str, ...]] = {
    "gender": get_args(Sex),
    "anatomic_region": get_args(AnatomicRegion),
    "split": FOLDS,
}
_LEGAL = {column: ("|".join(names), " or ".join(names)) for column, names in _CHOICES.items()} | {
    "id": (r"case_\d{3,}", "case_ and three digits"),
    "tcia_series_instance_uid": (r"[0-9.]{1,64}", "a DICOM UID"),
    "has_breast_implant": (r"(?i)TRUE|FALSE", "TRUE or FALSE"),
    "orientation_code": (r"[LR][AP][IS]", "an axial code such as LPS"),
}
"""Pattern and description of the legal values of a column."""
_USE_PUBLISHED = "Use the Segmentation Info CSV as TCIA publishes it."


def find_table(folder: Path) -> Path:
    """Return the Segmentation Info CSV in ``folder``.

    Raises:
        MissingFileError: There is no folder, no table, or more than one.
    """
    if not folder.is_dir():
        expected = "a folder of case_XXX folders with a Segmentation Info CSV"
        raise MissingFileError(folder, "no such folder", expected, CHECK_PATH)
    tables = tables_in(folder)
    if len(tables) != 1:
        raise MissingFileError(
            folder / TABLE_NAME,
            f"{len(tables)} such files",
            "exactly one case table",
            "Put the official Segmentation Info CSV beside the case folders.",
        )
    return tables[0]


def tables_in(folder: Path) -> list[Path]:
    """Return the files of ``folder`` that are named like a Segmentation Info CSV."""
    return sorted(path for path in folder.glob("*.csv") if _TABLE.match(path.name))


def read_case_table(path: Path) -> tuple[Case, ...]:
    """Return the cases of a Segmentation Info CSV, in the order of its rows.

    Both known headers are accepted: the official one, and one with ``Collection``; so is what
    pandas and spreadsheets make of them: other columns, semicolons or tabs, empty rows, ``True``.

    Raises:
        TableError: The file is not a CSV, has no row, lacks a column, has an illegal value, or
            lists a case twice.
    """
    try:
        cases = _read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        found = f"a file that is not CSV text ({error})"
        raise TableError(path, found, "a Segmentation Info CSV") from error
    if not cases:
        raise TableError(path, "no case", "one row per case", _USE_PUBLISHED)
    for case_id, count in Counter(case.case_id for case in cases).items():
        if count > 1:
            raise TableError(path, f"{case_id} twice", "one row per case")
    return cases


def write_case_table(path: Path, cases: Iterable[Case]) -> None:
    """Write ``cases`` with the official header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        row = {column: getattr(case, name) for column, name in _ATTRIBUTES.items()}
        row["has_breast_implant"] = str(case.has_breast_implant).upper()
        writer.writerow(row.values())
    with write_atomically(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")


def _read_rows(path: Path) -> tuple[Case, ...]:
    text = path.read_text(encoding="utf-8-sig")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    header = ["tcia_collection" if c == "Collection" else c for c in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        expected = f"the columns {', '.join(COLUMNS)}"
        raise TableError(path, f"no column {', '.join(missing)}", expected, _USE_PUBLISHED)
    reader.fieldnames = header
    rows = ({column: (row[column] or "").strip() for column in COLUMNS} for row in reader)
    return tuple(_case(row, f"{path}, line {reader.line_num}") for row in rows if any(row.values()))


def _case(row: dict[str, str], where: str) -> Case:
    values: dict[str, Any] = dict(row)
    for column, (pattern, expected) in _LEGAL.items():
        if not re.fullmatch(pattern, values[column], re.ASCII):
            raise TableError(where, f"{column} = {values[column]!r}", expected)
    values["has_breast_implant"] = values["has_breast_implant"].upper() == "TRUE"
    return Case(**{_ATTRIBUTES[column]: value for column, value in values.items()})
