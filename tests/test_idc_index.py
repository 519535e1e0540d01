from collections import Counter
from pathlib import Path

import pytest
from s3_server import write_index

from saros_hf.archive.idc_index import find_public, index_version
from saros_hf.archive.series import RemoteSeries
from saros_hf.case_table import read_case_table
from saros_hf.errors import MissingFileError, UnreadableFileError


def test_rows_of_the_series_that_are_there(tmp_path: Path) -> None:
    write_index(tmp_path / "i.parquet", {"1.2": [b"a" * 1000, b"b" * 500], "1.3": [b"c"]}, "open")
    found = find_public(["1.2", "1.9", "1.2"], index=tmp_path / "i.parquet")
    assert found == {"1.2": RemoteSeries("1.2", 2, 1500, "CC BY 3.0", "s3://open/1.2/")}


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"i\.parquet: found no such file, expected an IDC"):
        find_public(["1.2"], index=tmp_path / "i.parquet")
    (tmp_path / "i.parquet").write_text("no parquet")
    with pytest.raises(UnreadableFileError, match=r"columns SeriesInstanceUID, instanceCount"):
        find_public(["1.2"], index=tmp_path / "i.parquet")


@pytest.mark.parametrize("installed", [True, False])
def test_public_series_of_saros(real_data: Path, installed: bool) -> None:
    archive = real_data / "archive"
    table = read_case_table(archive / "segmentation-info-reconstructed.csv")
    index = None if installed else archive / "idc-v25-saros-public-series.parquet"
    found = find_public((case.series_instance_uid for case in table), index=index)
    assert len(found) == 726
    assert round(sum(series.size_bytes for series in found.values()) / 1e9, 1) == 72.9
    assert Counter(series.license for series in found.values()) == {
        "CC BY 3.0": 593,
        "CC BY 4.0": 57,
        "CC BY-NC 3.0": 76,
    }


def test_installed_index_says_which_release_it_is() -> None:
    assert index_version().startswith("IDC v")
