from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers.case_folders import case, write_folder

import saros_hf
from saros_hf.cases.files import CaseFiles
from saros_hf.load.slice_rows import SliceOptions, slice_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cases of 8 x 6 x 7, slices 1 and 5 annotated, in LPS; label 1 where stored i < 4."""
    return write_folder(tmp_path / "data")


def rows(folder: Path, **options: object) -> list[dict[str, object]]:
    return list(
        slice_rows(CaseFiles(case("case_000"), folder / "case_000"), SliceOptions(**options))
    )


def test_a_box_is_the_smallest_around_a_label(folder: Path) -> None:
    for row in rows(folder):
        # In RAS+ the first axis is reversed: label 1 lies at i = 4..7.
        assert list(row["region_labels"]) == [0, 1]
        assert row["region_boxes"] == [[0, 0, 4, 6], [4, 0, 8, 6]]
        assert row["part_boxes"] == [[0, 0, 4, 6], [4, 0, 8, 6]]


def test_boxes_hold_all_of_a_label_and_nothing_less_does(phantoms: Path, cache: Path) -> None:
    dataset = saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="train", cache_dir=str(cache)
    )
    views = saros_hf.SliceViews(dataset)
    checked = 0
    for n in range(0, len(dataset), 7):
        row, view = dataset[n], views[n]
        for prefix, mask in (("region", view.body_regions), ("part", view.body_parts)):
            for label, box in zip(row[f"{prefix}_labels"], row[f"{prefix}_boxes"], strict=True):
                i, j = np.nonzero(mask == label)
                assert box == [i.min(), j.min(), i.max() + 1, j.max() + 1]
                checked += 1
    assert checked > 50


def test_unannotated_slices_come_with_pixels_and_255(folder: Path) -> None:
    every = rows(folder, unannotated=True)
    assert [row["slice_index"] for row in every] == list(range(7))
    for k, row in enumerate(every):
        annotated = k in (1, 5)
        assert (row["body_regions"] == 255).all() == (not annotated)
        assert len(row["region_labels"]) == len(row["region_boxes"]) == 2 * annotated
        assert row["image"][0, 7, 5] == k  # stored voxel (0, 0, k) holds k


@pytest.mark.parametrize("context", [0, 1])
def test_packed_rows_hold_the_same_slices(phantoms: Path, cache: Path, context: int) -> None:
    def views(**options: object) -> saros_hf.SliceViews:
        return saros_hf.SliceViews(
            saros_hf.load_dataset(
                "slices",
                data_dir=phantoms,
                split="test",
                context=context,
                cache_dir=str(cache),
                **options,
            )
        )

    plain, packed = views(), views(compress=True)
    assert len(plain) == len(packed)
    for one, other in zip((plain[n] for n in range(len(plain))), packed, strict=False):
        assert one.case_id == other.case_id
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.body_regions, other.body_regions)
        assert np.array_equal(one.body_parts, other.body_parts)


def test_packed_rows_are_smaller_and_stream(phantoms: Path, cache: Path) -> None:
    def size(**options: object) -> int:
        dataset = saros_hf.load_dataset(
            "slices", data_dir=phantoms, split="test", cache_dir=str(cache), **options
        )
        return sum(Path(file["filename"]).stat().st_size for file in dataset.cache_files)

    # Phantoms of 64 voxels have twice the share of body and noise of a real CT.
    assert size(compress=True) < 0.6 * size()
    streamed = saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="test", compress=True, streaming=True
    )
    assert isinstance(streamed, datasets.IterableDataset)
    assert isinstance(next(iter(streamed))["image"], bytes)
