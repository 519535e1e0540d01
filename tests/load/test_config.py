"""Filters, configurations without CTs, and when a cache is built anew."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from helpers.case_folders import case, write_case, write_folder

import saros_hf
from saros_hf.archive.obtain_files import MASKS
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.load.config import SarosConfig
from saros_hf.nifti import read_mask


def load(folder: Path, name: str = "volumes", **options: object) -> Any:  # noqa: ANN401
    cache = str(folder.parent / "cache")
    return saros_hf.load_dataset(name, data_dir=folder, cache_dir=cache, **options)


def case_ids(rows: datasets.DatasetDict) -> list[str]:
    return sorted(case_id for split in rows.values() for case_id in split["case_id"])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Four cases: two collections, two regions."""
    cases = (
        case("case_000", "fold-1"),
        replace(case("case_001", "fold-2"), collection="LIDC-IDRI", anatomic_region="thorax"),
        replace(case("case_002", "fold-3"), collection="NSCLC-Radiomics", anatomic_region="thorax"),
        case("case_003", "test"),
    )
    for one in cases:
        write_case(tmp_path / "data", one.case_id)
    write_case_table(tmp_path / "data" / TABLE_NAME, cases)
    return tmp_path / "data"


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
def test_filters(mixed: Path, name: str, options: dict[str, Any], expected: list[str]) -> None:
    rows = load(mixed, name, **options)
    assert sorted(set(case_ids(rows))) == expected
    by_name = datasets.load_dataset("saros", name, data_dir=str(mixed), streaming=True, **options)
    streamed = {row["case_id"] for split in by_name.values() for row in split}
    assert sorted(streamed) == expected


def test_filters_that_leave_nothing(mixed: Path) -> None:
    with pytest.raises(UsageError, match="found no case that passes cases="):
        load(mixed, cases="case_000", anatomic_region="thorax")


def test_masks_need_no_ct(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
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


def test_masks_come_out_of_the_published_zip(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    expected = read_mask(folder / "case_002" / "body-parts.nii.gz", "body-parts")
    with zipfile.ZipFile(folder / MASKS.name, "w") as packed:
        for case_id in ("case_000", "case_002"):
            for path in sorted((folder / case_id).iterdir()):
                if path.name != "image.nii.gz":
                    packed.write(path, f"SAROS/{case_id}/{path.name}")
                path.unlink()
            (folder / case_id).rmdir()
    rows = load(folder, "masks")
    assert case_ids(rows) == ["case_000", "case_001", "case_002"]
    found = rows["test"][0]["body_parts"]
    assert np.array_equal(np.asanyarray(found.dataobj), expected.array)
    with pytest.raises(MissingFileError, match="no body-regions"):
        load(write_empty(tmp_path), "masks")


def write_empty(tmp_path: Path) -> Path:
    write_case_table(tmp_path / "none" / TABLE_NAME, [case("case_000")])
    return tmp_path / "none"


def built(rows: datasets.DatasetDict) -> str:
    return str(Path(rows["train"].cache_files[0]["filename"]).parent)


def test_changed_data_makes_a_new_build_and_unchanged_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    names = ("volumes", "slices", "masks")
    first = {name: built(load(folder, name)) for name in names}
    assert {name: built(load(folder, name)) for name in names} == first
    image = folder / "case_001" / "image.nii.gz"
    os.utime(image, ns=(1, 1))
    second = {name: built(load(folder, name)) for name in names}
    assert second["masks"] == first["masks"]
    assert second["volumes"] != first["volumes"]
    assert second["slices"] != first["slices"]
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    assert built(load(folder, "masks")) != first["masks"]
    table = folder / TABLE_NAME
    table.write_text(table.read_text().replace("fold-1", "fold-3"))
    assert "validation" not in load(folder, "masks")


def test_no_two_sets_of_options_share_a_cache(mixed: Path) -> None:
    options: list[dict[str, object]] = [
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
    ]
    places = set()
    for one in options:
        rows = load(mixed, **one)
        first = next(iter(rows.values()))
        places.add(str(Path(first.cache_files[0]["filename"]).parent))
    slices = [{}, {"context": 1}, {"context": 2}]
    for one in slices:
        places.add(built(load(mixed, "slices", **one)))
    assert len(places) == len(options) + len(slices)


def test_version_is_part_of_the_cache(tmp_path: Path) -> None:
    version = str(SarosConfig(name="volumes").version)
    assert f"/{version}/" in built(load(write_folder(tmp_path / "data")))


def test_parallel_build_gives_the_same_rows(mixed: Path, tmp_path: Path) -> None:
    alone = load(mixed, "slices", splits="folds")
    options = {"data_dir": mixed, "splits": "folds", "cache_dir": str(tmp_path / "other")}
    together = saros_hf.load_dataset("slices", num_proc=2, **options)
    for name, rows in alone.items():
        key = ["case_id", "slice_index"]
        other = together[name].sort(key).with_format("numpy")
        for a, b in zip(rows.sort(key).with_format("numpy"), other, strict=True):
            assert a["case_id"] == b["case_id"]
            np.testing.assert_array_equal(a["image"], b["image"])


def test_split_arithmetic(mixed: Path) -> None:
    assert load(mixed, split="train+test")["case_id"][:] == ["case_001", "case_002", "case_003"]
    assert load(mixed, split="train[:50%]")["case_id"][:] == ["case_001"]
    assert load(mixed, split="fold_1+fold_2[:1]", splits="folds")["case_id"][:] == [
        "case_000",
        "case_001",
    ]
