"""The index of NCI Imaging Data Commons: public series and their locations."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from ..cases.licenses import License
from ..errors import MissingFileError, UnreadableFileError, UsageError
from .series import RemoteSeries

_COLUMNS = [
    "SeriesInstanceUID",
    "instanceCount",
    "series_size_MB",
    "license_short_name",
    "aws_bucket",
    "crdc_series_uuid",
]


def find_public(
    series_uids: Iterable[str], *, index: Path | None = None
) -> dict[str, RemoteSeries]:
    """Return the public ones among some series, by SeriesInstanceUID.

    Args:
        series_uids: SeriesInstanceUIDs to look up; those missing from the index are not public.
        index: Path of an index (.parquet), ``None`` for that of the package ``idc-index-data``.

    Raises:
        MissingFileError: There is no file at ``index``.
        UnreadableFileError: It is not a Parquet file, or lacks a column or a value.
        UsageError: ``index`` is ``None`` and the package is not installed.
    """
    path = _installed_index() if index is None else index
    if not path.is_file():
        raise MissingFileError(path, "no such file", "an IDC index (.parquet)")
    # An empty list has no type that Arrow could compare with the column's.
    wanted = [("SeriesInstanceUID", "in", sorted({"", *series_uids}))]
    try:
        rows = pq.read_table(path, columns=_COLUMNS, filters=wanted).to_pylist()
        return {row["SeriesInstanceUID"]: _series(row) for row in rows}
    except (pa.ArrowException, OSError, TypeError, ValueError, KeyError) as error:
        raise UnreadableFileError(
            path,
            f"a file that is not such an index ({error})",
            f"a .parquet file with the columns {', '.join(_COLUMNS)}",
            "Use the idc_index.parquet of the package idc-index-data.",
        ) from error


def _installed_index() -> Path:
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ModuleNotFoundError as error:
        remedy = 'Install it: pip install "saros-hf[download]", or give --index PARQUET.'
        raise UsageError(
            "the IDC index", "no package idc-index-data", "it to be installed", remedy
        ) from error
    return Path(IDC_INDEX_PARQUET_FILEPATH or "idc_index.parquet")


def _series(row: dict[str, Any]) -> RemoteSeries:
    license_ = row["license_short_name"]
    return RemoteSeries(
        series_uid=row["SeriesInstanceUID"],
        instances=int(row["instanceCount"]),
        size_bytes=round(row["series_size_MB"] * 1e6),
        license=license_ if license_ in get_args(License) else "unknown",
        location=f"s3://{row['aws_bucket']}/{row['crdc_series_uuid']}/",
    )
