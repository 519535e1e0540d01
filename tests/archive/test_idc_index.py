from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.s3_server import write_index

from saros_hf.archive.idc_index import find_public
from saros_hf.archive.series import RemoteSeries
from saros_hf.cases.table import read_case_table
from saros_hf.errors import MissingFileError, UnreadableFileError


def test_public_series_are_found(tmp_path: Path) -> None:
    write_index(tmp_path / "i.parquet", {"1.2": [b"a" * 1000, b"b" * 500], "1.3": [b"c"]}, "open")
    found = find_public(["1.2", "1.9", "1.2"], index=tmp_path / "i.parquet")
    assert found == {"1.2": RemoteSeries("1.2", 2, 1500, "CC BY 3.0", "s3://open/1.2/")}


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"i\.parquet: found no such file, expected an IDC"):
        find_public(["1.2"], index=tmp_path / "i.parquet")
    (tmp_path / "i.parquet").write_text("no parquet")
    with pytest.raises(UnreadableFileError, match=r"columns SeriesInstanceUID, instanceCount"):
        find_public(["1.2"], index=tmp_path / "i.parquet")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("aws_bucket", None, r"aws_bucket.*, expected a \.parquet file with the columns"),
        ("series_size_MB", pa.nulls(1, pa.float64()), "NoneType"),
        ("series_size_MB", [float("nan")], "cannot convert float NaN to integer"),
        ("instanceCount", ["many"], "invalid literal"),
        ("SeriesInstanceUID", [12], "that is not such an index"),
    ],
)
def test_invalid_index_is_refused(
    tmp_path: Path, column: str, values: object, message: str
) -> None:
    path = tmp_path / "i.parquet"
    write_index(path, {"1.2": [b"a"]})
    columns = {**pq.read_table(path).to_pydict(), column: values}
    kept = {name: value for name, value in columns.items() if value is not None}
    pq.write_table(pa.table(kept), path)
    with pytest.raises(UnreadableFileError, match=message) as caught:
        find_public(["1.2"], index=path)
    assert "\n" not in str(caught.value)


def test_no_series_finds_nothing(tmp_path: Path) -> None:
    write_index(tmp_path / "i.parquet", {"1.2": [b"a"]})
    assert find_public([], index=tmp_path / "i.parquet") == {}


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
