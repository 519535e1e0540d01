"""SAROS as a dataset on the Hugging Face Hub: shards and card in a folder, then the upload."""

import errno
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..cases.table import TABLE_NAME, find_table, read_case_table, write_case_table
from ..errors import MissingFileError, UsageError
from ..files import files_in, replace_files
from ..hub.client import CARD, Destination, files_on_hub, push_folder
from ..load.builder import Saros, own_errors
from ..load.zipped_masks import find_masks
from .dataset_card import PublishedConfig, dataset_card
from .rights import Part, Rights, check_rights

CONFIGS: Mapping[Part, tuple[str, ...]] = {
    "cc-by": ("volumes", "slices"),
    "masks": ("masks",),
    "cc-by-nc": ("volumes-nc", "slices-nc"),
}
"""Configurations of each part; the first published one is the default."""

_SHARD = r"(train|validation|test)-\d{5}-of-\d{5}\.parquet"
_OURS = re.compile(
    rf"{re.escape(CARD)}|{re.escape(TABLE_NAME)}|({'|'.join(sum(CONFIGS.values(), ()))})/{_SHARD}"
)
_MAX_SHARD_SIZE = "500MB"
_SHARE_OF_SLICES = 0.25
"""Size of annotated slices, one in ten and less compressed, by that of whole cases."""
_CARD_COLUMNS = (
    "case_id",
    "collection",
    "license",
    "annotated_slices",
    "region_labels",
    "part_labels",
)


@dataclass(frozen=True)
class DatasetFolder:
    """A folder that is ready to be published.

    Attributes:
        folder: Folder with these files and no others.
        files: Paths inside it.
        configs: Published configurations.
        withheld: Reason why a CT is in none of them, by case id; empty if none was asked for.
        left_out: Reason why nothing of a case is published, by case id.
    """

    folder: Path
    files: tuple[str, ...]
    configs: tuple[str, ...]
    withheld: Mapping[str, str]
    left_out: Mapping[str, str]


def write_dataset_folder(
    folder: Path,
    data_dir: Path,
    parts: Collection[Part],
    *,
    repo_id: str,
    num_proc: int | None = None,
    on_config: Callable[[str], None] = lambda _: None,
) -> DatasetFolder:
    """Write shards, case table and card as they are to be published.

    The files of an earlier call are replaced once all new ones are on disk. The same cases give
    the same bytes.

    Args:
        folder: A new folder, or one that an earlier call wrote.
        data_dir: Folder of cases.
        parts: Parts to publish.
        repo_id: ``user/name``, for the card.
        num_proc: Number of processes that build shards.
        on_config: Called with the name of each configuration before it is built.

    Raises:
        RightsError: The files of a case belong to another case.
        SarosError: Something in ``data_dir`` or ``folder`` is wrong.
    """
    cases = read_case_table(find_table(data_dir))
    rights = check_rights(data_dir, cases, parts)
    chosen = {part: _cases_of(data_dir, part, rights) for part in CONFIGS if part in parts}
    with replace_files(folder, _OURS) as aside:
        _refuse_full_disk(aside, data_dir, chosen)
        published = []
        for part, members in chosen.items():
            for name in CONFIGS[part]:
                on_config(name)
                published.append(_build(aside, name, data_dir, members, num_proc))
        # Written anew, as the user's own table may have more columns.
        write_case_table(aside / TABLE_NAME, [c for c in cases if c.case_id not in rights.left_out])
        card = dataset_card(published, repo_id=repo_id, table_name=TABLE_NAME)
        (aside / CARD).write_text(str(card), encoding="utf-8")
    files = tuple(files_in(folder))
    return DatasetFolder(folder, files, configs_of(parts), rights.withheld, rights.left_out)


def push_dataset(ready: DatasetFolder, to: Destination) -> str:
    """Upload a folder and return the repository's address.

    Raises:
        UsageError: The repository holds configurations that ``ready`` lacks.
        HubError: The Hub refuses, or cannot be reached.
    """
    refuse_to_drop(to, ready.configs)
    replaces = [f"{name}/*.parquet" for name in ready.configs]
    gated = any(name in ready.configs for name in CONFIGS["cc-by-nc"])
    return push_folder(ready.folder, ready.files, to, replaces=replaces, gated=gated)


