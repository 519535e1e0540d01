"""Cases streamed from archives on loopback."""

import multiprocessing
import pickle
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from helpers.archive_world import CASE_IDS
from helpers.archives import MASKS, TABLE, Archives
from helpers.loopback import NBIA
from helpers.s3_server import FORBIDDEN
from torch.utils.data import DataLoader

import saros_hf
from saros_hf.acquire.download import SourceName
from saros_hf.errors import TransferError, UsageError
from saros_hf.load.stream import archived_cases


def options(archives: Archives, source: SourceName = "idc") -> dict[str, Any]:
    endpoint = {"idc": archives.s3.url, "nbia": archives.web.url(NBIA)}[source]
    return {
        "source": source,
        "table": archives.web.url(TABLE),
        "masks": archives.web.url(MASKS),
        "index": str(archives.index),
        "endpoint": endpoint,
    }


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("source", ["idc", "nbia"])
def test_cases_come_one_at_a_time(archives: Archives, source: SourceName, temporary: Path) -> None:
    given = options(archives, source)
    rows = saros_hf.load_dataset("volumes", streaming=True, split="validation", **given)
    assert rows.n_shards == 3
    assert archives.s3.fetched() == []
    first = next(iter(rows))
    assert first["case_id"] == "case_000"
    # At 5 mm: the first slice, and half way between the third and the fourth, cut.
    assert np.asanyarray(first["image"].dataobj)[0, 0].tolist() == [0, 2]
    assert np.asanyarray(first["body_regions"].dataobj)[0, 0].tolist() == [0, 255]
    assert first["annotated_slices"] == [0]
    uid = archives.world.cases[2].series_instance_uid
    assert not [one for one in archives.s3.requests if uid in one]
    assert not [one for one in archives.web.requests if uid in one.query]
    assert all("range" in one.headers for one in archives.web.asked(MASKS))
    assert list(temporary.iterdir()) == []


def test_filters_apply_to_streams_by_name(archives: Archives) -> None:
    given = options(archives)
    slices = datasets.load_dataset("saros", "slices", streaming=True, cases=["case_001"], **given)
    (row,) = slices["validation"].with_format("numpy")
    assert row["image"].shape == (1, 4, 3)
    assert (row["image"] == 10).all()
    uid = archives.world.cases[1].series_instance_uid
    assert all(uid in one for one in archives.s3.fetched())


def test_workers_split_the_cases(archives: Archives) -> None:
    rows = saros_hf.load_dataset("slices", streaming=True, split="validation", **options(archives))
    context = multiprocessing.get_context("fork")
    loader = DataLoader(
        rows.with_format("torch"), batch_size=None, num_workers=2, multiprocessing_context=context
    )
    assert sorted(row["case_id"] for row in loader) == list(CASE_IDS)


def test_no_temporary_files_are_left(archives: Archives, temporary: Path) -> None:
    given = options(archives)
    one, other, _ = pickle.loads(pickle.dumps(archived_cases(**given)))
    with one.open() as files:
        assert files.image.is_file()
        assert not (files.folder.parent / "dicom").exists()
    with pytest.raises(RuntimeError, match="of the user"), one.open():
        raise RuntimeError("of the user")
    archives.s3.fail("2.dcm", *[FORBIDDEN] * 3)
    uid = other.case.series_instance_uid
    with pytest.raises(TransferError, match=f"^series {uid}: found AccessDenied"), other.open():
        pass
    archives.s3.faults.clear()
    rows = saros_hf.load_dataset(streaming=True, split="validation", **given)
    generator = iter(rows)
    next(generator)
    del generator
    assert list(temporary.iterdir()) == []


def test_archive_without_streaming_is_refused(archives: Archives) -> None:
    with pytest.raises(UsageError, match=r"'idc' without streaming=True.*saros download DIR"):
        saros_hf.load_dataset(**options(archives))
    with pytest.raises(UsageError, match="source: found tcia, expected None, idc or nbia"):
        saros_hf.load_dataset(source="tcia", streaming=True)


def test_streaming_without_a_folder_reads_the_archive(
    archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAROS_DATA_DIR", raising=False)
    given = options(archives)
    del given["source"]
    rows = datasets.load_dataset("saros", streaming=True, **given)
    assert next(iter(rows["validation"]))["case_id"] == "case_000"
