from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from helpers.case_folders import case, write_folder
from rich.console import Console

from saros_hf.check.case_checks import Finding
from saros_hf.check.compare_with_paper import CollectionCount
from saros_hf.check.label_counts import LabelCounts
from saros_hf.check.paper_tables import TABLE_3
from saros_hf.check.verify import CaseCounts, Report, verify
from saros_hf.check.verify_report import (
    closing_line,
    collections_table,
    findings_table,
    lines,
    tables,
)
from saros_hf.folds import FOLDS
from saros_hf.labels import TASKS, labels


def text_of(*shown: object) -> list[str]:
    console = Console(width=140, file=StringIO())
    for one in shown:
        console.print(one)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Three cases in a SAROS collection that show subcutaneous tissue only."""
    folder = write_folder(tmp_path_factory.mktemp("report") / "saros")
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    return verify(folder)


def test_phantoms_show_what_was_checked_and_no_paper_tables(phantoms: Path) -> None:
    report = verify(phantoms)
    assert len(tables(report)) == 1
    assert lines(report) == [
        "12 of the 12 cases of the case table have a folder, 12 of these checked.",
        "1 case without a body parts map, which is no error: case_007.",
        "12 cases checked, 0 errors, 1 note",
    ]


def test_findings_are_grouped_with_errors_first() -> None:
    findings = [
        Finding("case_001", "hu-range", "-3000 to 7 HU", severity="note"),
        *[Finding(f"case_{n:03}", "grid", "is another") for n in range(22)],
        Finding("case_003", "missing-file", "no image.nii.gz"),
    ]
    shown = text_of(findings_table(findings))
    assert shown[3] == "missing-file error 1 case_003: no image.nii.gz"
    assert shown[4] == "grid error 22 case_000: is another"
    assert shown[23] == "case_019: is another"
    assert shown[24] == "... and 2 more"
    assert shown[25] == "hu-range note 1 case_001: -3000 to 7 HU"


def test_brackets_in_messages_are_not_markup() -> None:
    finding = Finding("case_001", "unreadable-file", "found [red] bytes")
    assert "found [red] bytes" in text_of(findings_table([finding]))[3]


def test_table_3_marks_impossible_counts(report: Report) -> None:
    assert len(tables(report)) == 3
    shown = text_of(tables(report)[2])
    # One case each of fold-1, fold-2 and test, two annotated slices each.
    background = next(n for n, line in enumerate(shown) if line.startswith("Background"))
    assert shown[background] == "Background 1/150 1/150 0/150 0/150 0/150 1/150 3/900"
    assert shown[background + 1] == "2/3360 2/3429 0/3278 0/3268 0/3420 2/3395 6/20150"
    muscle = next(line for line in shown if line.startswith("Muscle"))
    assert muscle == "Muscle ! 0/150 ! 0/150 0/150 0/150 0/150 ! 0/150 ! 0/900"


def whole_cohort() -> list[CaseCounts]:
    """Return 150 made-up cases per fold whose counts sum to Table 3 of the paper."""
    cohort = []
    for task in TASKS:
        for fold in FOLDS:
            row = [TABLE_3.cells[task, label, fold] for label in labels(task)]
            for n in range(150):
                # One slice in each CT, and the remaining slices in the first.
                slices = [(n < p.cts) + (n == 0) * (p.slices - p.cts) for p in row]
                cohort.append(CaseCounts(case("case_000", fold), LabelCounts(task, tuple(slices))))
    return cohort


def test_published_cohort_is_compared_count_by_count(report: Report) -> None:
    whole = replace(report, counts=tuple(whole_cohort()))
    assert whole.label_table == TABLE_3
    assert not any(" ! " in line for line in text_of(tables(whole)[2])[3:-1])
    assert lines(whole)[2:4] == [
        "Table 3, body-regions: 900 of 900 cases, compared count by count.",
        "Table 3, body-parts: 900 of 900 cases, compared count by count.",
    ]


def test_lines_state_the_extent_of_the_comparison(report: Report) -> None:
    assert lines(report)[1:4] == [
        "1 case without a body parts map, which is no error: case_001.",
        "Table 3, body-regions: 3 of 900 cases, compared as a subset.",
        "Table 3, body-parts: 2 of 900 cases, compared as a subset.",
    ]
    assert closing_line(replace(report, findings=())) == "3 cases checked, 0 errors, 0 notes"
    one = replace(report, findings=(Finding("case_000", "grid", "other"),), cases_checked=1)
    assert closing_line(one) == "1 case checked, 1 error, 0 notes"


def test_table_1_marks_differences_of_a_whole_case_table_only() -> None:
    small = [
        CollectionCount("C4KC-KiTS", "abdomen", present=2, in_table=3, published=175),
        CollectionCount("HNSCC", "wholebody", present=0, in_table=0, published=17),
    ]
    shown = text_of(collections_table(small))
    assert shown[3:] == ["C4KC-KiTS 2 / 3", "with a folder / in the case table"]
    whole = [
        CollectionCount("C4KC-KiTS", "abdomen", present=2, in_table=884, published=883),
        CollectionCount("HNSCC", "wholebody", present=0, in_table=16, published=17),
    ]
    shown = text_of(collections_table(whole))
    assert shown[3:5] == ["C4KC-KiTS ! 2 / 884", "HNSCC ! 0 / 16"]
