"""Which series NCI Imaging Data Commons hands out, and where they lie."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from ..cases.licenses import License
from ..errors import MissingFileError, UnreadableFileError, UsageError
from .series import RemoteSeries

_COLUMNS = (
    "SeriesInstanceUID",
    "instanceCount",
    "series_size_MB",
    "license_short_name",
    "aws_bucket",
    "crdc_series_uuid",
)


def find_public(
    series_uids: Iterable[str], *, index: Path | None = None
) -> dict[str, RemoteSeries]:
    """Return what the index says of each series; one that it does not have is not public.

    Args:
        series_uids: SeriesInstanceUIDs to look up.
        index: Another index (.parquet) than that of the installed package ``idc-index-data``.

    Raises:
        MissingFileError: There is no file at ``index``.
        UnreadableFileError: It is no Parquet file, or lacks a column.
        UsageError: ``index`` is ``None`` and the package is not installed.
    """
    path = _installed_index() if index is None else index
    if not path.is_file():
        raise MissingFileError(
            path,
            "no such file",
            "an IDC index (.parquet)",
            "Check the path, or leave the option out to use the installed index.",
        )
    # An empty list has no type that Arrow could compare with the column's.
    wanted = [("SeriesInstanceUID", "in", sorted({"", *series_uids}))]
    try:
        absent = [name for name in _COLUMNS if name not in pq.read_schema(path).names]
        if absent:
            raise _no_index(path, f"no column {', '.join(absent)}")
        rows = pq.read_table(path, columns=list(_COLUMNS), filters=wanted).to_pylist()
        return {row["SeriesInstanceUID"]: _series(row) for row in rows}
    except UnreadableFileError:
        raise
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise _no_index(path, f"a file that is no such index ({error})") from error


def index_version() -> str:
    """Return which release of the archive the installed index describes."""
    _installed_index()
    release = version("idc-index-data")
    return f"IDC v{release.partition('.')[0]} (idc-index-data {release})"


def _installed_index() -> Path:
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ModuleNotFoundError as error:
        raise UsageError(
            "the IDC index",
            "no package idc-index-data",
            "it to be installed",
            'Install it: pip install "saros-hf[download]", or give --index PARQUET.',
        ) from error
    return Path(IDC_INDEX_PARQUET_FILEPATH or "idc_index.parquet")


def _no_index(path: Path, found: str) -> UnreadableFileError:
    return UnreadableFileError(
        path,
        found,
        f"a .parquet file with the columns {', '.join(_COLUMNS)}",
        "Use the idc_index.parquet of the package idc-index-data.",
    )


def _series(row: dict[str, Any]) -> RemoteSeries:
    empty = [name for name in _COLUMNS if row[name] is None and name != "license_short_name"]
    if empty:
        raise ValueError(f"{row['SeriesInstanceUID']} has no {empty[0]}")
    license_ = row["license_short_name"]
    return RemoteSeries(
        series_uid=row["SeriesInstanceUID"],
        instances=int(row["instanceCount"]),
        size_bytes=round(row["series_size_MB"] * 1e6),
        license=license_ if license_ in get_args(License) else "unknown",
        location=f"s3://{row['aws_bucket']}/{row['crdc_series_uuid']}/",
    )
