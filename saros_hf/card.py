"""The dataset card: counted from the rows that are published, told by ``dataset_card.md``."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard
from jinja2 import Environment, StrictUndefined

from .attribution import SOURCE_DOI
from .labels import TASKS, Task, display_name, labels

_TEMPLATE = Path(__file__).with_name("dataset_card.md")
_ROWS = {
    "masks": "a case: its label maps, without the CT",
    "volumes": "a case: CT and label maps",
    "slices": "an annotated axial slice of a CT",
}
_GATE: Mapping[str, Any] = {
    "extra_gated_prompt": "The configurations volumes-nc and slices-nc hold CTs of NSCLC-Radiomics "
    "and NSCLC-Radiomics-Genomics under CC BY-NC 3.0: not for commercial use. Cite SAROS and the "
    "source collections of the CTs that you use.",
    "extra_gated_fields": {
        "Name": "text",
        "Affiliation": "text",
        "I use the CC BY-NC CTs for non-commercial purposes only": "checkbox",
        "I will not try to identify patients": "checkbox",
    },
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


@dataclass(frozen=True)
class PublishedConfig:
    """A configuration as its shards are.

    Attributes:
        name: ``masks``, ``volumes``, ``slices``, ``volumes-nc`` or ``slices-nc``.
        info: Features and sizes.
        rows: Of each split, the columns without pixels, see :mod:`saros_hf.shards`.
        size_bytes: Of the shards of each split.
    """

    name: str
    info: datasets.DatasetInfo
    rows: Mapping[str, pa.Table]
    size_bytes: Mapping[str, int]

    @property
    def case_ids(self) -> set[str]:
        """Cases of all splits."""
        return {one for table in self.rows.values() for one in table["case_id"].to_pylist()}


def dataset_card(
    configs: Sequence[PublishedConfig], *, repo_id: str, table_name: str | None = None
) -> DatasetCard:
    """Return the card with configurations, splits and features in its YAML.

    Args:
        configs: What is published, the default one first.
        repo_id: ``user/name``.
        table_name: Of the case table, if it is published.
    """
    front, _, body = _TEMPLATE.read_text(encoding="utf-8").partition("\n---\n")
    data = DatasetCard(f"{front}\n---\n").data
    _describe(data, configs)
    counted = max(configs, key=lambda config: len(config.case_ids))
    names = [config.name for config in configs]
    synthetic = all(name == "synthetic" for name in _licenses(configs))
    if synthetic:
        data["pretty_name"] = "Phantoms in SAROS's format"
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, undefined=StrictUndefined
    )
    text = environment.from_string(body).render(
        title=data["pretty_name"],
        synthetic=synthetic,
        repo=repo_id,
        shown=list(dict.fromkeys([names[0], "slices" if "slices" in names else names[-1]])),
        configs=[_config_row(config) for config in configs],
        absent=_absent(configs),
        has_table=table_name,
        labels=_label_rows(counted),
        counted=counted.name,
        sources=_sources(configs),
    )
    return DatasetCard(f"---\n{data}\n---\n{text}")


def _describe(data: Any, configs: Sequence[PublishedConfig]) -> None:  # noqa: ANN401 - card data
    """Add to a card's YAML what depends on the configurations."""
    most = max(sum(table.num_rows for table in config.rows.values()) for config in configs)
    data.size_categories = [next((name for n, name in _SIZES if most < n), "n>100K")]
    if any(config.name.endswith("-nc") for config in configs):
        for key, value in _GATE.items():
            data[key] = value
    data["configs"] = [
        {"config_name": config.name, "data_files": _data_files(config)}
        | ({"default": True} if config is configs[0] else {})
        for config in configs
    ]
    DatasetInfosDict({config.name: _told_info(config) for config in configs}).to_dataset_card_data(
        data
    )


def _data_files(config: PublishedConfig) -> list[dict[str, str]]:
    return [
        {"split": split, "path": f"{config.name}/{split}-*"} for split in _in_order(config.rows)
    ]


