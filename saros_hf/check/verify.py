"""Check a folder of cases: against its case table, in itself, and against the paper's tables."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.table import find_table, read_case_table
from ..errors import UsageError
from ..files import ASIDE_PREFIX
from ..progress import OnProgress, usable_processors
from .case_checks import Finding
from .compare_with_paper import (
    CollectionCount,
    compare_with_published,
    count_collections,
    why_not_compared,
)
from .label_counts import LabelCounts, LabelTable, label_table
from .paper_tables import NUM_CASES
from .read_case import CheckedCase, read_and_check

MOST_JOBS = 8
"""Unless told otherwise: each holds the label maps of a case, 200 MB of a whole body."""


@dataclass(frozen=True)
class CaseCounts:
    """The label counts of one label map of a case."""

    case: Case
    labels: LabelCounts


@dataclass(frozen=True)
class Report:
    """What verifying a folder brought to light.

    Attributes:
        cases_in_table: Number of rows of the case table.
        cases_present: Number of them that have a folder.
        cases_checked: Number of folders whose files were read.
        without_body_parts: Ids of the checked cases that have no body parts map, which is no error.
        findings: Those of the cases in table order, then those of the whole folder.
        counts: Of every label map that could be read, in table order.
        collections: Table 1 of the paper for this case table.
        compared: Whether the paper's tables speak of these cases.
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
        """Table 3 of the paper for the label maps that could be read."""
        return _tabulate(self.counts)


def verify(
    folder: Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> Report:
    """Read every file of every case and compare what is there with what should be.

    Cases of the table without a folder are no error: the others are compared as a subset.

    Args:
        folder: Holds ``case_XXX`` folders and a Segmentation Info CSV.
        sample: Number of cases to draw, all if ``None`` or if there are no more.
        seed: Same seed and cases, same draw.
        jobs: Number of threads; the default is one per processor, at most 8.
        progress: Called with the number of checked cases and of those to check.

    Raises:
        MissingFileError: There is no such folder, or not exactly one case table in it.
        TableError: The case table cannot be read.
        UsageError: ``sample`` or ``jobs`` is less than 1.
    """
    _refuse_less_than_one("sample", sample)
    _refuse_less_than_one("jobs", jobs)
    cases = read_case_table(find_table(folder))
    present = [CaseFiles(case, folder / case.case_id) for case in cases]
    present = [files for files in present if files.folder.is_dir()]
    checked = _check_all(_draw(present, sample, seed), jobs, progress)
    counts = tuple(CaseCounts(one.files.case, labels) for one in checked for labels in one.counts)
    collections = count_collections(cases, {files.case.case_id for files in present})
    of_cases = [finding for one in checked for finding in one.findings]
    return Report(
        cases_in_table=len(cases),
        cases_present=len(present),
        cases_checked=len(checked),
        without_body_parts=tuple(
            one.files.case.case_id for one in checked if not one.has_body_parts
        ),
        findings=(
            *of_cases,
            *_check_folder(folder, cases),
            *_compare(cases, collections, _tabulate(counts)),
        ),
        counts=counts,
        collections=collections,
        compared=not why_not_compared(cases),
    )


def _draw(present: Sequence[CaseFiles], sample: int | None, seed: int) -> Sequence[CaseFiles]:
    if sample is None or sample >= len(present):
        return present
    drawn = sorted(random.Random(seed).sample(range(len(present)), sample))
    return [present[index] for index in drawn]


def _check_all(
    cases: Sequence[CaseFiles], jobs: int | None, progress: OnProgress | None
) -> list[CheckedCase]:
    workers = jobs or min(MOST_JOBS, usable_processors())
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(read_and_check, files) for files in cases]
        try:
            for done, future in enumerate(as_completed(running), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(cases))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return [future.result() for future in running]


def _check_folder(folder: Path, cases: Sequence[Case]) -> Iterator[Finding]:
    known = {case.case_id for case in cases}
    folders = sorted(path.name for path in folder.glob("case_*") if path.is_dir())
    if not known.intersection(folders):
        yield Finding(folder.name, "missing-file", "no case of the case table has a folder")
    for name in folders:
        if name not in known:
            yield Finding(name, "no-row", "a case folder without a row in the case table")
    for pattern in (f"{ASIDE_PREFIX}*", f"case_*/{ASIDE_PREFIX}*"):
        for left in sorted(folder.glob(pattern)):
            name = str(left.relative_to(folder))
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


def _refuse_less_than_one(option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(option, str(value), "at least 1")
