"""Behaviour of ``datasets`` that users of SAROS rely on, or that must not surprise them."""

import itertools
import multiprocessing
import shutil
import socket
from collections.abc import Callable
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
from saros_hf.errors import MissingFileError, SarosError, UsageError, saros_cause
from saros_hf.folds import Fold

Load = Callable[..., Any]
FOLDS: tuple[Fold, ...] = ("fold-2", "fold-3", "fold-4", "fold-5", "fold-2", "fold-1", "test")
TRAIN = [f"case_{n:03d}" for n in range(5)]
TRAIN_SLICES = [(case_id, k) for case_id in TRAIN for k in (1, 5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", FOLDS)


@pytest.fixture
def load_by_name(folder: Path, tmp_path: Path) -> Load:
    def load(name: str = "volumes", **options: object) -> Any:  # noqa: ANN401
        given = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache"), **options}
        return datasets.load_dataset("saros", name, **given)

    return load


def streamed(name: str, folder: Path) -> datasets.IterableDataset:
    return saros_hf.load_dataset(name, data_dir=folder, split="train", streaming=True)


def slices_in(rows: Any) -> list[tuple[str, int]]:  # noqa: ANN401
    return [(row["case_id"], int(row["slice_index"])) for row in rows]


def test_other_files_are_not_listed_and_cause_no_rebuild(
    load_by_name: Load, load: Load, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    monkeypatch.setattr("datasets.load.get_data_patterns", listed.append)
    first = load_by_name()["train"].cache_files
    (folder / "notes.txt").write_text("mine")
    (folder / "case_000" / "notes.txt").write_text("mine")
    assert load_by_name()["train"].cache_files == first
    assert load(folder)["train"].cache_files == first
    assert listed == []


def test_missing_folder_says_how_to_get_one(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAROS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match=r"saros download DIR.*streaming=True"):
        saros_hf.load_dataset()
    with pytest.raises(MissingFileError, match="saros download DIR"):
        datasets.load_dataset("saros")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("nowhere", "found no such folder"),
        ("empty", "found 0 such files, expected exactly one case"),
    ):
        with pytest.raises(MissingFileError, match=message):
            datasets.load_dataset("saros", data_dir=str(tmp_path / name))
        with pytest.raises(MissingFileError, match=message):
            saros_hf.load_dataset(data_dir=tmp_path / name)
    monkeypatch.setenv("SAROS_DATA_DIR", str(folder))
    cache = str(tmp_path / "cache")
    assert datasets.load_dataset("saros", cache_dir=cache)["train"]["case_id"][:] == TRAIN
    assert saros_hf.load_dataset(split="test", streaming=True).n_shards == 1


def test_folder_may_hold_some_cases_of_the_table_but_not_none(folder: Path, load: Load) -> None:
    for case_id in TRAIN:
        shutil.rmtree(folder / case_id)
    assert set(load(folder)) == {"validation", "test"}
    for case_folder in folder.glob("case_*"):
        shutil.rmtree(case_folder)
    with pytest.raises(MissingFileError, match="found no case folder"):
        load(folder)


def test_folder_named_saros_is_not_mistaken_for_the_dataset(
    load_by_name: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "saros").mkdir()
    (tmp_path / "saros" / "train.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    assert "case_id" in load_by_name()["train"].column_names


def test_unknown_options_and_splits_are_named(load_by_name: Load) -> None:
    with pytest.raises(ValueError, match="flod"):
        load_by_name(flod=2)
    with pytest.raises(ValueError, match=r'Unknown split "fold-1"|fold-1'):
        load_by_name(split="fold-1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 6}, "fold: found 6, expected 1 to 5"),
        ({"splits": "fold"}, "splits: found fold, expected paper or folds"),
        ({"cases": ["case_900"]}, "cases: found 'case_900'"),
        ({"licenses": "CC BY 5.0"}, "licenses: found 'CC BY 5.0'"),
    ],
)
def test_bad_values_of_options_are_named(
    load_by_name: Load, load: Load, folder: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - datasets wraps some errors
        load_by_name(**options)
    assert message in str(saros_cause(caught.value))
    with pytest.raises(SarosError, match=message):
        load(folder, **options)


def test_direct_loading_opens_no_connection(
    folder: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *args: connections.append(args))
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    assert slices_in(load(folder, "slices")["train"]) == TRAIN_SLICES
    assert next(iter(streamed("slices", folder)))["case_id"] == TRAIN[0]
    assert connections == []


def test_streaming_with_num_proc_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"DataLoader\(num_workers=\.\.\.\)"):
        saros_hf.load_dataset(data_dir=folder, streaming=True, num_proc=2)


@pytest.mark.parametrize(
    "start",
    [
        "fork",
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("forkserver", marks=pytest.mark.slow),
    ],
)
def test_workers_see_each_case_once(folder: Path, start: str) -> None:
    rows = streamed("slices", folder).with_format("torch")
    assert rows.n_shards == len(TRAIN)
    context = multiprocessing.get_context(start)
    loader = DataLoader(rows, batch_size=None, num_workers=2, multiprocessing_context=context)
    assert sorted(slices_in(loader)) == TRAIN_SLICES


@pytest.mark.parametrize("nodes", [2, 5])
def test_nodes_see_each_case_once(folder: Path, nodes: int) -> None:
    rows = streamed("slices", folder)
    parts = [split_dataset_by_node(rows, rank=n, world_size=nodes) for n in range(nodes)]
    assert sorted(slices_in(itertools.chain(*parts))) == TRAIN_SLICES


def test_streamed_cases_are_read_one_by_one(folder: Path) -> None:
    rows = streamed("volumes", folder)
    assert rows.n_shards == len(TRAIN)
    (folder / "case_004" / "image.nii.gz").write_bytes(b"damaged")
    assert [row["case_id"] for row in rows.take(3)] == TRAIN[:3]


@pytest.mark.parametrize("shuffled", [False, True])
def test_resumed_stream_continues_where_it_stopped(folder: Path, shuffled: bool) -> None:
    def stream() -> datasets.IterableDataset:
        rows = streamed("slices", folder)
        # A buffer of 1 shuffles cases only; rows in a larger buffer would be lost on resuming.
        return rows.shuffle(seed=3, buffer_size=1) if shuffled else rows

    whole = slices_in(stream())
    assert (sorted(whole) == whole) != shuffled
    rows, again = stream(), stream()
    first = slices_in(itertools.islice(rows, 3))
    again.load_state_dict(rows.state_dict())
    assert first + slices_in(again) == whole


def test_every_column_of_slices_has_torch_and_numpy_formats(load_by_name: Load) -> None:
    rows = load_by_name("slices", split="train")
    for name in ("torch", "numpy"):
        row, batch = rows.with_format(name)[0], rows.with_format(name)[:3]
        assert set(row) == set(rows.features)
        assert row["image"].shape == (1, 8, 6)
        assert row["body_parts"].shape == (8, 6)
        assert batch["image"].shape == (3, 1, 8, 6)
        assert batch["body_parts"].shape == (3, 8, 6)


def test_volumes_decode_to_nibabel_images_or_paths(load_by_name: Load) -> None:
    rows = load_by_name("volumes", split="train")
    image = rows[0]["image"]
    assert image.shape == (8, 6, 7)
    # Voxel (i, j, k) has 100 i + 10 j + k HU.
    assert np.asanyarray(image.dataobj)[3, 2, 5] == 325
    assert int(image.nifti_image.slicer[..., 5:6].get_fdata()[3, 2, 0]) == 325
    stored = rows.cast_column("image", datasets.Nifti(decode=False))[0]["image"]
    assert Path(stored["path"]).name == "image.nii.gz"


def test_rows_of_a_moved_folder_name_the_file_unless_embedded(
    load_by_name: Load, folder: Path
) -> None:
    by_path, embedded = load_by_name(split="train"), load_by_name(split="train", embed=True)
    moved = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"case_000/image\.nii\.gz"):
        by_path[0]
    assert np.asanyarray(embedded[0]["image"].dataobj)[3, 2, 5] == 325
    with pytest.raises(MissingFileError, match="found no such folder"):
        load_by_name()
    again = load_by_name(split="train", data_dir=str(moved))
    assert np.asanyarray(again[0]["image"].dataobj)[3, 2, 5] == 325


def test_record_batches_are_small(tmp_path: Path, load: Load) -> None:
    folder = write_folder(tmp_path / "many", ("fold-2",) * 40)
    rows = load(folder, "slices", split="train")
    with pa.memory_map(rows.cache_files[0]["filename"]) as source:
        sizes = [batch.num_rows for batch in pa.ipc.open_stream(source)]
    assert max(sizes) <= 16
    assert sum(sizes) == 80


def test_map_keeps_paths_of_columns_it_does_not_change(load_by_name: Load, folder: Path) -> None:
    rows = load_by_name(split="train").map(lambda row: {"slices": len(row["annotated_slices"])})
    assert rows[0]["slices"] == 2
    stored = rows.cast_column("image", datasets.Nifti(decode=False))[0]["image"]
    assert stored["path"] == str(folder / "case_000" / "image.nii.gz")
    assert stored["bytes"] is None
