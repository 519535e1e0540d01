from dataclasses import replace

import pytest
from helpers.case_folders import case, published_cases
from hypothesis import given
from hypothesis import strategies as st

from saros_hf.cases.licenses import PHANTOM_COLLECTION
from saros_hf.check.compare_with_paper import (
    compare_with_published,
    count_collections,
    why_not_compared,
)
from saros_hf.check.label_counts import LabelCounts, LabelTable, Presence, label_table
from saros_hf.check.paper_tables import TABLE_3
from saros_hf.folds import FOLDS, Fold
from saros_hf.labels import BodyPart, Task

Cohort = list[tuple[Fold, LabelCounts]]


def counts(task: Task) -> st.SearchStrategy[LabelCounts]:
    size = 14 if task == "body-regions" else 7
    slices = st.tuples(*[st.integers(0, 3)] * size)
    return slices.map(lambda numbers: LabelCounts(task, numbers))


one_map = st.tuples(
    st.sampled_from(FOLDS[:2]), st.one_of(counts("body-regions"), counts("body-parts"))
)


@given(st.lists(st.tuples(one_map, st.booleans()), max_size=12))
def test_subsets_never_differ_from_the_table_of_the_whole_cohort(
    cohort: list[tuple[tuple[Fold, LabelCounts], bool]],
) -> None:
    published = label_table(member for member, _ in cohort)
    kept = label_table(member for member, there in cohort if there)
    assert compare_with_published(kept, published) == ()
    assert compare_with_published(published, published) == ()


@given(st.lists(one_map, min_size=1, max_size=8), st.data())
def test_one_changed_count_is_found_in_a_whole_cohort(cohort: Cohort, data: st.DataObject) -> None:
    published = label_table(cohort)
    index = data.draw(st.integers(0, len(cohort) - 1))
    fold, old = cohort[index]
    label = data.draw(st.integers(0, len(old.slices) - 1))
    slices = [*old.slices]
    slices[label] += data.draw(st.sampled_from([-1, 1] if slices[label] else [1]))
    cohort[index] = fold, LabelCounts(old.task, tuple(slices))
    (difference,) = compare_with_published(label_table(cohort), published)
    assert (difference.task, difference.label, difference.fold) == (old.task, label, fold)


def parts(*arms: int) -> LabelTable:
    """Return the table of cases that show a torso on 5 slices and left arms on these."""
    return label_table(("test", LabelCounts("body-parts", (5, 5, 0, 0, 0, 0, n))) for n in arms)


@pytest.mark.parametrize(
    ("there", "possible"),
    [
        (parts(2, 3, 0), True),  # the whole
        (parts(2, 3), True),  # without the case that has no arm
        (parts(0, 3), True),
        (parts(2, 4), False),  # one slice too many, and nobody else to have fewer
        (parts(2, 2), False),  # both CTs are there, but a slice is missing
        (parts(0, 5), False),  # leaves a CT without a slice
        (parts(0, 0), False),  # one absent case cannot have two CTs' arms
        (parts(1, 1, 1), False),  # three CTs of two
    ],
)
def test_possible_counts_of_a_subset(there: LabelTable, possible: bool) -> None:
    found = compare_with_published(there, published=parts(2, 3, 0))
    assert (BodyPart.ARM_LEFT not in [one.label for one in found]) == possible


def test_differences_show_both_numbers() -> None:
    (whole,) = compare_with_published(parts(2, 4, 0), parts(2, 3, 0))
    assert str(whole) == "test Arm Left: 2 CTs / 6 slices, published 2 / 5"
    (subset,) = compare_with_published(parts(2, 4), parts(2, 3, 0))
    assert str(subset) == "test Arm Left: 2 CTs / 6 slices in 2 of 3 cases, published 2 / 5"
    background = compare_with_published(label_table([]), TABLE_3)
    assert background == ()
    altered = dict(TABLE_3.cells)
    altered["body-parts", BodyPart.BACKGROUND, "fold-1"] = Presence(150, 3361)
    (difference,) = compare_with_published(LabelTable(altered, TABLE_3.cases))
    assert str(difference).startswith("fold-1 Background of body-parts: 150 CTs / 3361 slices, pub")


def test_published_case_table_has_the_published_collections() -> None:
    entries = count_collections(published_cases(), {"case_000", "case_001"})
    assert all(entry.in_table == entry.published for entry in entries)
    assert sum(entry.published for entry in entries) == 900
    assert sum(entry.present for entry in entries) == 2


def test_changed_collection_differs_in_both_rows() -> None:
    rows = published_cases()
    kits = next(n for n, row in enumerate(rows) if row.collection == "C4KC-KiTS")
    rows[kits] = replace(rows[kits], collection="Other")
    differing = [one for one in count_collections(rows) if one.in_table != one.published]
    assert [str(one) for one in differing] == [
        "C4KC-KiTS abdomen: 174 in the case table, published 175",
        "Other abdomen: 1 in the case table, published 0",
    ]
    assert why_not_compared(rows) == ""


def test_cases_outside_the_paper_are_not_compared() -> None:
    row = case("case_000")
    assert why_not_compared([row]) == ""
    assert "synthetic" in why_not_compared([replace(row, collection=PHANTOM_COLLECTION)] * 900)
    assert why_not_compared([row, replace(row, collection="Ours")]) == (
        "the paper has no collection Ours"
    )