def refuse_to_drop(to: Destination, configs: Sequence[str]) -> None:
    """Raise if a repository holds configurations that are not published now.

    The new card lists only what is published now, so nobody could load the others any more.

    Raises:
        UsageError: Names those configurations.
        HubError: The Hub refuses, or cannot be reached.
    """
    on_hub = {path.partition("/")[0] for path in files_on_hub(to)}
    lost = {name for name in configs_of(CONFIGS) if name in on_hub} - set(configs)
    if lost:
        parts = [part for part, names in CONFIGS.items() if {*names} & {*lost, *configs}]
        raise UsageError(
            to.page,
            f"the configurations {', '.join(sorted(lost))}",
            f"none but {', '.join(configs)}",
            f"Publish all of them: --config {' '.join(parts)}, or delete those folders on the Hub.",
        )


def configs_of(parts: Collection[Part]) -> tuple[str, ...]:
    """Return the configurations of some parts, the default one first."""
    return tuple(name for part, names in CONFIGS.items() if part in parts for name in names)


def _cases_of(data_dir: Path, part: Part, rights: Rights) -> list[str]:
    """Return the ids of the cases of a part, at least one."""
    chosen = list(rights.allowed[part])
    if part == "masks":
        present = {one.case.case_id for one in find_masks(data_dir)}
        chosen = [case_id for case_id in chosen if case_id in present]
    if chosen:
        return chosen
    kind, withheld = ("label map", {}) if part == "masks" else ("CT", rights.withheld)
    reasons = [f"{case}: {why}" for case, why in {**rights.left_out, **withheld}.items()]
    more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    found = f"no {kind} that may be published as {part}"
    raise MissingFileError(
        data_dir,
        f"{found} ({'; '.join(reasons[:2])}{more})" if reasons else found,
        "at least one",
        "" if part == "masks" else "Publish the label maps alone: --config masks",
    )


def _refuse_full_disk(folder: Path, data_dir: Path, chosen: Mapping[Part, Collection[str]]) -> None:
    """Raise if the shards cannot fit; the Parquet writer ends the process on a full disk."""
    needed = 0.0
    for part, members in chosen.items():
        pattern = "body-*.nii.gz" if part == "masks" else "*.nii.gz"
        paths = (path for case_id in members for path in (data_dir / case_id).glob(pattern))
        size = sum(path.stat().st_size for path in paths)
        needed += size if part == "masks" else size * (1 + _SHARE_OF_SLICES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        text = f"No space left on device ({needed / 1e6:.1f} MB to write, {free / 1e6:.1f} MB free)"
        raise OSError(errno.ENOSPC, text, str(folder.parent))


def _build(
    folder: Path, config: str, data_dir: Path, cases: list[str], num_proc: int | None
) -> PublishedConfig:
    """Write ``folder/config/SPLIT-XXXXX-of-XXXXX.parquet`` with the voxels inside the rows."""
    (folder / config).mkdir()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
        builder = Saros(
            config_name=config.removesuffix("-nc"),
            data_dir=str(data_dir),
            dataset_name="saros",
            cache_dir=scratch,
            embed=True,
            cases=cases,
        )
        built = Path(scratch) / "shards"
        with own_errors(folder):
            builder.download_and_prepare(
                output_dir=str(built),
                file_format="parquet",
                max_shard_size=_MAX_SHARD_SIZE,
                num_proc=num_proc,
            )
        for shard in built.glob("*.parquet"):
            shutil.move(shard, folder / config / _hub_name(shard))
    shards = sorted((folder / config).iterdir())
    size = sum(shard.stat().st_size for shard in shards)
    return PublishedConfig(config, builder.info, _rows_without_pixels(shards), size)


def _hub_name(shard: Path) -> str:
    """Return ``SPLIT-XXXXX-of-XXXXX.parquet``; datasets does not number a single shard."""
    name = shard.stem.removeprefix("saros-")
    return f"{name}.parquet" if "-of-" in name else f"{name}-00000-of-00001.parquet"


def _rows_without_pixels(shards: Sequence[Path]) -> dict[str, pa.Table]:
    """Return the columns that the card counts, by split."""
    splits: dict[str, list[pa.Table]] = {}
    for shard in shards:
        present = pq.read_schema(shard).names
        table = pq.read_table(shard, columns=[name for name in _CARD_COLUMNS if name in present])
        splits.setdefault(shard.name.partition("-")[0], []).append(table)
    return {split: pa.concat_tables(tables) for split, tables in splits.items()}
