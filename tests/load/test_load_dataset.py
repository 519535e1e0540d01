import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers.bad_folders import BAD_FOLDERS
from helpers.case_folders import write_case, write_folder

import saros_hf
from saros_hf.errors import (
    MissingFileError,
    SarosError,
    UsageError,
)
from saros_hf.nifti import read_image, read_mask
from saros_hf.volume import Volume, annotated_slices


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


@pytest.mark.parametrize("name", ["volumes", "slices"])
@pytest.mark.parametrize("streaming", [False, True])
def test_both_doors_give_the_same_rows(
    phantoms: Path, cache: Path, name: str, streaming: bool
) -> None:
    options = {"data_dir": str(phantoms), "cache_dir": str(cache), "streaming": streaming}
    by_name = datasets.load_dataset("saros", name, **options)
    direct = saros_hf.load_dataset(name, **options)
    assert set(by_name) == set(direct) == {"train", "validation", "test"}
    first, second = next(iter(by_name["test"])), next(iter(direct["test"]))
    assert first["case_id"] == second["case_id"]
    assert np.array_equal(_voxels(first["image"]), _voxels(second["image"]))


def _voxels(image: object) -> np.ndarray:
    return np.asarray(image.get_fdata() if hasattr(image, "get_fdata") else image)


def test_volumes_hold_what_the_files_hold(phantoms: Path, cache: Path) -> None:
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


def test_slices_are_ras_and_find_their_way_back_to_the_file(phantoms: Path, cache: Path) -> None:
    """Both for LPS and for LAI, whose slices run from head to foot."""
    rows = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    every = datasets.concatenate_datasets(list(rows.values())).with_format("numpy")
    orientations = set()
    for row in every.select(range(0, len(every), 7)):
        case_folder = phantoms / str(row["case_id"])
        image = read_image(case_folder / "image.nii.gz")
        mask = read_mask(case_folder / "body-regions.nii.gz", "body-regions")
        plane = image.array[..., row["slice_index"]]
        labels = mask.array[..., row["slice_index"]]
        # Files hold LPS or LAI: i runs to the left in both, j forward only in LAI.
        step = 1 if image.orientation == "LAI" else -1
        assert np.array_equal(row["image"][0], plane[::-1, ::step])
        assert np.array_equal(row["body_regions"], labels[::-1, ::step])
        assert row["region_labels"].tolist() == np.unique(labels).tolist()
        orientations.add(image.orientation)
        heights = image.affine[2, 2] * row["slice_index"] + image.affine[2, 3]
        lowest = min(image.affine[2, 3], heights, _height_of_last(image))
        assert row["position_mm"] == pytest.approx(heights - lowest)
    assert orientations == {"LPS", "LAI"}


def _height_of_last(image: Volume) -> float:
    return float(image.affine[2, 2] * (image.shape[2] - 1) + image.affine[2, 3])


def test_context_slices_are_the_neighbours_even_without_annotation(
    folder: Path, tmp_path: Path
) -> None:
    rows = saros_hf.load_dataset(
        "slices", data_dir=folder, split="train", context=2, cache_dir=str(tmp_path)
    )
    row = rows.with_format("numpy")[0]
    assert row["slice_index"] == 1
    # Voxel (i, j, k) has 100 i + 10 j + k HU; below slice 0 the first one is repeated.
    assert row["image"][:, -1, -1].tolist() == [0, 0, 1, 2, 3]


def test_splits_follow_the_paper_or_the_fold_asked_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", ("fold-1", "fold-2", "fold-3", "fold-4", "test"))

    def cases(**options: object) -> dict[str, list[str]]:
        rows = saros_hf.load_dataset("volumes", data_dir=folder, cache_dir=str(tmp_path), **options)
        return {name: split["case_id"][:] for name, split in rows.items()}

    assert cases() == {
        "train": ["case_001", "case_002", "case_003"],
        "validation": ["case_000"],
        "test": ["case_004"],
    }
    assert cases(fold=3)["validation"] == ["case_002"]
    assert cases(splits="folds") == {
        "fold_1": ["case_000"],
        "fold_2": ["case_001"],
        "fold_3": ["case_002"],
        "fold_4": ["case_003"],
        "test": ["case_004"],
    }


