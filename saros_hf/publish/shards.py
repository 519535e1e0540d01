"""Parquet shards of a configuration: built from a folder of cases, known by their digests."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import RightsError, saros_cause
from ..files import sha256
from ..load.builder import Saros
from ..load.config import SCHEMA_VERSION

SHARD = re.compile(r"(train|validation|test)-\d{5}-of-\d{5}\.parquet")
"""Names of the files in the folder of a configuration."""

_MAX_SHARD_SIZE = "500MB"
_RECORD = "built.json"
_SPARE = "shards"
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


def workshop_of(folder: Path) -> Path:
    """Return the folder beside ``folder`` for what is not published; it may be deleted."""
    place = folder.resolve()
    return place.with_name(f".{place.name}-workshop")


def build_shards(
    folder: Path,
    config: str,
    *,
    data_dir: Path,
    cases: tuple[str, ...],
    num_proc: int | None = None,
) -> datasets.DatasetInfo:
    """Write ``folder/config/SPLIT-XXXXX-of-XXXXX.parquet``, voxels inside the rows.

    Shards are left alone, byte for byte, if they are those that an earlier call built of these
    cases as they lie in ``data_dir`` now; else all of them are built anew.

    Args:
        folder: To publish.
        config: ``volumes``, ``slices``, ``masks``, or one of the first two with ``-nc``.
        data_dir: Folder of cases.
        cases: Which of them.
        num_proc: Processes.

    Returns:
        Their features and sizes.

    Raises:
        SarosError: A file of a case is missing or wrong; nothing of this configuration is left.
    """
    workshop = workshop_of(folder)
    builder = Saros(
        config_name=config.removesuffix("-nc"),
        data_dir=str(data_dir),
        dataset_name="saros",
        hash=f"saros-{SCHEMA_VERSION}",
        cache_dir=str(workshop / "cache"),
        embed=True,
        cases=list(cases),
    )
    shards, known = folder / config, workshop / config
    if (known / _SPARE).is_dir() and not shards.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(known / _SPARE, shards)
    source = f"{SCHEMA_VERSION} {builder.config_id}"
    if not _are_as_built(shards, known / _RECORD, source):
        for stale in (shards, known):
            shutil.rmtree(stale, ignore_errors=True)
        fresh = _prepared(builder, workshop / "fresh" / config, num_proc)
        _put_in_place(fresh, shards, source)
        fresh.replace(known)
    return datasets.DatasetInfo.from_directory(str(known))


def put_aside(folder: Path, config: str) -> None:
    """Move the shards of a configuration out of a folder; :func:`build_shards` takes them back."""
    shards, known = folder / config, workshop_of(folder) / config
    if shards.is_dir():
        known.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(known / _SPARE, ignore_errors=True)
        shutil.move(shards, known / _SPARE)


def read_told(folder: Path, config: str) -> dict[str, pa.Table]:
    """Return the columns without pixels of each split of a configuration."""
    splits: dict[str, list[pa.Table]] = {}
    for shard in sorted((folder / config).glob("*.parquet")):
        present = pq.read_schema(shard).names
        table = pq.read_table(shard, columns=[name for name in _TOLD if name in present])
        splits.setdefault(shard.name.partition("-")[0], []).append(table)
    return {split: pa.concat_tables(tables) for split, tables in splits.items()}


def refuse_foreign_rows(folder: Path, config: str, allowed: Mapping[str, str]) -> None:
    """Raise if shards hold a case that may not be published.

    The last look before an upload, at what lies there rather than at what was meant to.

    Args:
        folder: To publish.
        config: One of its configurations.
        allowed: SeriesInstanceUID by case id.

    Raises:
        RightsError: Names the shard and what is in it.
    """
    for shard in sorted((folder / config).glob("*.parquet")):
        if config == "masks" and "image" in pq.read_schema(shard).names:
            raise _not_ours(shard, "CTs")
        for row in pq.read_table(shard, columns=["case_id", "series_instance_uid"]).to_pylist():
            if allowed.get(row["case_id"]) != row["series_instance_uid"]:
                raise _not_ours(shard, f"{row['case_id']}, series {row['series_instance_uid']}")


def _are_as_built(shards: Path, record: Path, source: str) -> bool:
    """Return whether shards are, to the last byte, those on record, made of the same cases."""
    if not shards.is_dir() or not record.is_file():
        return False
    return record.read_text(encoding="utf-8") == _told_of(shards, source)


def _told_of(shards: Path, source: str) -> str:
    digests = {path.name: sha256(path) for path in sorted(shards.iterdir())}
    return json.dumps({"source": source, "sha256": digests}, indent=1)


def _prepared(builder: Saros, fresh: Path, num_proc: int | None) -> Path:
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
    return fresh


def _put_in_place(fresh: Path, shards: Path, source: str) -> None:
    """Move shards out of the folder that they were built in, and leave a record there."""
    shards.mkdir(parents=True)
    for built in fresh.glob("*.parquet"):
        shutil.move(built, shards / _hub_name(built))
    (fresh / _RECORD).write_text(_told_of(shards, source), encoding="utf-8")


def _hub_name(shard: Path) -> str:
    """Return the name that the Hub is used to; datasets numbers only shards of several."""
    name = shard.stem.removeprefix("saros-")
    return f"{name}.parquet" if "-of-" in name else f"{name}-00000-of-00001.parquet"


def _not_ours(shard: Path, found: str) -> RightsError:
    return RightsError(
        shard,
        found,
        "rows that may be published, as this command writes them",
        "Delete the folder and run the same command again.",
    )
