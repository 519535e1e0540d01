"""What the card says, against what the package and the paper know."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from case_folders import case, write_folder
from datasets import Features
from huggingface_hub import DatasetCard

import saros_hf
from saros_hf.cases import License
from saros_hf.labels import IGNORE_INDEX, TASKS, BodyRegion, display_name, labels
from saros_hf.published import TABLE_1, TABLE_3_OVERALL
from saros_hf.rows import CASE_FEATURES
from saros_hf.slices import SliceOptions, slice_features

CARD = Path(__file__).parents[1] / "dataset_card.md"


@pytest.fixture(scope="module")
def card() -> DatasetCard:
    return DatasetCard.load(CARD)


def table(card: DatasetCard, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading."""
    section = card.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", ["volumes", "slices", "masks", "volumes-nc", "slices-nc"])
def test_features_are_those_of_the_builder(card: DatasetCard, name: str, tmp_path: Path) -> None:
    told = {one["config_name"]: one["features"] for one in card.data.to_dict()["dataset_info"]}
    kind = name.removesuffix("-nc")
    rows = saros_hf.load_dataset(
        kind, data_dir=write_folder(tmp_path / "d"), cache_dir=str(tmp_path / "c")
    )
    expected = rows["train"].features
    if kind == "slices":  # arrays of fixed size there, as this folder's CTs share one
        expected = Features(CASE_FEATURES | slice_features(None, SliceOptions()))
        assert list(expected) == list(rows["train"].features)
    assert Features._from_yaml_list(told[name]) == expected


def test_every_configuration_has_the_papers_splits(card: DatasetCard) -> None:
    configs = card.data.to_dict()["configs"]
    assert [one["config_name"] for one in configs if one.get("default")] == ["volumes"]
    for one in configs:
        files = {part["split"]: part["path"] for part in one["data_files"]}
        assert files == {
            split: f"{one['config_name']}/{split}-*" for split in ("train", "validation", "test")
        }


def test_licences_and_counts_are_the_packages_and_the_papers(card: DatasetCard) -> None:
    counts: Counter[str] = Counter()
    for license_, collections, total in table(card, "Licences"):
        listed = [entry.rpartition(" ") for entry in collections.split(", ")]
        for name, _, count in listed:
            assert int(count) == sum(TABLE_1[name]), name
            assert license_of(name) == license_
        assert sum(int(count) for _, _, count in listed) == int(total)
        counts[license_] = int(total)
    assert sum(counts.values()) == 900
    here = {row[0]: int(row[2]) for row in table(card, "What is here, and what is not")}
    assert here["`masks`"] == 900
    assert here["`volumes`, `slices`"] == counts["CC BY 3.0"] + counts["CC BY 4.0"]
    assert here["`volumes-nc`, `slices-nc`"] == counts["CC BY-NC 3.0"]
    assert here["none"] == counts["NIH controlled access"]


def license_of(collection: str) -> License:
    return replace(case("case_000"), collection=collection).license


def test_labels_are_the_packages(card: DatasetCard) -> None:
    *rows, last = table(card, "Labels")
    for label, row in enumerate(rows):
        assert row[0] == str(label)
        for task, name in zip(TASKS, row[1:], strict=True):
            known = labels(task)
            assert name == (display_name(known[label]) if label < len(known) else "")
    assert last[0] == str(IGNORE_INDEX)


def test_splits_and_slices_are_the_papers(card: DatasetCard) -> None:
    masks, public = table(card, "Splits")
    assert [int(cell) for cell in masks[1:]] == [600, 150, 150]
    # Per split in NCI Imaging Data Commons v25: 122, 122, 120, 122, 120, test 120.
    assert [int(cell) for cell in public[1:]] == [122 + 120 + 122 + 120, 122, 120]
    slices = TABLE_3_OVERALL["body-regions", BodyRegion.BACKGROUND].slices
    assert f"{slices:,}" == "20,150"
    assert "20,150 of them" in card.text


def test_gates_name_the_licence_that_needs_them(card: DatasetCard) -> None:
    data = card.data.to_dict()
    assert "CC BY-NC 3.0" in data["extra_gated_prompt"]
    assert any("non-commercial" in field for field in data["extra_gated_fields"])
    assert re.search(r"10\.1038/s41597-024-03337-6", card.text)
