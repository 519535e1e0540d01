"""Tables of the dataset card, counted in the rows that are published."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from ..labels import TASKS, Task, display_name, labels
from .attribution import SOURCE_DOI

_ROWS = {
    "masks": "a case: its label maps, without the CT",
    "volumes": "a case: CT and label maps",
    "slices": "an annotated axial slice of a CT",
}


@dataclass(frozen=True)
class PublishedConfig:
    """A configuration as its shards are.

    Attributes:
        name: ``masks``, ``volumes``, ``slices``, ``volumes-nc`` or ``slices-nc``.
        info: Features and sizes.
        rows: Of each split, the columns without pixels, see :mod:`saros_hf.publish.shards`.
        size_bytes: Of the shards of each split.
    """

    name: str
    info: datasets.DatasetInfo
    rows: Mapping[str, pa.Table]
    size_bytes: Mapping[str, int]

    @property
    def case_ids(self) -> set[str]:
        """Cases of all splits."""
        return set(self.column("case_id"))

    @property
    def has_cts(self) -> bool:
        """Whether its rows have pixels of CTs."""
        return self.name != "masks"

    @property
    def splits(self) -> list[str]:
        """Splits that have rows, in their order."""
        return [name for name in ("train", "validation", "test") if name in self.rows]

    def column(self, name: str) -> list[Any]:
        """Return what all rows of all splits have in a column."""
        return [value for table in self.rows.values() for value in table[name].to_pylist()]


def config_row(config: PublishedConfig) -> dict[str, Any]:
    """Return what the card tells of a configuration and its splits."""
    splits = [
        {
            "name": name,
            "cases": len(pc.unique(config.rows[name]["case_id"])),
            "rows": config.rows[name].num_rows,
            "annotated_slices": _annotated(config.rows[name]),
        }
        for name in config.splits
    ]
    licenses = ", ".join(sorted(set(config.column("license"))))
    return {
        "name": config.name,
        "row": _ROWS[config.name.removesuffix("-nc")],
        "cases": len(config.case_ids),
        "rows": sum(split["rows"] for split in splits),
        "size": _in_words(sum(config.size_bytes.values())),
        "licenses": licenses if config.has_cts else "no pixels",
        "splits": splits,
    }


def absent_cts(configs: Iterable[PublishedConfig]) -> list[tuple[str, int]]:
    """Return licence and number of the cases whose CT is in no configuration."""
    every = _members(configs)
    here = _members(config for config in configs if config.has_cts)
    return sorted(Counter(license_ for _, _, license_ in every - here).items())


def label_rows(config: PublishedConfig) -> list[dict[str, Any]]:
    """Return a line per label id: its names, and in how many cases it occurs."""
    found: dict[Task, Counter[int]] = {}
    for task, column in zip(TASKS, ("region_labels", "part_labels"), strict=True):
        rows = zip(config.column("case_id"), config.column(column), strict=True)
        pairs = {(case, label) for case, present in rows for label in present}
        found[task] = Counter(label for _, label in pairs)
    lines = []
    for label in range(max(len(labels(task)) for task in TASKS)):
        line: dict[str, Any] = {"id": label}
        for task, name in zip(TASKS, ("region", "part"), strict=True):
            known = label < len(labels(task))
            line[name] = display_name(labels(task)[label]) if known else ""
            line[f"{name}_cases"] = found[task][label] if known else ""
        lines.append(line)
    return lines


def source_rows(configs: Sequence[PublishedConfig]) -> list[dict[str, Any]]:
    """Return a line per collection: label maps derive from its CTs, which may be here or not."""
    maps = Counter(collection for _, collection, _ in _members(configs))
    cts = Counter(
        collection for _, collection, _ in _members(one for one in configs if one.has_cts)
    )
    licenses = {collection: license_ for _, collection, license_ in _members(configs)}
    return [
        {
            "collection": collection,
            "license": licenses[collection],
            "cases": maps[collection],
            "cts": cts[collection],
            "doi": SOURCE_DOI.get(collection),
        }
        for collection in sorted(maps)
    ]


def pixel_licenses(configs: Iterable[PublishedConfig]) -> set[str]:
    """Return the licences of all CTs that are here."""
    return {one for config in configs if config.has_cts for one in config.column("license")}


def _members(configs: Iterable[PublishedConfig]) -> set[tuple[str, str, str]]:
    """Return id, collection and licence of every case."""
    return {
        row
        for config in configs
        for row in zip(
            config.column("case_id"),
            config.column("collection"),
            config.column("license"),
            strict=True,
        )
    }


def _annotated(rows: pa.Table) -> int:
    if "annotated_slices" not in rows.column_names:
        return int(rows.num_rows)
    return int(pc.sum(pc.list_value_length(rows["annotated_slices"])).as_py() or 0)


def _in_words(size_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} B"
