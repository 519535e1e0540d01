"""Parquet shards of a configuration: built from a folder of cases, and read back."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from .builder import Saros
from .config import SCHEMA_VERSION
from .errors import RightsError, saros_cause

WORKSHOP = ".saros"
"""Folder inside the one to publish, for what is not published."""

_MAX_SHARD_SIZE = "500MB"
_TOLD = (
    "case_id",
    "series_instance_uid",
    "collection",
    "license",
    "annotated_slices",
    "region_labels",
    "part_labels",
)
"""Columns without pixels."""


def build_shards(
    folder: Path,
    config: str,
    *,
    data_dir: Path,
    cases: tuple[str, ...] | None,
    num_proc: int | None = None,
) -> datasets.DatasetInfo:
    """Write ``folder/config/SPLIT-XXXXX-of-XXXXX.parquet``, files and arrays inside the rows.

    Shards that hold these cases already, as they lie in ``data_dir`` now, are left alone.

    Args:
        folder: To publish.
        config: ``volumes``, ``slices``, ``masks``, or one of the first two with ``-nc``.
        data_dir: Folder of cases.
        cases: Which of them, ``None`` for all.
        num_proc: Processes.

    Returns:
        Their features and sizes.

    Raises:
        SarosError: A file of a case is missing or wrong; nothing of this configuration is left.
    """
    workshop = (folder / WORKSHOP).resolve()
    builder = Saros(
        config_name=config.removesuffix("-nc"),
        data_dir=str(data_dir),
        dataset_name="saros",
        hash=f"saros-{SCHEMA_VERSION}",
        cache_dir=str(workshop / "cache"),
        embed=True,
        cases=None if cases is None else list(cases),
    )
    known = workshop / f"{config}-{SCHEMA_VERSION}-{builder.config_id}"
    if known.is_dir() and (folder / config).is_dir():
        return datasets.DatasetInfo.from_directory(str(known))
    for stale in (folder / config, *workshop.glob(f"{config}-{SCHEMA_VERSION}-*")):
        shutil.rmtree(stale, ignore_errors=True)
    fresh = workshop / "fresh" / config
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        builder.download_and_prepare(
            output_dir=str(fresh),
            file_format="parquet",
            max_shard_size=_MAX_SHARD_SIZE,
            num_proc=num_proc,
        )
    except Exception as error:
        cause = saros_cause(error)
        if cause is None:
            raise
        raise cause from error
    (folder / config).mkdir()
    for shard in sorted(fresh.glob("*.parquet")):
        shard.replace(folder / config / _hub_name(shard))
    fresh.replace(known)
    return datasets.DatasetInfo.from_directory(str(known))


def read_told(folder: Path, config: str) -> dict[str, pa.Table]:
    """Return the columns without pixels of each split of a configuration."""
    splits: dict[str, list[pa.Table]] = {}
    for shard in sorted((folder / config).glob("*.parquet")):
        present = pq.read_schema(shard).names
        table = pq.read_table(shard, columns=[name for name in _TOLD if name in present])
        splits.setdefault(shard.name.partition("-")[0], []).append(table)
    return {split: pa.concat_tables(tables) for split, tables in splits.items()}


def refuse_foreign_rows(folder: Path, config: str, allowed: Mapping[str, str] | None) -> None:
    """Raise if shards hold the pixels of a case that may not be published.

    The last look before an upload, at what lies there rather than at what was meant to.

    Args:
        folder: To publish.
        config: One of its configurations.
        allowed: SeriesInstanceUID by case id; ``None`` if the rows must hold no CT at all.

    Raises:
        RightsError: Names the shard and what is in it.
    """
    for shard in sorted((folder / config).iterdir()):
        columns = _columns(shard)
        if allowed is None and "image" in columns:
            raise _not_ours(shard, "CTs")
        rows = pq.read_table(shard, columns=["case_id", "series_instance_uid"]).to_pylist()
        for row in rows if allowed is not None else ():
            if (allowed or {}).get(row["case_id"]) != row["series_instance_uid"]:
                raise _not_ours(shard, f"{row['case_id']}, series {row['series_instance_uid']}")


def _hub_name(shard: Path) -> str:
    """Return the name that the Hub is used to; datasets numbers only shards of several."""
    name = shard.stem.removeprefix("saros-")
    return f"{name}.parquet" if "-of-" in name else f"{name}-00000-of-00001.parquet"


def _columns(shard: Path) -> list[str]:
    try:
        names: list[str] = pq.read_schema(shard).names
    except (pa.ArrowException, OSError) as error:
        raise _not_ours(shard, "a file that is no shard") from error
    if not {"case_id", "series_instance_uid"} <= set(names):
        raise _not_ours(shard, f"columns {', '.join(names[:5])}")
    return names


def _not_ours(shard: Path, found: str) -> RightsError:
    return RightsError(
        shard,
        found=found,
        expected="rows that may be published, as this command writes them",
        remedy="Delete the folder and run the same command again.",
    )
