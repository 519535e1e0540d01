"""SAROS as a dataset on the Hugging Face Hub: shards and card in a folder, then the upload."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .card import PublishedConfig, dataset_card
from .case_files import CaseFiles
from .case_table import find_table, read_case_table
from .clearance import clear
from .errors import MissingFileError, UsageError
from .files import write_atomically
from .hub import CARD, Destination, check_destination, files_on_hub, push_folder
from .rights import Part, Rights
from .shards import WORKSHOP, build_shards, read_told, refuse_foreign_rows

CONFIGS: Mapping[Part, tuple[str, ...]] = {
    "cc-by": ("volumes", "slices"),
    "masks": ("masks",),
    "cc-by-nc": ("volumes-nc", "slices-nc"),
}
"""Configurations of each part; the first that is published is the default one."""


@dataclass(frozen=True)
class DatasetFolder:
    """What is ready to be published.

    Attributes:
        folder: Holds the files.
        files: Paths inside it, all that is uploaded.
        configs: Published configurations.
        withheld: Why the CT of a case is in none of them, by case id.
    """

    folder: Path
    files: tuple[str, ...]
    configs: tuple[str, ...]
    withheld: Mapping[str, str]


def write_dataset_folder(
    folder: Path,
    data_dir: Path,
    parts: Sequence[Part],
    *,
    repo_id: str,
    num_proc: int | None = None,
    on_config: Callable[[str], None] = lambda _: None,
) -> DatasetFolder:
    """Write shards, case table and card as they are to be published.

    Called again it builds only what has changed. Parts that ``folder`` holds already stay.

    Args:
        folder: New, or one that an earlier call wrote.
        data_dir: Folder of cases.
        parts: What to publish.
        repo_id: ``user/name``, for the card.
        num_proc: Processes that build.
        on_config: Told the name of each configuration before it is built.

    Raises:
        RightsError: Something in ``folder`` may not be published.
        SarosError: Something in ``data_dir`` or ``folder`` is wrong.
    """
    table = find_table(data_dir)
    cases = read_case_table(table)
    _refuse_foreign_files(folder, table.name)
    checked = clear(data_dir, cases)
    images = (CaseFiles(case, data_dir / case.case_id).image for case in cases)
    present = [image.parent.name for image in images if image.is_file()]
    published = []
    for part, name in _wanted(folder, parts):
        allowed = checked.allowed.get(part)
        chosen = None if allowed is None else tuple(one for one in present if one in allowed)
        if chosen == ():
            raise _nothing(data_dir, part, checked)
        on_config(name)
        info = build_shards(folder, name, data_dir=data_dir, cases=chosen, num_proc=num_proc)
        refuse_foreign_rows(folder, name, allowed)
        rows, sizes = read_told(folder, name), _sizes(folder / name)
        published.append(PublishedConfig(name, info, rows, sizes))
    with write_atomically(folder / table.name) as aside:
        shutil.copyfile(table, aside)
    card = dataset_card(published, repo_id=repo_id, table_name=table.name)
    with write_atomically(folder / CARD) as aside:
        aside.write_text(str(card), encoding="utf-8")
    names = tuple(config.name for config in published)
    return DatasetFolder(folder, _files(folder, table.name, names), names, checked.withheld)


def push_dataset(ready: DatasetFolder, to: Destination) -> str:
    """Upload what is ready and return the repository's address.

    Raises:
        HubError: The Hub refused, could not be reached, or holds configurations that ``ready``
            lacks.
    """
    check_destination(to)
    known = {name for names in CONFIGS.values() for name in names}
    lost = known & {path.partition("/")[0] for path in files_on_hub(to)} - set(ready.configs)
    if lost:
        raise UsageError(
            to.page,
            found=f"the configurations {', '.join(sorted(lost))}",
            expected=f"none but {', '.join(ready.configs)}: the card lists what is in {ready.folder}",
            remedy="Add them with --config, or delete them on the Hub.",
        )
    replaces = [f"{name}/*.parquet" for name in ready.configs]
    return push_folder(ready.folder, ready.files, to, replaces=replaces)


def _wanted(folder: Path, parts: Sequence[Part]) -> list[tuple[Part, str]]:
    """Return the configurations asked for and those that are there, which the card tells too."""
    return [
        (part, name)
        for part, names in CONFIGS.items()
        for name in names
        if part in parts or (folder / name).is_dir()
    ]


def _nothing(data_dir: Path, part: Part, checked: Rights) -> MissingFileError:
    reasons = [f"{case}: {why}" for case, why in checked.withheld.items()]
    more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    return MissingFileError(
        data_dir,
        found=f"no CT that may be published as {part}"
        + (f" ({'; '.join(reasons[:2])}{more})" if reasons else ""),
        expected="at least one",
        remedy="Publish the label maps alone: --config masks",
    )


def _refuse_foreign_files(folder: Path, table_name: str) -> None:
    """Raise if the folder holds what this module did not write: it would be published too."""
    known = {CARD, table_name, WORKSHOP, *(name for names in CONFIGS.values() for name in names)}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        strangers = [path] if path.name not in known else []
        if path.is_dir() and path.name != WORKSHOP:
            strangers += [one for one in path.iterdir() if one.suffix != ".parquet"]
        if strangers:
            raise UsageError(
                strangers[0],
                found="a file that this command did not write",
                expected="a new folder, or one that it wrote",
                remedy="Move it away, or give another --out.",
            )


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for shard in folder.glob("*.parquet"):
        split = shard.name.partition("-")[0]
        sizes[split] = sizes.get(split, 0) + shard.stat().st_size
    return sizes


def _files(folder: Path, table_name: str, configs: Sequence[str]) -> tuple[str, ...]:
    shards = [
        str(path.relative_to(folder))
        for name in configs
        for path in sorted((folder / name).glob("*.parquet"))
    ]
    return (CARD, table_name, *shards)
