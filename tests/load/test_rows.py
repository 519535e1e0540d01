"""Contents of rows: voxels, positions, labels and boxes."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers.case_folders import case

import saros_hf
from saros_hf.cases.files import CaseFiles
from saros_hf.load.rows import slice_rows
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import annotated_slices


def rows_of(folder: Path, **options: object) -> list[dict[str, object]]:
    return list(slice_rows(CaseFiles(case("case_000"), folder / "case_000"), **options))


def test_volumes_match_their_files(phantoms: Path, cache: Path) -> None:
    rows = saros_hf.load_dataset("volumes", data_dir=phantoms, cache_dir=str(cache))
    seen = set()
    for row in [row for split in rows.values() for row in split]:
        case_folder = phantoms / row["case_id"]
        mask = read_mask(case_folder / "body-regions.nii.gz", "body-regions")
        assert row["annotated_slices"] == annotated_slices(mask.array).tolist()
        assert row["orientation"] == mask.orientation
        assert row["spacing_mm"] == pytest.approx(mask.spacing_mm)
        assert row["license"] == "synthetic"
        assert (row["body_parts"] is None) == (not (case_folder / "body-parts.nii.gz").exists())
        seen.add(row["case_id"])
    assert len(seen) == 12


def test_slices_are_ras_and_slice_index_points_into_the_file(phantoms: Path, cache: Path) -> None:
    """Covers LPS, and LAI whose slices run from head to foot."""
    rows = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    every = datasets.concatenate_datasets(list(rows.values())).with_format("numpy")
    orientations = set()
    for row in every.select(range(0, len(every), 7)):
        case_folder = phantoms / str(row["case_id"])
        image = read_image(case_folder / "image.nii.gz")
        mask = read_mask(case_folder / "body-regions.nii.gz", "body-regions")
        labels = mask.array[..., row["slice_index"]]
        # Files are LPS or LAI: i increases to the left in both, j to anterior only in LAI.
        step = 1 if image.orientation == "LAI" else -1
        plane = image.array[..., row["slice_index"]]
        assert np.array_equal(row["image"][0], plane[::-1, ::step])
        assert np.array_equal(row["body_regions"], labels[::-1, ::step])
        assert row["region_labels"].tolist() == np.unique(labels).tolist()
        orientations.add(image.orientation)
        heights = image.affine[2, 2] * np.arange(image.shape[2]) + image.affine[2, 3]
        assert row["position_mm"] == pytest.approx(heights[row["slice_index"]] - heights.min())
    assert orientations == {"LPS", "LAI"}


def test_image_stored_in_other_directions_gives_the_same_slices(folder: Path) -> None:
    path = folder / "case_000" / "image.nii.gz"
    stored, expected = read_image(path), rows_of(folder)
    other = f"RA{stored.orientation[2]}"
    assert other != stored.orientation
    write_volume(path, stored.oriented(other))
    for row, same in zip(rows_of(folder), expected, strict=True):
        for column in ("image", "body_regions", "slice_index"):
            assert np.array_equal(row[column], same[column])


def test_context_channels_are_the_neighbouring_slices(folder: Path) -> None:
    row = rows_of(folder, context=2)[0]
    assert row["slice_index"] == 1
    # Voxel (i, j, k) has 100 i + 10 j + k HU; below slice 0 the first one is repeated.
    assert row["image"][:, -1, -1].tolist() == [0, 0, 1, 2, 3]


def test_boxes_are_the_smallest_around_each_label(phantoms: Path, cache: Path) -> None:
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


def test_unannotated_slices_have_pixels_but_neither_labels_nor_boxes(folder: Path) -> None:
    assert [row["slice_index"] for row in rows_of(folder)] == [1, 5]
    every = rows_of(folder, unannotated=True)
    assert [row["slice_index"] for row in every] == list(range(7))
    for k, row in enumerate(every):
        annotated = k in (1, 5)
        assert (row["body_regions"] == 255).all() == (not annotated)
        assert list(row["region_labels"]) == ([0, 1] if annotated else [])
        # In RAS+ the first axis is reversed: label 1 lies at i = 4..7.
        boxes = [[0, 0, 4, 6], [4, 0, 8, 6]] if annotated else []
        assert row["region_boxes"] == row["part_boxes"] == boxes
        assert row["image"][0, 7, 5] == k  # stored voxel (0, 0, k) holds k


@pytest.mark.parametrize("context", [0, 1])
def test_compressed_rows_hold_the_same_slices_in_less_space(
    phantoms: Path, cache: Path, context: int
) -> None:
    def load(**options: object) -> datasets.Dataset:
        given = {"split": "test", "context": context, "cache_dir": str(cache), **options}
        return saros_hf.load_dataset("slices", data_dir=phantoms, **given)

    def size(dataset: datasets.Dataset) -> int:
        return sum(Path(file["filename"]).stat().st_size for file in dataset.cache_files)

    plain, packed = load(), load(compress=True)
    # Phantoms of 64 voxels have twice the share of body and noise of a real CT.
    assert size(packed) < 0.6 * size(plain)
    views = saros_hf.SliceViews(plain), saros_hf.SliceViews(packed)
    for one, other in zip(*views, strict=True):
        assert one.case_id == other.case_id
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.body_regions, other.body_regions)
        assert np.array_equal(one.body_parts, other.body_parts)
    streamed = load(compress=True, streaming=True)
    assert isinstance(streamed, datasets.IterableDataset)
    assert isinstance(next(iter(streamed))["image"], bytes)
