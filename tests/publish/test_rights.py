"""Which CTs may be published: both witnesses must say so."""

from dataclasses import replace

from helpers.case_folders import case
from hypothesis import given
from hypothesis import strategies as st

from saros_hf.cases.case import Case
from saros_hf.cases.licenses import License
from saros_hf.check.paper_tables import TABLE_1
from saros_hf.phantom import phantom_cohort
from saros_hf.publish.rights import rights

COHORT = phantom_cohort(3, seed=7)

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
    ]
    found = rights(cases, PUBLIC)
    assert found.allowed == {
        "masks": {one.case_id: one.series_instance_uid for one in cases},
        "cc-by": {"case_000": "1.2.3.1", "case_001": "1.2.3.2"},
        "cc-by-nc": {"case_002": "1.2.3.3"},
    }
    assert found.withheld == {"case_003": "HNSCC: NIH controlled access"}
    assert not found.left_out


def test_a_case_of_another_collection_is_left_out_altogether() -> None:
    found = rights([of(0, "C4KC-KiTS"), of(1, "My-Hospital")], PUBLIC)
    assert found.left_out == {"case_001": "My-Hospital: no collection of SAROS"}
    assert all("case_001" not in members for members in found.allowed.values())
    assert not found.withheld


def test_phantoms_are_all_of_a_table_or_none_of_it() -> None:
    uids = {one.case_id: one.series_instance_uid for one in COHORT}
    assert rights(COHORT, {}, COHORT).allowed["cc-by"] == uids
    assert rights(COHORT[:2], {}, COHORT).allowed["cc-by"] == dict(list(uids.items())[:2])
    renamed = replace(COHORT[0], patient_id="Doe^John")
    for table in ((renamed, *COHORT[1:]), (*COHORT, of(9, "HNSCC"))):
        found = rights(table, {}, COHORT)
        assert not found.allowed["cc-by"]
        assert set(uids) <= set(found.left_out)
    assert set(rights(COHORT, {}).left_out) == set(uids)


def test_a_collection_in_the_table_is_not_believed() -> None:
    renamed = [
        of(3, "C4KC-KiTS"),  # a series that the archive does not hand out
        of(2, "LIDC-IDRI"),  # non-commercial in truth
    ]
    found = rights(renamed, PUBLIC)
    assert not found.allowed["cc-by"]
    assert not found.allowed["cc-by-nc"]
    assert found.withheld == {
        "case_003": "the archive does not hand out series 1.2.3.4",
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
    masks, by, nc = (found.allowed[part] for part in ("masks", "cc-by", "cc-by-nc"))
    for members in (by, nc):
        for case_id, uid in members.items():
            assert by_id[case_id].license == PUBLIC.get(uid)
            assert (by_id[case_id].license == "CC BY-NC 3.0") == (members is nc)
    assert sorted([*by, *nc, *found.withheld]) == sorted(masks)
    assert sorted([*masks, *found.left_out]) == sorted(by_id)
    assert all(by_id[one].license in ("synthetic", "unknown") for one in found.left_out)