def _told_info(config: PublishedConfig) -> datasets.DatasetInfo:
    """Return features and sizes alone: the rest of the card is text."""
    splits = datasets.SplitDict()
    for name in _in_order(config.rows):
        one = config.info.splits[name]
        splits.add(datasets.SplitInfo(name, one.num_bytes, one.num_examples))
    return datasets.DatasetInfo(
        features=config.info.features,
        splits=splits,
        config_name=config.name,
        download_size=sum(config.size_bytes.values()),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )


def _config_row(config: PublishedConfig) -> dict[str, Any]:
    kind = config.name.removesuffix("-nc")
    licenses = sorted({one for t in config.rows.values() for one in t["license"].to_pylist()})
    splits = [
        {
            "name": name,
            "cases": len(pc.unique(config.rows[name]["case_id"])),
            "rows": config.rows[name].num_rows,
            "annotated_slices": _annotated(config.rows[name]),
        }
        for name in _in_order(config.rows)
    ]
    return {
        "name": config.name,
        "row": _ROWS[kind],
        "cases": len(config.case_ids),
        "rows": sum(split["rows"] for split in splits),
        "size": _in_words(sum(config.size_bytes.values())),
        "licenses": "no pixels" if kind == "masks" else ", ".join(licenses),
        "splits": splits,
    }


def _annotated(rows: pa.Table) -> int:
    if "annotated_slices" not in rows.column_names:
        return int(rows.num_rows)
    return int(pc.sum(pc.list_value_length(rows["annotated_slices"])).as_py() or 0)


def _absent(configs: Sequence[PublishedConfig]) -> list[tuple[str, int]]:
    """Return licence and number of the cases whose CT is in no configuration."""
    with_pixels: set[str] = set()
    for config in configs:
        with_pixels |= config.case_ids if config.name != "masks" else set()
    absent = {
        (case, license_)
        for config in configs
        for table in config.rows.values()
        for case, license_ in zip(
            table["case_id"].to_pylist(), table["license"].to_pylist(), strict=True
        )
        if case not in with_pixels
    }
    return sorted(Counter(license_ for _, license_ in absent).items())


def _label_rows(config: PublishedConfig) -> list[dict[str, Any]]:
    """Return a line per label id: its names, and in how many cases it occurs."""
    found: dict[Task, Counter[int]] = {task: Counter() for task in TASKS}
    for table in config.rows.values():
        ids = table["case_id"].to_pylist()
        for task, column in zip(TASKS, ("region_labels", "part_labels"), strict=True):
            pairs = {
                (case, label)
                for case, present in zip(ids, table[column].to_pylist(), strict=True)
                for label in present
            }
            found[task].update(label for _, label in pairs)
    rows = []
    for label in range(max(len(labels(task)) for task in TASKS)):
        row: dict[str, Any] = {"id": label}
        for task, name in zip(TASKS, ("region", "part"), strict=True):
            known = label < len(labels(task))
            row[name] = display_name(labels(task)[label]) if known else ""
            row[f"{name}_cases"] = found[task][label] if known else ""
        rows.append(row)
    return rows


def _sources(configs: Iterable[PublishedConfig]) -> list[dict[str, Any]]:
    """Return a line per collection whose CTs are published."""
    cases = {
        (row["case_id"], row["collection"], row["license"])
        for config in configs
        if config.name != "masks"
        for table in config.rows.values()
        for row in table.select(["case_id", "collection", "license"]).to_pylist()
    }
    counts = Counter((collection, license_) for _, collection, license_ in cases)
    return [
        {
            "collection": collection,
            "license": license_,
            "cases": number,
            "doi": SOURCE_DOI.get(collection),
        }
        for (collection, license_), number in sorted(counts.items())
    ]


def _licenses(configs: Iterable[PublishedConfig]) -> set[str]:
    return {
        name
        for config in configs
        for table in config.rows.values()
        for name in table["license"].to_pylist()
    }


def _in_order(rows: Mapping[str, Any]) -> list[str]:
    return [name for name in ("train", "validation", "test") if name in rows]


def _in_words(size_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} B"
