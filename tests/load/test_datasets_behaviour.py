"""What `datasets` does that users of SAROS would stumble over, and that they do not."""

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets.distributed import split_dataset_by_node
from helpers.case_folders import write_folder
from torch.utils.data import DataLoader

import saros_hf
from saros_hf.errors import MissingFileError, UsageError, saros_cause
from saros_hf.folds import Fold

FOLDS: tuple[Fold, ...] = ("fold-2", "fold-3", "fold-4", "fold-5", "fold-2", "fold-1", "test")
TRAIN = [f"case_{n:03d}" for n in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", FOLDS)


@pytest.fixture
def load(folder: Path, tmp_path: Path) -> Any:  # noqa: ANN401 - a function with options
    def load(name: str = "volumes", **options: object) -> Any:  # noqa: ANN401
        given = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache"), **options}
        return datasets.load_dataset("saros", name, **given)

    return load


def streamed(name: str, folder: Path, split: str = "train") -> datasets.IterableDataset:
    return saros_hf.load_dataset(name, data_dir=folder, split=split, streaming=True)


def test_1_no_file_is_listed_and_strangers_make_no_new_cache(
    load: Any,  # noqa: ANN401
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def listing(*_: object, **__: object) -> None:
        raise AssertionError("datasets lists the folder")

    monkeypatch.setattr("datasets.load.get_data_patterns", listing)
    first = load()["train"].cache_files
    (folder / "notes.txt").write_text("mine")
    (folder / "case_000" / "notes.txt").write_text("mine")
    assert load()["train"].cache_files == first
    assert (
        saros_hf.load_dataset("volumes", data_dir=folder, cache_dir=str(folder.parent / "cache"))[
            "train"
        ].cache_files
        == first
    )


def test_2_missing_folder_says_how_to_get_one(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAROS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match=r"saros download DIR.*streaming=True"):
        saros_hf.load_dataset()
    with pytest.raises(MissingFileError, match="saros download DIR"):
        datasets.load_dataset("saros")
    with pytest.raises(MissingFileError, match="found no such folder"):
        datasets.load_dataset("saros", data_dir=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="found 0 such files, expected exactly one case"):
        datasets.load_dataset("saros", data_dir=str(tmp_path / "empty"))
    monkeypatch.setenv("SAROS_DATA_DIR", str(folder))
    cache = str(tmp_path / "cache")
    assert datasets.load_dataset("saros", cache_dir=cache)["train"]["case_id"][:] == TRAIN
    assert saros_hf.load_dataset(split="test", streaming=True).n_shards == 1


def test_3_folder_named_saros_is_not_mistaken_for_the_dataset(
    load: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "saros").mkdir()
    (tmp_path / "saros" / "train.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    assert "case_id" in load()["train"].column_names


def test_4_wrong_options_and_splits_are_told(load: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="flod"):
        load(flod=2)
    with pytest.raises(ValueError, match=r'Unknown split "fold-1"|fold-1'):
        load(split="fold-1")
    for options, message in (
        ({"fold": 6}, "fold: found 6, expected 1 to 5"),
        ({"splits": "fold"}, "splits: found fold, expected paper or folds"),
        ({"cases": ["case_900"]}, "cases: found 'case_900'"),
        ({"licenses": "CC BY 5.0"}, "licenses: found 'CC BY 5.0'"),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what it wraps is looked at
            load(**options)
        assert message in str(saros_cause(caught.value))


def test_5_the_direct_door_asks_nobody(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    saros_hf.load_dataset("slices", data_dir=folder, cache_dir=str(tmp_path / "c"))
    next(iter(streamed("slices", folder)))


def test_6_streaming_with_processes_is_refused_with_the_way_out(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"DataLoader\(num_workers=\.\.\.\)"):
        saros_hf.load_dataset(data_dir=folder, streaming=True, num_proc=2)


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_7_workers_see_each_case_once(folder: Path, start: str) -> None:
    rows = streamed("slices", folder).with_format("torch")
    assert rows.n_shards == len(TRAIN)
    context = multiprocessing.get_context(start)
    loader = DataLoader(rows, batch_size=None, num_workers=2, multiprocessing_context=context)
    seen = [(row["case_id"], int(row["slice_index"])) for row in loader]
    assert sorted(seen) == [(case_id, k) for case_id in TRAIN for k in (1, 5)]


@pytest.mark.parametrize("nodes", [2, 5])
def test_7_nodes_share_the_cases(folder: Path, nodes: int) -> None:
    rows = streamed("slices", folder)
    seen = [
        (row["case_id"], row["slice_index"])
        for rank in range(nodes)
        for row in split_dataset_by_node(rows, rank=rank, world_size=nodes)
    ]
    assert sorted(seen) == [(case_id, k) for case_id in TRAIN for k in (1, 5)]


def test_8_one_case_is_one_shard_and_is_read_when_its_turn_comes(folder: Path) -> None:
    rows = streamed("volumes", folder)
    assert rows.n_shards == len(TRAIN)
    (folder / "case_004" / "image.nii.gz").write_bytes(b"damaged")
    assert [row["case_id"] for row in rows.take(3)] == TRAIN[:3]


@pytest.mark.parametrize("shuffled", [False, True])
def test_9_resuming_a_stream_loses_nothing(folder: Path, shuffled: bool) -> None:
    rows = streamed("slices", folder)
    if shuffled:  # the order of cases; a buffer of rows would be lost on resuming
        rows = rows.shuffle(seed=3, buffer_size=1)
    whole = [(row["case_id"], row["slice_index"]) for row in rows]
    assert (sorted(whole) == whole) != shuffled
    first = []
    for row in rows:
        first.append((row["case_id"], row["slice_index"]))
        if len(first) == 3:
            state = rows.state_dict()
            break
    again = streamed("slices", folder)
    if shuffled:
        again = again.shuffle(seed=3, buffer_size=1)
    again.load_state_dict(state)
    rest = [(row["case_id"], row["slice_index"]) for row in again]
    assert first + rest == whole


def test_10_every_column_of_slices_formats_to_torch_and_numpy(load: Any) -> None:  # noqa: ANN401
    rows = load("slices", split="train")
    for name in ("torch", "numpy"):
        row = rows.with_format(name)[0]
        assert set(row) == set(rows.features)
        assert row["image"].shape == (1, 8, 6)
        assert row["body_parts"].shape == (8, 6)
    image = load("volumes", split="train").cast_column("image", datasets.Nifti(decode=False))
    assert Path(image[0]["image"]["path"]).name == "image.nii.gz"


def test_11_volumes_decode_to_nibabel(load: Any) -> None:  # noqa: ANN401
    image = load("volumes", split="train")[0]["image"]
    assert image.shape == (8, 6, 7)
    # Voxel (i, j, k) has 100 i + 10 j + k HU.
    assert np.asanyarray(image.dataobj)[3, 2, 5] == 325
    assert int(image.nifti_image.slicer[..., 5:6].get_fdata()[3, 2, 0]) == 325


def test_12_moved_folder_is_told_and_embedded_rows_do_not_need_it(
    load: Any,  # noqa: ANN401
    folder: Path,
) -> None:
    by_path, embedded = load(split="train"), load(split="train", embed=True)
    moved = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"case_000/image\.nii\.gz"):
        by_path[0]
    assert np.asanyarray(embedded[0]["image"].dataobj)[3, 2, 5] == 325
    with pytest.raises(MissingFileError, match="found no such folder"):
        load()
    again = load(split="train", data_dir=str(moved))
    assert np.asanyarray(again[0]["image"].dataobj)[3, 2, 5] == 325


def test_13_record_batches_are_small(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "many", ("fold-2",) * 40)
    rows = saros_hf.load_dataset(
        "slices", data_dir=folder, split="train", cache_dir=str(tmp_path / "c")
    )
    with pa.memory_map(rows.cache_files[0]["filename"]) as source:
        sizes = [batch.num_rows for batch in pa.ipc.open_stream(source)]
    assert max(sizes) <= 16
    assert sum(sizes) == 80


def test_14_mapping_keeps_files_that_it_does_not_touch(load: Any, folder: Path) -> None:  # noqa: ANN401
    rows = load(split="train").map(lambda row: {"slices": len(row["annotated_slices"])})
    assert rows[0]["slices"] == 2
    stored = rows.cast_column("image", datasets.Nifti(decode=False))[0]["image"]
    assert stored["path"] == str(folder / "case_000" / "image.nii.gz")
    assert stored["bytes"] is None


def test_import_is_cheap_and_loads_no_torch() -> None:
    code = "import sys, saros_hf; print('torch' in sys.modules, 'SimpleITK' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stdout.split() == ["False", "False"]
