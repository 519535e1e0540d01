from pathlib import Path

import datasets
import numpy as np
import pytest

import saros_hf
from saros_hf.labels import BodyPart, BodyRegion
from training.store import SliceStore


@pytest.fixture(scope="module")
def rows(phantoms: Path, cache: Path) -> datasets.Dataset:
    return saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="train", context=1, cache_dir=str(cache)
    )


def test_views_equal_the_rows_and_own_no_memory(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, "body-regions")
    plain = rows.with_format("numpy")
    assert len(store) == len(rows)
    for index in (0, 17, len(rows) - 1):
        view, row = store[index], plain[index]
        assert np.array_equal(view.image, row["image"])
        assert np.array_equal(view.mask, row["body_regions"])
        assert view.case_id == row["case_id"]
        assert view.spacing_mm == pytest.approx(tuple(row["spacing_mm"]))
        assert not view.image.flags.owndata
        assert not view.image.flags.writeable


def test_a_shuffled_or_filtered_dataset_is_read_in_its_own_order(rows: datasets.Dataset) -> None:
    chosen = rows.select([40, 3, 11])
    store = SliceStore(chosen, "body-regions")
    for index in range(3):
        assert np.array_equal(store[index].image, chosen.with_format("numpy")[index]["image"])


def test_the_index_names_every_slice_that_holds_a_label(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, "body-regions")
    for label in BodyRegion:
        holding = [n for n in range(len(store)) if (store[n].mask == label).any()]
        assert store.slices_with[label].tolist() == holding


def test_slices_without_body_parts_are_left_out(phantoms: Path, cache: Path) -> None:
    splits = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    rows = datasets.concatenate_datasets(list(splits.values()))
    store = SliceStore(rows, "body-parts")
    without = sum(not labels for labels in rows["part_labels"])
    assert without > 0
    assert len(store) == len(rows) - without
    assert all((store[n].mask != 255).all() for n in range(len(store)))
    assert store.slices_with[BodyPart.TORSO].size


def test_cases_list_their_slices_from_foot_to_head(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, "body-regions")
    cases = store.cases()
    assert sorted(n for members in cases.values() for n in members) == list(range(len(store)))
    heights = rows["position_mm"][:]
    for members in cases.values():
        assert [heights[n] for n in members] == sorted(heights[n] for n in members)
