import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest

import saros_hf
from saros_hf.errors import UsageError
from saros_hf.labels import TASKS, BodyPart, BodyRegion
from training.data.slice_store import SliceStore


@pytest.fixture(scope="module")
def rows(phantoms: Path, cache: Path) -> datasets.Dataset:
    return saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="train", context=1, cache_dir=str(cache)
    )


@pytest.fixture(scope="module")
def every(phantoms: Path, cache: Path) -> datasets.Dataset:
    return saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="train", unannotated=True, cache_dir=str(cache)
    )


def test_views_equal_the_rows_and_own_no_memory(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, ["body-regions"])
    plain = rows.with_format("numpy")
    assert len(store) == len(rows)
    assert store.slice_spacing_mm() == np.median(np.array(plain["spacing_mm"])[:, 2])
    for row in (0, 17, len(rows) - 1):
        assert np.array_equal(store.image(row), plain[row]["image"])
        assert np.array_equal(store.mask("body-regions", row), plain[row]["body_regions"])
        assert store.spacing_mm(row) == pytest.approx(tuple(plain[row]["spacing_mm"]))
        assert not store.image(row).flags.owndata
        assert not store.image(row).flags.writeable


def test_selected_rows_are_read_in_their_own_order(rows: datasets.Dataset) -> None:
    chosen = rows.select([40, 3, 11])
    before = bytes_on_disk(rows)
    store = SliceStore(chosen, TASKS)
    for row in range(3):
        assert np.array_equal(store.image(row), chosen.with_format("numpy")[row]["image"])
        for label, found in enumerate(store.index["body-regions"]):
            assert (row in found.rows) == (label in chosen[row]["region_labels"])
    assert not store.image(2).flags.owndata
    assert bytes_on_disk(rows) == before
    again = pickle.loads(pickle.dumps(store))  # as for a worker process
    assert np.array_equal(again.image(2), rows.with_format("numpy")[11]["image"])


def bytes_on_disk(rows: datasets.Dataset) -> int:
    """Return the size of the Arrow file's folder, where copies of it would go."""
    folder = Path(rows.cache_files[0]["filename"]).parent
    return sum(file.stat().st_size for file in folder.iterdir())


def test_index_holds_every_slice_and_bounding_box_of_a_label(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, ["body-regions"])
    for label in BodyRegion:
        holding = {
            row: np.nonzero(store.mask("body-regions", row) == label) for row in range(len(store))
        }
        holding = {row: (i, j) for row, (i, j) in holding.items() if i.size}
        found = store.index["body-regions"][label]
        assert found.rows.tolist() == list(holding)
        for box, (i, j) in zip(found.boxes.tolist(), holding.values(), strict=True):
            assert box == [i.min(), j.min(), i.max() + 1, j.max() + 1]


def test_slices_without_body_parts_are_left_out(phantoms: Path, cache: Path) -> None:
    splits = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    rows = datasets.concatenate_datasets(list(splits.values()))
    store = SliceStore(rows, ["body-parts"])
    without = sum(not labels for labels in rows["part_labels"])
    assert without > 0
    assert len(store) == len(rows) - without
    assert all((store.mask("body-parts", row) != 255).all() for row in store.annotated)
    assert store.index["body-parts"][BodyPart.TORSO].rows.size
    assert len(SliceStore(rows, TASKS)) == len(rows)


def test_slices_of_a_case_are_sorted_from_foot_to_head(rows: datasets.Dataset) -> None:
    shuffled = rows.shuffle(seed=1)
    cases = SliceStore(shuffled, ["body-regions"]).cases()
    heights, ids = shuffled["position_mm"][:], shuffled["case_id"][:]
    assert sorted(n for members in cases.values() for n in members) == list(range(len(rows)))
    for case_id, members in cases.items():
        assert {ids[n] for n in members} == {case_id}
        assert [heights[n] for n in members] == sorted(heights[n] for n in members)


def test_neighbours_are_the_slices_above_and_below(every: datasets.Dataset) -> None:
    shuffled = every.shuffle(seed=3)
    store = SliceStore(shuffled, ["body-regions"])
    table = shuffled.select_columns(["case_id", "position_mm"])[:]
    ends = 0
    for row in store.annotated[::5]:
        for offset, found in zip((-2, -1, 0, 1), store.neighbours(row, range(-2, 2)), strict=True):
            height = table["position_mm"][row] + 5.0 * offset
            if found is None:
                ends += 1
                members = [n for n, c in enumerate(table["case_id"]) if c == table["case_id"][row]]
                heights = [table["position_mm"][n] for n in members]
                assert not min(heights) <= height <= max(heights)
            else:
                assert table["case_id"][found] == table["case_id"][row]
                assert table["position_mm"][found] == pytest.approx(height)
    assert ends > 0


def test_neighbours_need_unannotated_slices(rows: datasets.Dataset) -> None:
    store = SliceStore(rows, ["body-regions"])
    with pytest.raises(UsageError, match="unannotated=True"):
        store.neighbours(0, range(-1, 2))


def test_only_annotated_slices_count(every: datasets.Dataset, rows: datasets.Dataset) -> None:
    store = SliceStore(every, ["body-regions"])
    assert len(store) == len(rows) < len(every)
    for row in range(len(every)):
        assert store.is_annotated(row) == (store.mask("body-regions", row) != 255).all()
