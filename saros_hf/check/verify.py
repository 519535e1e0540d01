"""Check a folder of cases: its files, its case table, and the paper's Tables 1 and 3."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.source import SOURCE_NAME, source_uid
from ..cases.table import find_table, read_case_table
from ..errors import MissingFileError, SarosError, UnknownLabelError, UsageError, one_line
from ..files import ASIDE_PREFIX
from ..labels import TASKS, Task
from ..nifti import read_image, read_mask
from ..progress import OnProgress, usable_processors
from ..volume import Volume
from .case_checks import CtSummary, Finding, check_case
from .compare_with_paper import (
    CollectionCount,
    compare_with_published,
    count_collections,
    why_not_compared,
)
from .label_counts import LabelCounts, LabelTable, count_labels, label_table
from .paper_tables import NUM_CASES

MOST_JOBS = 8
"""Default limit of threads: each holds the label maps of a case, 200 MB of a whole body."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class CaseCounts:
    """Label counts of one label map of a case."""

    case: Case
    labels: LabelCounts


@dataclass(frozen=True)
class Report:
    """Result of verifying a folder.

    Attributes:
        cases_in_table: Number of rows of the case table.
        cases_present: Number of them that have a folder.
        cases_checked: Number of folders whose files were read.
        without_body_parts: Ids of the checked cases without a body parts map, which is no error.
        findings: Findings of the cases in table order, then those of the whole folder.
        counts: Counts of every readable label map, in table order.
        collections: Table 1 of the paper for this case table.
        compared: Whether the paper's tables cover these cases.
    """

    cases_in_table: int
    cases_present: int
    cases_checked: int
    without_body_parts: tuple[str, ...]
    findings: tuple[Finding, ...]
    counts: tuple[CaseCounts, ...]
    collections: tuple[CollectionCount, ...]
    compared: bool

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def label_table(self) -> LabelTable:
        """Table 3 of the paper for the readable label maps."""
        return _tabulate(self.counts)


