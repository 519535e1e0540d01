"""Read and write the Segmentation Info CSV."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from ..errors import MissingFileError, TableError
from ..files import write_atomically
from ..folds import FOLDS
from .case import AnatomicRegion, Case, Sex

COLUMNS = (
    "id",
    "tcia_study_instance_uid",
    "tcia_series_instance_uid",
    "tcia_collection",
    "tcia_case_id",
    "gender",
    "anatomic_region",
    "has_breast_implant",
    "orientation_code",
    "split",
)
TABLE_NAME = "Segmentation-Info.csv"

_TABLE = re.compile(r"segmentation.?info", re.IGNORECASE)
_LEGAL: dict[str, tuple[str, ...]] = {
    "gender": get_args(Sex),
    "anatomic_region": get_args(AnatomicRegion),
    "has_breast_implant": ("TRUE", "FALSE"),
    "split": FOLDS,
}
_SHAPE = {
    "id": (re.compile(r"case_\d{3,}"), "case_ and three digits"),
    "tcia_series_instance_uid": (re.compile(r"[0-9.]{1,64}"), "a DICOM UID"),
    "orientation_code": (re.compile(r"[LR][AP][IS]"), "an axial code such as LPS"),
}


def find_table(folder: Path) -> Path:
    """Return the one Segmentation Info CSV in ``folder``."""
    if not folder.is_dir():
        raise MissingFileError(
            folder,
            "no such folder",
            "a folder of case_XXX folders with a Segmentation Info CSV",
            "Check the path, or make a phantom set with: saros phantom DIR --cases 12",
        )
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

    Both known headers are read: the official one, and the one that says ``Collection``.

    Raises:
        TableError: The file is no CSV or has no row, a column is missing, a value is illegal or a
            case appears twice.
    """
    try:
        cases = _read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            path,
            f"no text of comma-separated values ({error})",
            "a Segmentation Info CSV",
            "Fetch the case table again.",
        ) from error
    if not cases:
        raise TableError(
            path,
            "no case",
            "one row per case",
            "Use the Segmentation Info CSV as TCIA publishes it.",
        )
    _refuse_duplicates(cases, path)
    return cases


def _read_rows(path: Path) -> tuple[Case, ...]:
    text = path.read_text(encoding="utf-8-sig")
    reader = csv.DictReader(io.StringIO(text))
    header = ["tcia_collection" if c == "Collection" else c for c in reader.fieldnames or ()]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise TableError(
            path,
            f"no column {', '.join(missing)}",
            f"the columns {', '.join(COLUMNS)}",
            "Use the Segmentation Info CSV as TCIA publishes it.",
        )
    reader.fieldnames = header
    return tuple(_case(row, f"{path}, line {reader.line_num}") for row in reader)


def write_case_table(path: Path, cases: Iterable[Case]) -> None:
    """Write ``cases`` with the official header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(case) for case in cases)
    with write_atomically(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")


def _case(row: dict[str, str | None], where: str) -> Case:
    value = {column: (row[column] or "").strip() for column in COLUMNS}
    for column, legal in _LEGAL.items():
        if value[column] not in legal:
            raise _bad_value(where, column, value[column], " or ".join(legal))
    for column, (shape, meaning) in _SHAPE.items():
        if not shape.fullmatch(value[column]):
            raise _bad_value(where, column, value[column], meaning)
    return Case(
        case_id=value["id"],
        study_instance_uid=value["tcia_study_instance_uid"],
        series_instance_uid=value["tcia_series_instance_uid"],
        collection=value["tcia_collection"],
        patient_id=value["tcia_case_id"],
        sex=value["gender"],  # type: ignore[arg-type]  # checked against _LEGAL above
        anatomic_region=value["anatomic_region"],  # type: ignore[arg-type]  # likewise
        has_breast_implant=value["has_breast_implant"] == "TRUE",
        orientation=value["orientation_code"],
        fold=value["split"],  # type: ignore[arg-type]  # likewise
    )


def _row(case: Case) -> Sequence[str]:
    return (
        case.case_id,
        case.study_instance_uid,
        case.series_instance_uid,
        case.collection,
        case.patient_id,
        case.sex,
        case.anatomic_region,
        str(case.has_breast_implant).upper(),
        case.orientation,
        case.fold,
    )


def _bad_value(where: str, column: str, value: str, expected: str) -> TableError:
    return TableError(
        where, f"{column} = {value!r}", expected, "Correct the row, or fetch the case table again."
    )


def _refuse_duplicates(cases: Sequence[Case], path: Path) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.case_id in seen:
            raise TableError(
                path, f"{case.case_id} twice", "one row per case", "Delete the extra row."
            )
        seen.add(case.case_id)
