"""The dataset card of all of SAROS against the tables of the package and the paper."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import datasets
import pyarrow as pa
import pytest
from helpers.case_folders import case
from helpers.hub_rules import card_errors
from huggingface_hub import DatasetCard

from saros_hf.cases.licenses import SOURCE_DOI, License
from saros_hf.check.paper_tables import TABLE_1
from saros_hf.labels import IGNORE_INDEX, TASKS, display_name, labels
from saros_hf.load.rows import CASE_FEATURES, MASK_FEATURES, VOLUME_FEATURES
from saros_hf.publish.dataset_card import PublishedConfig, dataset_card

FEATURES = {"masks": MASK_FEATURES, "volumes": VOLUME_FEATURES, "volumes-nc": VOLUME_FEATURES}
LICENSES: dict[str, tuple[License, ...]] = {
    "volumes": ("CC BY 3.0", "CC BY 4.0"),
    "volumes-nc": ("CC BY-NC 3.0",),
}


def cohort() -> Iterator[dict[str, object]]:
    """Yield a row for each CT of the paper's Table 1, without its pixels."""
    number = 0
    for collection, counts in TABLE_1.items():
        for _ in range(sum(counts)):
            one = replace(case(f"case_{number:03d}"), collection=collection)
            yield {
                "case_id": one.case_id,
                "collection": collection,
                "license": one.license,
                "annotated_slices": [2, 7],
                "region_labels": [0, 1, 8] if number % 50 == 0 else [0, 1],
                "part_labels": [0, 1],
            }
            number += 1


def config(name: str) -> PublishedConfig:
    rows = [one for one in cohort() if name == "masks" or one["license"] in LICENSES[name]]
    parts = {"train": rows[: len(rows) // 2], "test": rows[len(rows) // 2 :]}
    splits = datasets.SplitDict()
    for split, members in parts.items():
        splits.add(datasets.SplitInfo(split, 1000 * len(members), len(members)))
    features = datasets.Features(CASE_FEATURES | FEATURES[name])
    info = datasets.DatasetInfo(features=features, splits=splits)
    tables = {split: pa.Table.from_pylist(members) for split, members in parts.items()}
    return PublishedConfig(name, info, tables, 2 * 10**6)


@pytest.fixture(scope="module")
def card() -> DatasetCard:
    configs = [config(name) for name in ("volumes", "masks", "volumes-nc")]
    return DatasetCard(str(dataset_card(configs, repo_id="user/saros", table_name="T.csv")))


def table(card: DatasetCard, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading."""
    section = card.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_metadata_is_valid_and_names_every_feature(card: DatasetCard) -> None:
    assert card_errors(str(card), "dataset") == []
    data = card.data.to_dict()
    assert data["pretty_name"] == "SAROS"
    for info in data["dataset_info"]:
        features = datasets.Features._from_yaml_list(info["features"])
        assert features == datasets.Features(CASE_FEATURES | FEATURES[info["config_name"]])
        assert info["download_size"] == 2 * 10**6
    default, *others = data["configs"]
    assert (default["config_name"], default["default"]) == ("volumes", True)
    assert not any("default" in one for one in others)
    assert default["data_files"][0] == {"split": "train", "path": "volumes/train-*"}


def test_counts_match_paper_and_archive(card: DatasetCard) -> None:
    here = table(card, "Contents")
    cases = {row[0]: row[2] for row in here if row[0] != "none"}
    assert cases == {"`volumes`": "650", "`masks`": "900", "`volumes-nc`": "76"}
    (absent,) = [row for row in here if row[0] == "none"]
    assert absent[1].startswith("CTs under NIH controlled access")
    assert absent[2] == "174"
    # Five of ten slices counted per case: 2 of 450 cases in each split of masks.
    splits = {(row[0], row[1]): row[2:] for row in table(card, "Splits")}
    assert splits["`masks`", "train"] == ["450", "450", "900"]


def test_every_collection_is_cited_by_its_doi(card: DatasetCard) -> None:
    counts: Counter[str] = Counter()
    rows = table(card, "Licences and attribution")
    assert [row[0] for row in rows] == sorted(TABLE_1)
    for collection, maps, cts, license_, cite in rows:
        assert int(maps) == sum(TABLE_1[collection])
        assert int(cts) == (0 if "access" in license_ else int(maps))
        assert f"[{SOURCE_DOI[collection]}](https://doi.org/{SOURCE_DOI[collection]})" == cite
        counts[license_] += int(maps)
    assert counts == {
        "CC BY 3.0": 593,
        "CC BY 4.0": 57,
        "CC BY-NC 3.0": 76,
        "NIH controlled access": 174,
    }


def test_label_maps_alone_are_cc_by() -> None:
    card = DatasetCard(str(dataset_card([config("masks")], repo_id="user/saros")))
    assert card_errors(str(card), "dataset") == []
    data = card.data.to_dict()
    assert data["license"] == "cc-by-4.0"
    assert not [key for key in data if key.startswith("license_")]
    rows = table(card, "Licences and attribution")
    assert [(row[0], row[2]) for row in rows] == [(name, "0") for name in sorted(TABLE_1)]
    assert all("https://doi.org/10." in row[4] for row in rows)
    assert "Changes to the CTs" not in card.text


def test_several_licences_are_other(card: DatasetCard) -> None:
    data = card.data.to_dict()
    assert data["license"] == "other"
    assert data["license_link"] == "https://doi.org/10.25737/SZ96-ZG60"


@pytest.mark.parametrize(
    ("rows", "size"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (150_000, "100K<n<1M")],
)
def test_size_category_is_one_of_the_hubs(rows: int, size: str) -> None:
    masks = config("masks")
    many = replace(masks, rows={"train": masks.rows["train"].take([0] * rows)})
    assert dataset_card([many], repo_id="user/saros").data.size_categories == [size]


def test_labels_match_the_package(card: DatasetCard) -> None:
    *rows, last = table(card, "Labels")
    for label, row in enumerate(rows):
        assert row[0] == str(label)
        for task, name in zip(TASKS, (row[1], row[3]), strict=True):
            known = labels(task)
            assert name == (display_name(known[label]) if label < len(known) else "")
    assert last[0] == str(IGNORE_INDEX)
    # Every fiftieth of 900 cases.
    assert rows[8][2] == "18"
    assert rows[1][2] == rows[1][4] == "900"


def test_only_non_commercial_cts_are_gated(card: DatasetCard) -> None:
    data = card.data.to_dict()
    assert "CC BY-NC 3.0" in data["extra_gated_prompt"]
    assert any("non-commercial" in field for field in data["extra_gated_fields"])
    free = dataset_card([config("volumes")], repo_id="user/saros").data.to_dict()
    assert not [key for key in free if key.startswith("extra_gated")]


def test_template_is_in_the_package() -> None:
    from importlib.resources import files

    assert (
        (files("saros_hf") / "publish" / "dataset_card.md")
        .read_text()
        .startswith("---\npretty_name: SAROS")
    )
