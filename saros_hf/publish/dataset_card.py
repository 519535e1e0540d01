"""The dataset card: counted from the rows that are published, told by ``dataset_card.md``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard
from jinja2 import Environment, StrictUndefined

from ..cases.licenses import PHANTOM_COLLECTION
from .card_tables import (
    PublishedConfig,
    absent_cts,
    config_row,
    label_rows,
    pixel_licenses,
    source_rows,
)

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
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
_MORE = "1M<n<10M"


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
    sources = source_rows(configs)
    synthetic = [one["collection"] for one in sources] == [PHANTOM_COLLECTION]
    if synthetic:
        data["pretty_name"] = "Phantoms in SAROS's format"
        data["annotations_creators"] = ["machine-generated"]
        data["source_datasets"] = ["original"]
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, undefined=StrictUndefined
    )
    text = environment.from_string(body).render(
        title=data["pretty_name"],
        synthetic=synthetic,
        repo=repo_id,
        shown=list(dict.fromkeys([names[0], "slices" if "slices" in names else names[-1]])),
        configs=[config_row(config) for config in configs],
        absent=absent_cts(configs),
        has_table=table_name,
        has_cts=any(config.has_cts for config in configs),
        labels=label_rows(counted),
        counted=counted.name,
        sources=sources,
    )
    return DatasetCard(f"---\n{data}\n---\n{text}")


def _describe(data: Any, configs: Sequence[PublishedConfig]) -> None:  # noqa: ANN401 - card data
    """Add to a card's YAML what depends on the configurations."""
    if pixel_licenses(configs) <= {"CC BY 4.0", "synthetic"}:
        # One licence for all that is here, and no need to name it otherwise.
        data.license, data.license_name, data.license_link = "cc-by-4.0", None, None
    most = max(sum(table.num_rows for table in config.rows.values()) for config in configs)
    data.size_categories = [next((name for n, name in _SIZES if most < n), _MORE)]
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
    return [{"split": split, "path": f"{config.name}/{split}-*"} for split in config.splits]


def _told_info(config: PublishedConfig) -> datasets.DatasetInfo:
    """Return features and sizes alone: the rest of the card is text."""
    splits = datasets.SplitDict()
    for name in config.splits:
        one = config.info.splits[name]
        splits.add(datasets.SplitInfo(name, one.num_bytes, one.num_examples))
    return datasets.DatasetInfo(
        features=config.info.features,
        splits=splits,
        config_name=config.name,
        download_size=sum(config.size_bytes.values()),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )
