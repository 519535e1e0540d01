"""What commands show at their end, as tables."""

from collections.abc import Sequence

from rich.table import Table

from .outcomes import Outcome
from .plan import HOW_TO_APPLY, Plan, plan_rows

_GB = 1e9


def plan_table(plan: Plan) -> Table:
    """Return the plan by collection, with licences, and what is withheld."""
    table = Table("collection", "licence", title="CTs to fetch", title_justify="left")
    table.add_column("cases", justify="right")
    table.add_column("GB", justify="right")
    table.add_column("access")
    for row in plan_rows(plan):
        size = f"{row.size_bytes / _GB:.1f}" if row.public else "-"
        access = "public" if row.public else _access(row.license)
        table.add_row(row.collection, row.license, str(row.cases), size, access)
    table.add_section()
    table.add_row(
        "public", "", str(len(plan.public)), f"{plan.size_bytes / _GB:.1f}", "", style="bold"
    )
    if plan.withheld:
        table.add_row("controlled access", "", str(len(plan.withheld)), "-", "", style="bold")
        table.caption = HOW_TO_APPLY
        table.caption_justify = "left"
    return table


def reasons_table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Return cases with their reasons."""
    table = Table("case", "reason", title=title, title_justify="left")
    for outcome in outcomes:
        table.add_row(outcome.case_id or outcome.series_uid or "unknown", outcome.reason)
    return table


def closing_line(outcomes: Sequence[Outcome], withheld: int = 0) -> str:
    """Return how many cases were written, kept, failed and withheld, e.g. for a log."""
    counts = [
        (sum(one.status == "written" for one in outcomes), "written"),
        (sum(one.status == "kept" for one in outcomes), "there already"),
        (sum(one.status == "failed" for one in outcomes), "failed"),
        (withheld, "under controlled access"),
    ]
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"


def _access(license_: str) -> str:
    return "controlled" if license_ == "NIH controlled access" else "not in this index"
