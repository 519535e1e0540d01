"""Filters, the ``masks`` configuration, and when a cache is rebuilt."""

import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from helpers.case_folders import case, write_case

from saros_hf.archive.obtain_files import MASKS
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.load.config import SarosConfig
from saros_hf.nifti import read_mask

Load = Callable[..., Any]


def case_ids(rows: datasets.DatasetDict) -> list[str]:
    return sorted(case_id for split in rows.values() for case_id in split["case_id"])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases of several collections and two anatomic regions. Do not write to it."""
    folder = tmp_path_factory.mktemp("mixed") / "data"
    cases = (
        case("case_000", "fold-1"),
        replace(case("case_001", "fold-2"), collection="LIDC-IDRI", anatomic_region="thorax"),
        replace(case("case_002", "fold-3"), collection="NSCLC-Radiomics", anatomic_region="thorax"),
        case("case_003", "test"),
    )
    for one in cases:
        write_case(folder, one.case_id)
    write_case_table(folder / TABLE_NAME, cases)
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cases": ["case_003", "case_000"]}, ["case_000", "case_003"]),
        ({"cases": "case_001"}, ["case_001"]),
        ({"collections": "C4KC-KiTS"}, ["case_000", "case_003"]),
        ({"licenses": ["CC BY 3.0"]}, ["case_000", "case_001", "case_003"]),
        ({"licenses": "CC BY-NC 3.0"}, ["case_002"]),
        ({"anatomic_region": "thorax"}, ["case_001", "case_002"]),
        ({"anatomic_region": "thorax", "licenses": "CC BY 3.0"}, ["case_001"]),
    ],
)
@pytest.mark.parametrize("name", ["volumes", "slices", "masks"])
def test_filters(
    mixed: Path, load: Load, name: str, options: dict[str, Any], expected: list[str]
) -> None:
    rows = load(mixed, name, **options)
    assert sorted(set(case_ids(rows))) == expected
    by_name = datasets.load_dataset("saros", name, data_dir=str(mixed), streaming=True, **options)
    streamed = {row["case_id"] for split in by_name.values() for row in split}
    assert sorted(streamed) == expected


def test_filters_that_no_case_passes(mixed: Path, load: Load) -> None:
    with pytest.raises(UsageError, match="found no case that passes cases="):
        load(mixed, cases="case_000", anatomic_region="thorax")


def test_masks_need_no_ct(folder: Path, load: Load) -> None:
    expected = read_mask(folder / "case_000" / "body-regions.nii.gz", "body-regions")
    for image in folder.glob("case_*/image.nii.gz"):
        image.unlink()
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    rows = load(folder, "masks")
    row = rows["train"][0]
    assert "image" not in row
    assert np.array_equal(np.asanyarray(row["body_regions"].dataobj), expected.array)
    assert row["annotated_slices"] == [1, 5]
    assert row["region_labels"] == row["part_labels"] == [0, 1]
    assert rows["train"].features["region_labels"].feature.int2str(1) == "subcutaneous_tissue"
    assert rows["validation"][0]["body_parts"] is None
    assert rows["validation"][0]["part_labels"] == []
    with pytest.raises(MissingFileError, match="case_000 without image"):
        load(folder, "volumes")


def test_masks_are_read_from_the_published_zip(folder: Path, load: Load) -> None:
    expected = read_mask(folder / "case_002" / "body-parts.nii.gz", "body-parts")
    with zipfile.ZipFile(folder / MASKS.name, "w") as packed:
        for case_id in ("case_000", "case_002"):
            for path in sorted((folder / case_id).glob("body-*")):
                packed.write(path, f"SAROS/{case_id}/{path.name}")
            shutil.rmtree(folder / case_id)
    rows = load(folder, "masks")
    assert case_ids(rows) == ["case_000", "case_001", "case_002"]
    found = rows["test"][0]["body_parts"]
    assert np.array_equal(np.asanyarray(found.dataobj), expected.array)


def test_folder_without_label_maps_is_refused(tmp_path: Path, load: Load) -> None:
    write_case_table(tmp_path / TABLE_NAME, [case("case_000")])
    with pytest.raises(MissingFileError, match="no body-regions"):
        load(tmp_path, "masks")


def built(rows: datasets.DatasetDict) -> str:
    return str(Path(rows["train"].cache_files[0]["filename"]).parent)


def test_changed_data_is_built_again_and_unchanged_data_is_not(folder: Path, load: Load) -> None:
    names = ("volumes", "slices", "masks")
    old_rows = load(folder, split="train")
    first = {name: built(load(folder, name)) for name in names}
    assert {name: built(load(folder, name)) for name in names} == first
    os.utime(folder / "case_001" / "image.nii.gz", ns=(1, 1))
    second = {name: built(load(folder, name)) for name in names}
    assert second["masks"] == first["masks"]
    assert second["volumes"] != first["volumes"]
    assert second["slices"] != first["slices"]
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    assert built(load(folder, "masks")) != first["masks"]
    write_case(folder, "case_000", annotated=[2])
    assert load(folder, split="train")[0]["annotated_slices"] == [2]
    assert old_rows[0]["annotated_slices"] == [1, 5]
    table = folder / TABLE_NAME
    table.write_text(table.read_text().replace("fold-1", "fold-3"))
    assert "validation" not in load(folder, "masks")


@pytest.mark.slow
def test_no_two_sets_of_options_share_a_cache(mixed: Path, load: Load) -> None:
    sets: list[dict[str, object]] = [
        {},
        {"fold": 2},
        {"fold": 3},
        {"splits": "folds"},
        {"cases": ["case_001", "case_002"]},
        {"cases": ["case_001"]},
        {"collections": ["LIDC-IDRI", "NSCLC-Radiomics"]},
        {"licenses": ["CC BY 3.0"]},
        {"anatomic_region": "thorax"},
        {"embed": True},
        {"name": "slices"},
        {"name": "slices", "context": 1},
        {"name": "slices", "context": 2},
    ]
    caches = set()
    for options in sets:
        first = next(iter(load(mixed, **options).values()))
        caches.add(Path(first.cache_files[0]["filename"]).parent)
    assert len(caches) == len(sets)


def test_version_is_part_of_the_cache(folder: Path, load: Load) -> None:
    assert f"/{SarosConfig(name='volumes').version}/" in built(load(folder))


def test_split_arithmetic(mixed: Path, load: Load) -> None:
    def ids(split: str, **options: object) -> list[str]:
        return load(mixed, split=split, **options)["case_id"][:]

    assert ids("train+test") == ["case_001", "case_002", "case_003"]
    assert ids("train[:50%]") == ["case_001"]
    assert ids("fold_1+fold_2[:1]", splits="folds") == ["case_000", "case_001"]