def verify(
    folder: Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> Report:
    """Read every file of every case and check it against the case table and the paper.

    Rows of the table without a folder are no error: the other cases are compared as a subset.

    Args:
        folder: Holds ``case_XXX`` folders and a Segmentation Info CSV.
        sample: Number of cases to draw at random; all if ``None`` or more than there are.
        seed: Seed of the draw.
        jobs: Number of threads; the default is one per processor, at most 8.
        progress: Called with the number of checked cases and of those to check.

    Raises:
        MissingFileError: There is no such folder, or not exactly one case table in it.
        TableError: The case table cannot be read.
        UsageError: ``sample`` or ``jobs`` is less than 1.
    """
    for option, value in (("sample", sample), ("jobs", jobs)):
        if value is not None and value < 1:
            raise UsageError(option, str(value), "at least 1")
    cases = read_case_table(find_table(folder))
    present = [CaseFiles(case, folder / case.case_id) for case in cases]
    present = [files for files in present if files.folder.is_dir()]
    drawn = present
    if sample is not None and sample < len(present):
        indices = sorted(random.Random(seed).sample(range(len(present)), sample))
        drawn = [present[index] for index in indices]
    checked = _check_all(drawn, jobs, progress)
    counts = tuple(count for _, counts in checked for count in counts)
    collections = count_collections(cases, {files.case.case_id for files in present})
    return Report(
        cases_in_table=len(cases),
        cases_present=len(present),
        cases_checked=len(checked),
        without_body_parts=tuple(one.case.case_id for one in drawn if one.body_parts is None),
        findings=(
            *(finding for findings, _ in checked for finding in findings),
            *_check_folder(folder, cases),
            *_compare(cases, collections, _tabulate(counts)),
        ),
        counts=counts,
        collections=collections,
        compared=not why_not_compared(cases),
    )


def _check_all(
    cases: Sequence[CaseFiles], jobs: int | None, progress: OnProgress | None
) -> list[tuple[list[Finding], list[CaseCounts]]]:
    with ThreadPoolExecutor(jobs or min(MOST_JOBS, usable_processors())) as pool:
        running = [pool.submit(_check_safely, files) for files in cases]
        try:
            for done, future in enumerate(as_completed(running), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(cases))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return [future.result() for future in running]


def _check_safely(files: CaseFiles) -> tuple[list[Finding], list[CaseCounts]]:
    try:
        return _check_files(files)
    except Exception as error:  # noqa: BLE001 - the other cases do not depend on this one
        return [Finding(files.case.case_id, "unreadable-file", one_line(error))], []


def _check_files(files: CaseFiles) -> tuple[list[Finding], list[CaseCounts]]:
    """Read every file of a case to its last byte; an unreadable file is a finding."""
    case, findings = files.case, list[Finding]()
    ct = _read(files.image, _summary, case, findings)
    masks: dict[Task, Volume] = {}
    for task in TASKS:
        if task == "body-parts" and files.body_parts is None:
            continue
        mask = _read(files.mask(task), partial(read_mask, task=task), case, findings)
        if mask is not None:
            masks[task] = mask
    findings += _check_source(files)
    findings += check_case(
        case, ct=ct, regions=masks.get("body-regions"), parts=masks.get("body-parts")
    )
    return findings, [CaseCounts(case, count_labels(m.array, task)) for task, m in masks.items()]


def _read(
    path: Path, reader: Callable[[Path], _Read], case: Case, findings: list[Finding]
) -> _Read | None:
    """Return the content of a file, or add a finding and return ``None``."""
    try:
        return reader(path)
    except MissingFileError:
        findings.append(Finding(case.case_id, "missing-file", f"no {path.name}"))
    except UnknownLabelError as error:
        findings.append(Finding(case.case_id, "unknown-label", _describe(path, error)))
    except Exception as error:  # noqa: BLE001 - the other files and cases do not depend on this one
        findings.append(Finding(case.case_id, "unreadable-file", _describe(path, error)))
    return None


def _summary(path: Path) -> CtSummary:
    image = read_image(path)
    grid = Volume(np.broadcast_to(np.int16(0), image.shape), image.affine)
    return CtSummary(grid, int(image.array.min()), int(image.array.max()))


def _describe(path: Path, error: Exception) -> str:
    if isinstance(error, SarosError):
        return f"{path.name}: found {error.found}, expected {error.expected}"
    return f"{path.name} cannot be read ({type(error).__name__}: {error})"


def _check_source(files: CaseFiles) -> Iterator[Finding]:
    """Compare the series that the CT was converted from with that of the case table."""
    expected = files.case.series_instance_uid
    try:
        found = source_uid(files.folder)
    except (SarosError, OSError) as error:
        message = _describe(files.folder / SOURCE_NAME, error)
        yield Finding(files.case.case_id, "source", message)
        return
    if found not in ("", expected):
        message = f"CT of series {found}, the case table says {expected}"
        yield Finding(files.case.case_id, "source", message)


def _check_folder(folder: Path, cases: Sequence[Case]) -> Iterator[Finding]:
    known = {case.case_id for case in cases}
    folders = sorted(path.name for path in folder.glob("case_*") if path.is_dir())
    if not known.intersection(folders):
        yield Finding(folder.name, "missing-file", "no case of the case table has a folder")
    for name in folders:
        if name not in known:
            yield Finding(name, "no-row", "a case folder without a row in the case table")
    for pattern in (f"{ASIDE_PREFIX}*", f"case_*/{ASIDE_PREFIX}*"):
        for leftover in sorted(folder.glob(pattern)):
            name = str(leftover.relative_to(folder))
            message = "left by an interrupted run, or being written"
            yield Finding(name, "leftover", message, severity="note")


def _compare(
    cases: Sequence[Case], collections: Sequence[CollectionCount], table: LabelTable
) -> Iterator[Finding]:
    reason = why_not_compared(cases)
    if reason:
        yield Finding("Tables 1 and 3", "not-compared", reason, severity="note")
        return
    if len(cases) == NUM_CASES:
        for entry in collections:
            if entry.in_table != entry.published:
                yield Finding("Table 1", "table-1", str(entry))
    else:
        message = f"a case table of {len(cases)} rows, not the published one of {NUM_CASES}"
        yield Finding("Table 1", "not-compared", message, severity="note")
    for difference in compare_with_published(table):
        yield Finding("Table 3", "table-3", str(difference))


def _tabulate(counts: Sequence[CaseCounts]) -> LabelTable:
    return label_table((one.case.fold, one.labels) for one in counts)