def test_arrays_have_a_fixed_size_unless_cases_differ(folder: Path, tmp_path: Path) -> None:
    rows = saros_hf.load_dataset("slices", data_dir=folder, cache_dir=str(tmp_path))
    assert rows["train"].features["image"] == datasets.Array3D((1, 8, 6), "int16")
    write_case(folder, "case_001", shape=(9, 5, 7))
    rows = saros_hf.load_dataset("slices", data_dir=folder, cache_dir=str(tmp_path))
    assert rows["validation"].with_format("numpy")[0]["image"].shape == (1, 9, 5)
    assert rows["train"].with_format("numpy")[0]["image"].shape == (1, 8, 6)


def test_changed_data_are_built_anew_and_unchanged_are_not(folder: Path, tmp_path: Path) -> None:
    def load() -> datasets.Dataset:
        return saros_hf.load_dataset(
            "volumes", data_dir=folder, split="train", cache_dir=str(tmp_path)
        )

    first = load()
    assert load().cache_files == first.cache_files
    write_case(folder, "case_000", annotated=[2])
    assert load()[0]["annotated_slices"] == [2]
    assert first[0]["annotated_slices"] == [1, 5]


def test_formats_reach_every_column_of_slices(phantoms: Path, cache: Path) -> None:
    rows = saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="test", cache_dir=str(cache)
    ).with_format("torch")
    batch = rows[:3]
    assert batch["image"].shape == (3, 1, 64, 64)
    assert batch["body_parts"].shape == (3, 64, 64)


def test_num_proc_builds_the_same(phantoms: Path, tmp_path: Path, cache: Path) -> None:
    one = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    two = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(tmp_path), num_proc=2)
    for split in one:
        assert two[split]["case_id"][:] == one[split]["case_id"][:]
        assert two[split]["slice_index"][:] == one[split]["slice_index"][:]


@pytest.mark.parametrize(("spoil", "kind", "message"), BAD_FOLDERS)
@pytest.mark.parametrize("name", ["volumes", "slices"])
@pytest.mark.parametrize("streaming", [False, True])
def test_bad_input_is_one_line(
    folder: Path,
    tmp_path: Path,
    name: str,
    streaming: bool,
    spoil: object,
    kind: type[SarosError],
    message: str,
) -> None:
    spoil(folder)

    def load() -> None:
        rows = saros_hf.load_dataset(
            name, data_dir=folder, cache_dir=str(tmp_path / "cache"), streaming=streaming
        )
        for split in rows.values():
            list(split)

    with pytest.raises(kind) as caught:
        load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_missing_folders_and_bad_options_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="found no such folder"):
        saros_hf.load_dataset("volumes", data_dir=tmp_path / "absent")
    shutil.rmtree(folder / "case_000")
    left = saros_hf.load_dataset("volumes", data_dir=folder, cache_dir=str(tmp_path))
    assert set(left) == {"validation", "test"}  # a folder may hold a subset of the table
    for case_folder in folder.glob("case_*"):
        shutil.rmtree(case_folder)
    with pytest.raises(MissingFileError, match="found no case folder"):
        saros_hf.load_dataset("volumes", data_dir=folder)
    with pytest.raises(UsageError, match="fold: found 6, expected 1 to 5"):
        saros_hf.load_dataset("volumes", data_dir=folder, fold=6)
    with pytest.raises(UsageError, match="splits: found thirds"):
        saros_hf.load_dataset("volumes", data_dir=folder, splits="thirds")


def test_importing_the_package_brings_no_torch() -> None:
    code = "import sys, saros_hf; print('torch' in sys.modules, 'lightning' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
