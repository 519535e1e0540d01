from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from helpers.case_folders import case

from saros_hf.acquire.plan import Plan, PlanRow, Selection, case_ids, make_plan, plan_rows
from saros_hf.archive.idc_index import find_public
from saros_hf.archive.series import RemoteSeries
from saros_hf.cases.case import Case
from saros_hf.cases.licenses import License
from saros_hf.cases.table import read_case_table
from saros_hf.errors import UsageError

TABLE = (
    case("case_000", "fold-1"),
    replace(case("case_001", "fold-2"), collection="NSCLC-Radiomics"),
    replace(case("case_002", "test"), collection="HNSCC"),
    case("case_003", "fold-3"),
)


def some_public(uids: Iterable[str]) -> dict[str, RemoteSeries]:
    """Everything but case_002, whose series is 1.2.3.3."""
    license_: dict[str, License] = {"1.2.3.2": "CC BY-NC 3.0"}
    return {
        uid: RemoteSeries(uid, 10, 1000, license_.get(uid, "CC BY 3.0"), "s3://bucket/u/")
        for uid in uids
        if uid != "1.2.3.3"
    }


def ids(cases: Iterable[Case]) -> list[str]:
    return [case.case_id for case in cases]


def plan(**selection: object) -> Plan:
    return make_plan(TABLE, Selection(**selection), some_public)  # type: ignore[arg-type]


def test_everything_in_table_order() -> None:
    whole = plan()
    assert ids(whole.public) == ["case_000", "case_001", "case_003"]
    assert ids(whole.withheld) == ["case_002"]
    assert whole.size_bytes == 3000
    assert plan_rows(whole) == [
        PlanRow("C4KC-KiTS", "CC BY 3.0", True, 2, 2000),
        PlanRow("NSCLC-Radiomics", "CC BY-NC 3.0", True, 1, 1000),
        PlanRow("HNSCC", "NIH controlled access", False, 1, 0),
    ]


def test_selections_are_combined() -> None:
    assert ids(plan(splits=("train",)).public) == ["case_001", "case_003"]
    assert ids(plan(splits=("validation", "fold-3")).public) == ["case_000", "case_003"]
    assert ids(plan(collections=("C4KC-KiTS",), splits=("train",)).public) == ["case_003"]
    assert ids(plan(license="cc-by").public) == ["case_000", "case_003"]
    assert plan(license="nc").withheld == ()
    limited = plan(limit=2)
    assert ids(limited.public) == ["case_000", "case_001"]
    assert limited.size_bytes == 2000


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"case_ids": ("case_900",)}, "--cases: found 'case_900'"),
        ({"collections": ("C4KC-KITS",)}, "expected for example C4KC-KiTS"),
        ({"splits": ("fold_1",)}, "expected for example fold-1"),
        ({"collections": ("HNSCC",), "splits": ("train",)}, "no case left"),
        ({"limit": 0}, "no case left"),
    ],
)
def test_invalid_selection_is_refused(selection: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(**selection)


def test_case_names() -> None:
    assert case_ids(["case_003", "17", "8-10,899"]) == (
        "case_003",
        "case_017",
        "case_008",
        "case_009",
        "case_010",
        "case_899",
    )
    with pytest.raises(UsageError, match="found 'fold-1', expected case_000, 17 or 600-649"):
        case_ids(["fold-1"])


def test_published_cases(real_data: Path) -> None:
    archive = real_data / "archive"
    table = read_case_table(archive / "segmentation-info-reconstructed.csv")
    index = partial(find_public, index=archive / "idc-v25-saros-public-series.parquet")
    whole = make_plan(table, Selection(), index)
    assert (len(whole.public), len(whole.withheld)) == (726, 174)
    assert round(whole.size_bytes / 1e9, 1) == 72.9
    rows = plan_rows(whole)
    assert sum(row.cases for row in rows if row.license == "NIH controlled access") == 174
    assert PlanRow("QIN-HEADNECK", "NIH controlled access", False, 94, 0) in rows
    # The licence in the index is that of the collection in the case table.
    assert all(whole.series[one.case_id].license == one.license for one in whole.public)
    assert len(make_plan(table, Selection(license="cc-by"), index).public) == 650
    assert len(make_plan(table, Selection(splits=("test",)), index).public) == 120
