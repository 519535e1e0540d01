"""The dataset card: ``dataset_card.md`` filled in from the rows that are published."""

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

from ..cases.licenses import PHANTOM_COLLECTION, SOURCE_DOI
from ..labels import TASKS, display_name, labels

_TEMPLATE = Path(__file__).with_name("dataset_card.md")
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
_PHANTOM_METADATA = {
    "pretty_name": "Phantoms in SAROS's format",
    "annotations_creators": ["machine-generated"],
    "source_datasets": ["original"],
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_ROWS = {
    "masks": "a case: its label maps, without the CT",
    "volumes": "a case: CT and label maps",
    "slices": "an annotated axial slice of a CT",
}


@dataclass(frozen=True)
class PublishedConfig:
    """A configuration of the published dataset.

    Attributes:
        name: ``masks``, ``volumes``, ``slices``, ``volumes-nc`` or ``slices-nc``.
        info: Features and split sizes.
        rows: Columns without pixels, by split.
        size_bytes: Size of all shards.
    """

    name: str
    info: datasets.DatasetInfo
    rows: Mapping[str, pa.Table]
    size_bytes: int

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
        """Names of the splits that have rows."""
        return [name for name in ("train", "validation", "test") if name in self.rows]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column in all splits."""
        return [value for table in self.rows.values() for value in table[name].to_pylist()]


def dataset_card(
    configs: Sequence[PublishedConfig], *, repo_id: str, table_name: str | None = None
) -> DatasetCard:
    """Return the card with configurations, splits and features in its YAML.

    Args:
        configs: Published configurations, the default one first.
        repo_id: ``user/name``.
        table_name: File name of the case table, ``None`` if it is not published.
    """
    front, _, body = _TEMPLATE.read_text(encoding="utf-8").partition("\n---\n")
    data = DatasetCard(f"{front}\n---\n").data
    _add_metadata(data, configs)
    counted = max(configs, key=lambda config: len(config.case_ids))
    names = [config.name for config in configs]
    sources = _source_rows(configs)
    synthetic = [one["collection"] for one in sources] == [PHANTOM_COLLECTION]
    if synthetic:
        for key, value in _PHANTOM_METADATA.items():
            data[key] = value
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, undefined=StrictUndefined
    )
    text = environment.from_string(body).render(
        title=data["pretty_name"],
        synthetic=synthetic,
        repo=repo_id,
        shown=list(dict.fromkeys([names[0], "slices" if "slices" in names else names[-1]])),
        configs=[_config_row(config) for config in configs],
        absent=_absent_cts(configs),
        has_table=table_name,
        has_cts=any(config.has_cts for config in configs),
        labels=_label_rows(counted),
        counted=counted.name,
        sources=sources,
    )
    return DatasetCard(f"---\n{data}\n---\n{text}")


def _add_metadata(data: Any, configs: Sequence[PublishedConfig]) -> None:  # noqa: ANN401 - card data
    """Add the YAML that depends on the configurations."""
    licenses = {one for config in configs if config.has_cts for one in config.column("license")}
    if licenses <= {"CC BY 4.0", "synthetic"}:
        # The label maps are CC BY 4.0 too: one licence for the whole repository.
        data.license, data.license_name, data.license_link = "cc-by-4.0", None, None
    most = max(sum(table.num_rows for table in config.rows.values()) for config in configs)
    data.size_categories = [next((name for n, name in _SIZES if most < n), "1M<n<10M")]
    if any(config.name.endswith("-nc") for config in configs):
        for key, value in _GATE.items():
            data[key] = value
    data["configs"] = [
        {
            "config_name": config.name,
            "data_files": [
                {"split": split, "path": f"{config.name}/{split}-*"} for split in config.splits
            ],
        }
        | ({"default": True} if config is configs[0] else {})
        for config in configs
    ]
    DatasetInfosDict({config.name: _info(config) for config in configs}).to_dataset_card_data(data)


def _info(config: PublishedConfig) -> datasets.DatasetInfo:
    """Return features and sizes alone; citation and description are in the card's text."""
    splits = datasets.SplitDict()
    for name in config.splits:
        one = config.info.splits[name]
        splits.add(datasets.SplitInfo(name, one.num_bytes, one.num_examples))
    return datasets.DatasetInfo(
        features=config.info.features,
        splits=splits,
        config_name=config.name,
        download_size=config.size_bytes,
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )


def _config_row(config: PublishedConfig) -> dict[str, Any]:
    splits = [
        {
            "name": name,
            "cases": len(pc.unique(config.rows[name]["case_id"])),
            "rows": config.rows[name].num_rows,
            "annotated_slices": _annotated_slices(config.rows[name]),
        }
        for name in config.splits
    ]
    licenses = ", ".join(sorted(set(config.column("license"))))
    return {
        "name": config.name,
        "row": _ROWS[config.name.removesuffix("-nc")],
        "cases": len(config.case_ids),
        "rows": sum(split["rows"] for split in splits),
        "size": _size_text(config.size_bytes),
        "licenses": licenses if config.has_cts else "no pixels",
        "splits": splits,
    }


def _absent_cts(configs: Iterable[PublishedConfig]) -> list[tuple[str, int]]:
    """Return licence and number of the cases whose CT is in no configuration."""
    absent = _cases(configs) - _cases(config for config in configs if config.has_cts)
    return sorted(Counter(license_ for _, _, license_ in absent).items())


def _label_rows(config: PublishedConfig) -> list[dict[str, Any]]:
    """Return a row per label id: its names, and the number of cases that have it."""
    rows: list[dict[str, Any]] = [
        {"id": label} for label in range(max(len(labels(task)) for task in TASKS))
    ]
    for task, name in zip(TASKS, ("region", "part"), strict=True):
        present = zip(config.column("case_id"), config.column(f"{name}_labels"), strict=True)
        pairs = {(case, label) for case, found in present for label in found}
        cases = Counter(label for _, label in pairs)
        for label, row in enumerate(rows):
            known = label < len(labels(task))
            row[name] = display_name(labels(task)[label]) if known else ""
            row[f"{name}_cases"] = cases[label] if known else ""
    return rows


def _source_rows(configs: Sequence[PublishedConfig]) -> list[dict[str, Any]]:
    """Return a row per collection: licence, numbers of label maps and CTs, DOI."""
    cases = _cases(configs)
    maps = Counter(collection for _, collection, _ in cases)
    with_cts = _cases(one for one in configs if one.has_cts)
    cts = Counter(collection for _, collection, _ in with_cts)
    licenses = {collection: license_ for _, collection, license_ in cases}
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


def _cases(configs: Iterable[PublishedConfig]) -> set[tuple[str, str, str]]:
    """Return id, collection and licence of every case."""
    columns = ("case_id", "collection", "license")
    return {
        row
        for config in configs
        for row in zip(*(config.column(name) for name in columns), strict=True)
    }


def _annotated_slices(rows: pa.Table) -> int:
    if "annotated_slices" not in rows.column_names:
        return int(rows.num_rows)
    return int(pc.sum(pc.list_value_length(rows["annotated_slices"])).as_py() or 0)


def _size_text(size_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} B"
