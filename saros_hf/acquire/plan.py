"""Cases to fetch, their size, and cases under controlled access."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..archive.series import RemoteSeries
from ..cases.case import Case
from ..cases.licenses import LICENSES, License
from ..errors import UsageError
from ..folds import FOLDS, split_of

if TYPE_CHECKING:
    from rich.table import Table

LicenseChoice: TypeAlias = Literal["cc-by", "nc", "all"]

_LICENSES: dict[LicenseChoice, tuple[License, ...]] = {
    "cc-by": LICENSES["cc-by"],
    "nc": (*LICENSES["cc-by"], *LICENSES["cc-by-nc"]),
    "all": get_args(License),
}
_CASE_NAME = re.compile(r"(?:case_)?(?P<first>\d{1,6})(?:-(?:case_)?(?P<last>\d{1,6}))?")
_SPLITS = ("train", "validation", "test", *FOLDS)
_GB = 1e9

HOW_TO_APPLY = (
    "Controlled access (NIH NOT-OD-25-083): apply for dbGaP study phs004225, fetch the series with "
    "the NCI General Commons or TCIA's Data Retriever, then: saros convert DICOM_DIR DIR"
)


@dataclass(frozen=True)
class Selection:
    """Cases selected by the user; an empty tuple means all.

    Attributes:
        case_ids: ``case_000`` and so on.
        collections: Names as in the case table.
        splits: The paper's ``train``, ``validation``, ``test``, or folds.
        license: ``cc-by`` is CC BY only, ``nc`` adds CC BY-NC, ``all`` adds controlled access.
        limit: Maximum number of public cases.
    """

    case_ids: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    license: LicenseChoice = "all"
    limit: int | None = None


@dataclass(frozen=True)
class Plan:
    """The selected cases in table order.

    Attributes:
        public: Cases that the archives provide.
        withheld: Cases that they do not.
        series: Series of each public case, by case id.
    """

    public: tuple[Case, ...]
    withheld: tuple[Case, ...]
    series: Mapping[str, RemoteSeries]

    @property
    def size_bytes(self) -> int:
        """Bytes of DICOM of all public cases."""
        return sum(self.series[case.case_id].size_bytes for case in self.public)


@dataclass(frozen=True)
class PlanRow:
    """Cases of one collection under one licence; ``size_bytes`` is 0 if they are not public."""

    collection: str
    license: License
    public: bool
    cases: int
    size_bytes: int


def case_ids(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``case_000`` and so on for ``case_000``, ``17`` or ``600-649``, also with commas.

    Raises:
        UsageError: A name is none of these.
    """
    ids: list[str] = []
    for name in ",".join(names).split(",") if names else ():
        match = _CASE_NAME.fullmatch(name.strip())
        if match is None:
            raise UsageError("--cases", repr(name), "case_000, 17 or 600-649")
        first = int(match["first"])
        ids += [f"case_{number:03d}" for number in range(first, int(match["last"] or first) + 1)]
    return tuple(ids)


def make_plan(
    table: Sequence[Case],
    selection: Selection,
    find_public: Callable[[Iterable[str]], Mapping[str, RemoteSeries]],
) -> Plan:
    """Return the cases of ``table`` that match ``selection``.

    Args:
        table: All rows of the case table.
        selection: Cases selected by the user.
        find_public: Returns the public ones among some SeriesInstanceUIDs.

    Raises:
        UsageError: A case, collection or split does not exist, or no case is left.
    """
    _refuse_unknown("--cases", selection.case_ids, [case.case_id for case in table])
    _refuse_unknown("--collections", selection.collections, [case.collection for case in table])
    _refuse_unknown("--split", selection.splits, _SPLITS)
    selected = [case for case in table if _matches(case, selection)]
    if not selected or (selection.limit is not None and selection.limit < 1):
        found = "no case left by --cases, --collections, --split, --license and --limit"
        raise UsageError("saros download", found, "at least one")
    found_public = find_public(case.series_instance_uid for case in selected)
    public = [case for case in selected if case.series_instance_uid in found_public]
    public = public[: selection.limit]
    return Plan(
        public=tuple(public),
        withheld=tuple(case for case in selected if case.series_instance_uid not in found_public),
        series={case.case_id: found_public[case.series_instance_uid] for case in public},
    )


def plan_rows(plan: Plan) -> list[PlanRow]:
    """Return the plan by collection, withheld cases last."""
    rows: dict[tuple[bool, str, License], PlanRow] = {}
    for case in (*plan.public, *plan.withheld):
        series = plan.series.get(case.case_id)
        license_ = series.license if series else case.license
        size_bytes = series.size_bytes if series else 0
        key = (series is None, case.collection, license_)
        row = rows.get(key, PlanRow(case.collection, license_, series is not None, 0, 0))
        rows[key] = replace(row, cases=row.cases + 1, size_bytes=row.size_bytes + size_bytes)
    return [rows[key] for key in sorted(rows)]


def plan_table(plan: Plan) -> "Table":
    """Return a table of the plan by collection and licence, with the number of withheld cases."""
    from rich.table import Table

    table = Table("collection", "licence", title="CTs to fetch", title_justify="left")
    table.add_column("cases", justify="right")
    table.add_column("GB", justify="right")
    table.add_column("access")
    for row in plan_rows(plan):
        access = "public"
        if not row.public:
            controlled = row.license == "NIH controlled access"
            access = "controlled" if controlled else "not in this index"
        size = f"{row.size_bytes / _GB:.1f}" if row.public else "-"
        table.add_row(row.collection, row.license, str(row.cases), size, access)
    table.add_section()
    size = f"{plan.size_bytes / _GB:.1f}"
    table.add_row("public", "", str(len(plan.public)), size, "", style="bold")
    if plan.withheld:
        table.add_row("controlled access", "", str(len(plan.withheld)), "-", "", style="bold")
        table.caption = HOW_TO_APPLY
        table.caption_justify = "left"
    return table


def _matches(case: Case, selection: Selection) -> bool:
    return (
        case.case_id in (selection.case_ids or (case.case_id,))
        and case.collection in (selection.collections or (case.collection,))
        and bool({case.fold, split_of(case.fold)} & set(selection.splits or (case.fold,)))
        and case.license in _LICENSES[selection.license]
    )


def _refuse_unknown(option: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            close = get_close_matches(name, dict.fromkeys(known), n=3, cutoff=0.5)
            examples = ", ".join(close or list(dict.fromkeys(known))[:3])
            found = f"{name!r}, which the case table does not have"
            raise UsageError(option, found, f"for example {examples}")
