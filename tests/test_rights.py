"""Which CTs may be published: both witnesses must say so."""

from dataclasses import replace

from case_folders import case
from hypothesis import given
from hypothesis import strategies as st

from saros_hf.cases import Case, License
from saros_hf.paper_tables import TABLE_1
from saros_hf.rights import rights

PUBLIC: dict[str, License] = {
    "1.2.3.1": "CC BY 3.0",
    "1.2.3.2": "CC BY 4.0",
    "1.2.3.3": "CC BY-NC 3.0",
}


def of(number: int, collection: str, uid: str | None = None) -> Case:
    row = replace(case(f"case_{number:03d}"), collection=collection)
    return row if uid is None else replace(row, series_instance_uid=uid)


def test_each_licence_goes_to_its_own_part() -> None:
    cases = [
        of(0, "C4KC-KiTS"),
        of(1, "CPTAC-PDA"),
        of(2, "NSCLC-Radiomics"),
        of(3, "HNSCC"),
        of(4, "SYNTHETIC-PHANTOM", "2.25.17"),
        of(5, "My-Hospital"),
    ]
    found = rights(cases, PUBLIC)
    assert found.allowed == {
        "cc-by": {"case_000": "1.2.3.1", "case_001": "1.2.3.2", "case_004": "2.25.17"},
        "cc-by-nc": {"case_002": "1.2.3.3"},
    }
    assert found.withheld == {
        "case_003": "HNSCC: NIH controlled access",
        "case_005": "My-Hospital: unknown",
    }


def test_a_collection_in_the_table_is_not_believed() -> None:
    renamed = [
        of(3, "C4KC-KiTS"),  # a series that the archive does not hand out
        of(4, "SYNTHETIC-PHANTOM"),  # nor one of a phantom
        of(2, "LIDC-IDRI"),  # non-commercial in truth
    ]
    found = rights(renamed, PUBLIC)
    assert not any(found.allowed.values())
    assert found.withheld == {
        "case_003": "the archive does not hand out series 1.2.3.4",
        "case_004": "said to be synthetic, but series 1.2.3.5 is none of a phantom",
        "case_002": "CC BY 3.0 by its collection, CC BY-NC 3.0 by the archive",
    }


def test_two_cases_that_claim_one_series_are_both_withheld() -> None:
    found = rights([of(0, "C4KC-KiTS"), of(7, "C4KC-KiTS", "1.2.3.1")], PUBLIC)
    assert set(found.withheld) == {"case_000", "case_007"}


def test_a_collection_has_no_more_cts_than_the_paper_says() -> None:
    most = sum(TABLE_1["TCGA-LUAD"])
    cases = [of(n, "TCGA-LUAD", f"9.{n}") for n in range(most + 1)]
    listed: dict[str, License] = {one.series_instance_uid: "CC BY 3.0" for one in cases}
    assert len(rights(cases[:most], listed).allowed["cc-by"]) == most
    assert not rights(cases, listed).allowed["cc-by"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TABLE_1, "SYNTHETIC-PHANTOM", "Other"]),
            st.sampled_from([*PUBLIC, "1.2.3.4", "2.25.1"]),
        ),
        max_size=6,
    )
)
def test_what_is_allowed_has_the_archives_licence(rows: list[tuple[str, str]]) -> None:
    cases = [of(n, collection, uid) for n, (collection, uid) in enumerate(rows)]
    found = rights(cases, PUBLIC)
    by_id = {one.case_id: one for one in cases}
    for part, members in found.allowed.items():
        for case_id, uid in members.items():
            license_ = by_id[case_id].license
            assert license_ in (PUBLIC.get(uid), "synthetic")
            assert (license_ == "CC BY-NC 3.0") == (part == "cc-by-nc")
    told = [*found.withheld, *(one for members in found.allowed.values() for one in members)]
    assert sorted(told) == sorted(by_id)
