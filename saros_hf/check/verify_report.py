"""Show the report of ``saros verify``: tables, and lines below them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import get_args

from rich import box
from rich.table import Table
from rich.text import Text

from ..cases.case import AnatomicRegion
from ..errors import printable
from ..folds import FOLDS
from ..labels import TASKS, display_name, labels
from .case_checks import Check, Finding, Severity
from .compare_with_paper import CollectionCount, compare_with_published
from .label_counts import Cell, Presence
from .paper_tables import NUM_CASES, TABLE_3
from .verify import Report

MAX_NAMED = 20
"""Largest number of cases named in one place."""

_MARK = "!"


def tables(report: Report) -> list[Table]:
    """Return the findings by check, and the paper's Tables 1 and 3 if they cover the cases."""
    shown = [findings_table(report.findings)] if report.findings else []
    if report.compared:
        shown += [collections_table(report.collections), labels_table(report)]
    return shown


def lines(report: Report) -> list[str]:
    """Return the extent of the comparison, and as the last line the result."""
    return [*_scope(report), closing_line(report)]


def closing_line(report: Report) -> str:
    """Return the result, e.g. ``900 cases checked, 0 errors, 3 notes``."""
    notes = len(report.findings) - report.errors
    checked = _number(report.cases_checked, "case")
    return f"{checked} checked, {_number(report.errors, 'error')}, {_number(notes, 'note')}"


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return findings grouped by check, errors first, the first 20 of each in full."""
    table = _table("Findings")
    table.add_column("check")
    table.add_column("severity")
    table.add_column("number", justify="right")
    table.add_column("where and what")
    for (severity, check), group in groupby(sorted(findings, key=_rank), key=_kind):
        members = list(group)
        details = [printable(f"{one.where}: {one.message}") for one in members[:MAX_NAMED]]
        if len(members) > MAX_NAMED:
            details.append(f"... and {len(members) - MAX_NAMED} more")
        style = "bold red" if severity == "error" else ""
        table.add_row(check, Text(severity, style), str(len(members)), Text("\n".join(details)))
    return table


def collections_table(entries: Sequence[CollectionCount]) -> Table:
    """Return Table 1: cases with a folder and cases in the case table, by collection."""
    published = sum(entry.in_table for entry in entries) == NUM_CASES
    cells = {}
    for entry in entries:
        if published or entry.in_table:
            wrong = published and entry.in_table != entry.published
            text = _marked(f"{entry.present} / {entry.in_table}", wrong=wrong)
            cells[entry.collection, entry.anatomic_region] = text
    caption = "with a folder / in the case table"
    if published:
        caption += f"; {_MARK} differs from the paper"
    table = _table("Table 1: CTs", caption)
    table.add_column("collection")
    regions: tuple[AnatomicRegion, ...] = get_args(AnatomicRegion)
    for region in regions:
        table.add_column(region, justify="right")
    for collection in dict.fromkeys(collection for collection, _ in cells):
        row = (cells.get((collection, region), "") for region in regions)
        table.add_row(Text(collection), *row)
    return table


def labels_table(report: Report) -> Table:
    """Return Table 3: CTs above slices, as found and as published."""
    caption = f"CTs, slices: found / published; {_MARK} impossible for a subset of SAROS"
    table = _table("Table 3: CTs and slices with each label", caption)
    table.padding = (0, 1, 0, 0)
    table.add_column("label", overflow="fold")
    for column in (*FOLDS, "overall"):
        table.add_column(column, justify="right", no_wrap=True)
    found = report.label_table
    wrong = {(one.task, one.label, one.fold) for one in compare_with_published(found)}
    for task in TASKS:
        table.add_section()
        table.add_row(Text(task, "bold"))
        for label in labels(task):
            cells: list[Cell] = [(task, label, fold) for fold in FOLDS]
            row = [_label_cell(found.cells[c], TABLE_3.cells[c], wrong=c in wrong) for c in cells]
            overall = found.overall(task, label), TABLE_3.overall(task, label)
            row.append(_label_cell(*overall, wrong=not wrong.isdisjoint(cells)))
            table.add_row(display_name(label), *row)
    return table


def _scope(report: Report) -> Iterator[str]:
    yield (
        f"{report.cases_present} of the {_number(report.cases_in_table, 'case')} of the case table "
        f"{'has' if report.cases_present == 1 else 'have'} a folder, "
        f"{report.cases_checked} of these checked."
    )
    without = report.without_body_parts
    if without:
        more = ", ..." if len(without) > MAX_NAMED else ""
        yield (
            f"{_number(len(without), 'case')} without a body parts map, which is no error: "
            f"{', '.join(without[:MAX_NAMED])}{more}."
        )
    if report.compared:
        for task in TASKS:
            counted, published = report.label_table.all_cases(task), TABLE_3.all_cases(task)
            how = "count by count" if counted == published else "as a subset"
            yield f"Table 3, {task}: {counted} of {published} cases, compared {how}."


def _table(title: str, caption: str | None = None) -> Table:
    return Table(
        title=title, title_justify="left", box=box.SIMPLE, caption=caption, caption_justify="left"
    )


def _label_cell(found: Presence, published: Presence, *, wrong: bool) -> Text:
    text = f"{found.cts}/{published.cts}\n{found.slices}/{published.slices}"
    return _marked(text, wrong=wrong, style="dim" if found == published else "")


def _marked(text: str, *, wrong: bool, style: str = "") -> Text:
    return Text(f"{_MARK} {text}", "bold red") if wrong else Text(text, style)


def _rank(finding: Finding) -> tuple[int, int]:
    severities: tuple[Severity, ...] = get_args(Severity)
    checks: tuple[Check, ...] = get_args(Check)
    return severities.index(finding.severity), checks.index(finding.check)


def _kind(finding: Finding) -> tuple[Severity, Check]:
    return finding.severity, finding.check


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
