"""Compare a set of cases with the paper's Tables 1 and 3."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import get_args

from ..cases.case import AnatomicRegion, Case
from ..cases.licenses import PHANTOM_COLLECTION
from ..folds import Fold
from ..labels import Label, Task, display_name
from .label_counts import LabelTable, Presence
from .paper_tables import NUM_CASES, TABLE_1, TABLE_3


@dataclass(frozen=True)
class LabelDifference:
    """An entry of Table 3 that the published label maps cannot produce.

    Attributes:
        task: Label map.
        label: Label of the row.
        fold: Fold of the column.
        found: CTs and slices counted.
        published: CTs and slices in the paper.
        counted: Number of label maps of the fold that were counted.
        published_cases: Number of label maps of the fold that the paper counts.
    """

    task: Task
    label: Label
    fold: Fold
    found: Presence
    published: Presence
    counted: int
    published_cases: int

    def __str__(self) -> str:
        where = f"{self.fold} {display_name(self.label)}"
        if self.label == 0:  # both label maps have a row of this name
            where += f" of {self.task}"
        found = f"{self.found.cts} CTs / {self.found.slices} slices"
        if self.counted < self.published_cases:
            found += f" in {self.counted} of {self.published_cases} cases"
        return f"{where}: {found}, published {self.published.cts} / {self.published.slices}"


@dataclass(frozen=True)
class CollectionCount:
    """An entry of Table 1.

    Attributes:
        collection: Collection as the case table names it.
        anatomic_region: Column of Table 1.
        present: Number of cases that have a folder.
        in_table: Number of rows of the case table.
        published: Number of CTs in the paper.
    """

    collection: str
    anatomic_region: AnatomicRegion
    present: int
    in_table: int
    published: int

    def __str__(self) -> str:
        count = f"{self.in_table} in the case table, published {self.published}"
        return f"{self.collection} {self.anatomic_region}: {count}"


def compare_with_published(
    found: LabelTable, published: LabelTable = TABLE_3
) -> tuple[LabelDifference, ...]:
    """Return every entry of Table 3 that differs from the published one.

    If all cases of a fold were counted, CTs and slices must be equal. If ``m`` of them were not,
    at most ``m`` CTs can be missing; each missing CT has at least one slice of the label, and no
    slice is missing without a CT.

    Args:
        found: Counts of some or all of the published cases, in their published folds.
        published: Table to compare with.
    """
    differences = []
    for cell, expected in published.cells.items():
        task, _, fold = cell
        there, counted, in_all = (
            found.cells[cell],
            found.cases[task, fold],
            published.cases[task, fold],
        )
        if not _possible(there, expected, absent=max(0, in_all - counted)):
            differences.append(LabelDifference(*cell, there, expected, counted, in_all))
    return tuple(differences)


def _possible(found: Presence, published: Presence, *, absent: int) -> bool:
    cts = published.cts - found.cts
    slices = published.slices - found.slices
    return 0 <= cts <= absent and (slices >= cts if cts else slices == 0)


def count_collections(
    cases: Iterable[Case], present: Collection[str] = ()
) -> tuple[CollectionCount, ...]:
    """Return Table 1 of a case table: an entry for each non-zero cell of it or of the paper.

    Args:
        cases: Rows of the case table.
        present: Ids of the cases that have a folder.
    """
    rows: Counter[tuple[str, AnatomicRegion]] = Counter()
    folders: Counter[tuple[str, AnatomicRegion]] = Counter()
    for case in cases:
        rows[case.collection, case.anatomic_region] += 1
        folders[case.collection, case.anatomic_region] += case.case_id in present
    regions: tuple[AnatomicRegion, ...] = get_args(AnatomicRegion)
    published = {
        (collection, region): number
        for collection, numbers in TABLE_1.items()
        for region, number in zip(regions, numbers, strict=True)
        if number
    }
    return tuple(
        CollectionCount(*entry, folders[entry], rows[entry], published.get(entry, 0))
        for entry in [*published, *(entry for entry in rows if entry not in published)]
    )


def why_not_compared(cases: Collection[Case]) -> str:
    """Return why the paper's tables do not cover these cases, empty if they do.

    A case table of 900 rows is always compared, unless its cases are synthetic.
    """
    collections = {case.collection for case in cases}
    if collections == {PHANTOM_COLLECTION}:
        return "synthetic phantoms, which are not in the paper"
    foreign = sorted(collections - TABLE_1.keys())
    if foreign and len(cases) != NUM_CASES:
        return f"the paper has no collection {', '.join(foreign)}"
    return ""
