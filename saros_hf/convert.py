"""Convert DICOM already on disk into case folders as SAROS has them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

from .archive.local import LocalFiles, open_source
from .case_source import CaseSource, converted_cases, has_image, place_case, source_uid
from .case_table import find_table, read_case_table, tables_in
from .cases import Case
from .ct import broken_file, refuse_without_ct
from .dicom import SLICE_SPACING_MM, find_series, read_series
from .dicom_groups import DicomContents
from .dicom_series import CtSeries
from .errors import DicomError, MissingFileError, SarosError

Status: TypeAlias = Literal["written", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one series.

    Attributes:
        series_uid: Empty for a damaged file that does not say which series it is of.
        case_id: Empty if the series failed before it was given one.
        status: ``kept`` means that the case was there already.
        path: The case folder, ``None`` if the series failed.
        reason: Why it failed, in one line.
    """

    series_uid: str
    case_id: str
    status: Status
    path: Path | None
    reason: str = ""


Progress: TypeAlias = Callable[[Outcome, int], None]
"""Called with each outcome as it happens, and with how many there will be."""


def convert(
    source: Path,
    folder: Path,
    *,
    table: Path | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Make ``folder/<case_id>/image.nii.gz`` of every CT series in ``source``.

    A series gets the case id that the case table has for its SeriesInstanceUID, or else the
    next ``case_000``, ``case_001``, ... that neither the table nor ``folder`` uses. One that
    is in ``folder`` already is kept as it is. A series that fails does not stop the others.

    Args:
        source: A folder of any layout, or a .zip, with DICOM files among others.
        folder: Where the case folders go; made if need be.
        table: The Segmentation Info CSV; ``None`` takes the one in ``folder`` if there is one.
        progress: Told of each outcome as it happens.

    Raises:
        MissingFileError: ``source`` or ``table`` is missing, or there is no CT in ``source``.
        UnreadableFileError: ``source`` is a file but no .zip that is safe to extract.
        TableError: The case table has a column or value that cannot be right.
    """
    cases = {case.series_instance_uid: case for case in _read_table(folder, table)}
    outcomes = []
    with open_source(source) as files:
        contents = find_series(files.paths)
        refuse_without_ct(files, contents)
        total = len(contents.broken) + len(contents.series)
        for outcome in _outcomes(files, contents, folder, cases):
            outcomes.append(outcome)
            if progress is not None:
                progress(outcome, total)
    return outcomes


def _outcomes(
    files: LocalFiles, contents: DicomContents, folder: Path, cases: Mapping[str, Case]
) -> Iterator[Outcome]:
    case_ids = {**converted_cases(folder), **{uid: case.case_id for uid, case in cases.items()}}
    for path in contents.broken:
        yield Outcome("", "", "failed", None, str(broken_file(files, path)))
    for series in contents.series:
        yield _convert_series(series, folder, case_ids, cases)


def _convert_series(
    series: CtSeries, folder: Path, case_ids: Mapping[str, str], cases: Mapping[str, Case]
) -> Outcome:
    case_id = case_ids.get(series.uid, "")
    try:
        if case_id and _is_present(folder / case_id, series):
            return Outcome(series.uid, case_id, "kept", folder / case_id)
        volume = read_series(series, spacing_mm=SLICE_SPACING_MM)
        case_id = case_id or _next_free(folder, set(case_ids.values()))
        place_case(folder / case_id, volume, _source_of(series, cases.get(series.uid)))
    except (SarosError, OSError) as error:
        return Outcome(series.uid, case_id, "failed", None, str(error))
    return Outcome(series.uid, case_id, "written", folder / case_id)


def _is_present(case_folder: Path, series: CtSeries) -> bool:
    if not has_image(case_folder):
        return False
    present = source_uid(case_folder)
    # A CT without a record is one that the authors' script has put there.
    if present not in ("", series.uid):
        raise DicomError(
            f"series {series.uid}",
            found=f"{case_folder} made from series {present}",
            expected="an empty place or the same series",
            remedy="Move that case folder away and convert again.",
        )
    return True


def _next_free(folder: Path, taken: set[str]) -> str:
    names = (f"case_{number:03d}" for number in count())
    return next(name for name in names if name not in taken and not (folder / name).exists())


def _source_of(series: CtSeries, case: Case | None) -> CaseSource:
    tags = series.slices[0].tags
    return CaseSource(
        series_instance_uid=series.uid,
        study_instance_uid=tags["study_instance_uid"],
        collection=case.collection if case else tags["collection"],
        patient_id=case.patient_id if case else tags["patient_id"],
        manufacturer=tags["manufacturer"],
        spacing_mm=series.spacing_mm,
        slices=len(series.slices),
    )


def _read_table(folder: Path, table: Path | None) -> tuple[Case, ...]:
    if table is None:
        if not tables_in(folder):
            return ()
        table = find_table(folder)
    if not table.is_file():
        raise MissingFileError(
            table,
            found="no such file",
            expected="a Segmentation Info CSV",
            remedy="Check the path, or leave the option out to number the cases.",
        )
    return read_case_table(table)
