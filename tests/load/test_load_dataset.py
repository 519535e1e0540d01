"""Splits, array types, streaming and errors of both ways to load."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.bad_folders import BAD_FOLDERS
from helpers.case_folders import write_case, write_folder

import saros_hf
from saros_hf.errors import SarosError
from saros_hf.load.builder import own_errors

Load = Callable[..., Any]


@pytest.mark.parametrize("name", ["volumes", "slices"])
@pytest.mark.parametrize("streaming", [False, True])
def test_loading_by_name_and_directly_gives_the_same_rows(
    phantoms: Path, cache: Path, name: str, streaming: bool
) -> None:
    options = {"data_dir": str(phantoms), "cache_dir": str(cache), "streaming": streaming}
    by_name = datasets.load_dataset("saros", name, **options)
    direct = saros_hf.load_dataset(name, **options)
    assert set(by_name) == set(direct) == {"train", "validation", "test"}
    first, second = next(iter(by_name["test"])), next(iter(direct["test"]))
    assert first["case_id"] == second["case_id"]
    assert np.array_equal(voxels(first["image"]), voxels(second["image"]))


def voxels(image: object) -> np.ndarray:
    return np.asarray(image.get_fdata() if hasattr(image, "get_fdata") else image)


def test_splits_follow_the_paper_or_the_chosen_fold(tmp_path: Path, load: Load) -> None:
    folder = write_folder(tmp_path / "data", ("fold-1", "fold-2", "fold-3", "fold-4", "test"))

    def cases(**options: object) -> dict[str, list[str]]:
        return {name: split["case_id"][:] for name, split in load(folder, **options).items()}

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


def test_arrays_have_a_fixed_size_unless_cases_differ(folder: Path, load: Load) -> None:
    assert load(folder, "slices")["train"].features["image"] == datasets.Array3D((1, 8, 6), "int16")
    write_case(folder, "case_001", shape=(9, 5, 7))
    rows = load(folder, "slices")
    assert rows["validation"].with_format("numpy")[0]["image"].shape == (1, 9, 5)
    assert rows["train"].with_format("numpy")[0]["image"].shape == (1, 8, 6)


def test_two_processes_build_the_same_rows(phantoms: Path, tmp_path: Path, cache: Path) -> None:
    one = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(cache))
    two = saros_hf.load_dataset("slices", data_dir=phantoms, cache_dir=str(tmp_path), num_proc=2)
    for split in one:
        views = saros_hf.SliceViews(one[split]), saros_hf.SliceViews(two[split])
        for a, b in zip(*views, strict=True):
            assert (a.case_id, a.slice_index) == (b.case_id, b.slice_index)
            np.testing.assert_array_equal(a.image, b.image)


@pytest.mark.parametrize(("spoil", "kind", "message"), BAD_FOLDERS)
@pytest.mark.parametrize("name", ["volumes", "slices"])
@pytest.mark.parametrize("streaming", [False, True])
def test_bad_input_is_one_line(
    folder: Path,
    load: Load,
    name: str,
    streaming: bool,
    spoil: Callable[[Path], None],
    kind: type[SarosError],
    message: str,
) -> None:
    spoil(folder)
    with pytest.raises(kind) as caught:
        [list(split) for split in load(folder, name, streaming=streaming).values()]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(folder.with_name("cache").rglob("*.arrow"))


@pytest.mark.slow
def test_import_needs_no_torch_and_no_simpleitk() -> None:
    code = "import sys, saros_hf; print(*{'torch', 'lightning', 'SimpleITK'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_full_disk_is_named_instead_of_what_datasets_wraps_it_in(tmp_path: Path) -> None:
    error = DatasetGenerationError("An error occurred while generating the dataset")
    error.__cause__ = OSError(errno.ENOSPC, "Error writing bytes to file")
    with (
        pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"),
        own_errors(tmp_path),
    ):
        raise error
