"""SAROS as a dataset on the Hugging Face Hub: shards and card in a folder, then the upload."""

import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cases.table import TABLE_NAME, find_table, read_case_table, write_case_table
from ..errors import MissingFileError, UsageError
from ..files import ASIDE_PREFIX, refuse_other_files, write_atomically
from ..hub.client import CARD, Destination, files_on_hub, push_folder
from ..load.zipped_masks import find_masks
from .card_tables import PublishedConfig
from .clearance import clear
from .dataset_card import dataset_card
from .rights import Part, Rights
from .shards import SHARD, build_shards, put_aside, read_told, refuse_foreign_rows

CONFIGS: Mapping[Part, tuple[str, ...]] = {
    "cc-by": ("volumes", "slices"),
    "masks": ("masks",),
    "cc-by-nc": ("volumes-nc", "slices-nc"),
}
"""Configurations of each part; the first that is published is the default one."""
_OURS = re.compile(
    rf"{re.escape(CARD)}|{re.escape(TABLE_NAME)}|({'|'.join(sum(CONFIGS.values(), ()))})/({SHARD.pattern})"
)
_PART_OF = {name: part for part, names in CONFIGS.items() for name in names}


@dataclass(frozen=True)
class DatasetFolder:
    """What is ready to be published.

    Attributes:
        folder: Holds the files, and no others.
        files: Paths inside it.
        configs: Published configurations.
        withheld: Why the CT of a case is in none of them, by case id; empty if none was asked for.
        left_out: Why nothing of a case is, by case id.
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

    Called again it builds only what has changed. Parts of an earlier call that are not asked for
    any more leave the folder; they need not be built again when they are.

    Args:
        folder: New, or one that an earlier call wrote.
        data_dir: Folder of cases.
        parts: What to publish.
        repo_id: ``user/name``, for the card.
        num_proc: Processes that build.
        on_config: Told the name of each configuration before it is built.

    Raises:
        RightsError: Something in ``data_dir`` may not be published as what it is said to be.
        SarosError: Something in ``data_dir`` or ``folder`` is wrong.
    """
    refuse_other_files(folder, _OURS)
    cases = read_case_table(find_table(data_dir))
    checked = clear(data_dir, cases, parts)
    chosen = {part: _chosen(data_dir, part, checked) for part in CONFIGS if part in parts}
    configs = configs_of(parts)
    _tidy(folder, configs)
    published = []
    for name in configs:
        part = _PART_OF[name]
        on_config(name)
        info = build_shards(folder, name, data_dir=data_dir, cases=chosen[part], num_proc=num_proc)
        refuse_foreign_rows(folder, name, checked.allowed[part])
        rows, sizes = read_told(folder, name), _sizes(folder / name)
        published.append(PublishedConfig(name, info, rows, sizes))
    # Written anew: the user's own table may have columns that are nobody's business.
    write_case_table(folder / TABLE_NAME, [c for c in cases if c.case_id not in checked.left_out])
    card = dataset_card(published, repo_id=repo_id, table_name=TABLE_NAME)
    with write_atomically(folder / CARD) as aside:
        aside.write_text(str(card), encoding="utf-8")
    files = _files(folder, configs)
    return DatasetFolder(folder, files, configs, checked.withheld, checked.left_out)


def push_dataset(ready: DatasetFolder, to: Destination) -> str:
    """Upload what is ready and return the repository's address.

    Raises:
        UsageError: The repository holds configurations that ``ready`` lacks.
        HubError: The Hub refused, or could not be reached.
    """
    refuse_to_drop(to, ready.configs)
    replaces = [f"{name}/*.parquet" for name in ready.configs]
    has_terms = any(name in ready.configs for name in CONFIGS["cc-by-nc"])
    return push_folder(ready.folder, ready.files, to, replaces=replaces, gated=has_terms)


def refuse_to_drop(to: Destination, configs: Sequence[str]) -> None:
    """Raise if a repository holds configurations that are not to be published now.

    Its card is written anew and lists what is published now alone, so the others would still be
    there and nobody could load them.

    Raises:
        UsageError: Names them, and what to ask for instead.
        HubError: The Hub refused, or could not be reached.
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


def _chosen(data_dir: Path, part: Part, checked: Rights) -> tuple[str, ...]:
    """Return the cases of a part, at least one."""
    allowed = checked.allowed[part]
    if part == "masks":
        present = [one.case.case_id for one in find_masks(data_dir)]
        chosen = tuple(case_id for case_id in present if case_id in allowed)
    else:
        chosen = tuple(allowed)
    if chosen:
        return chosen
    kind, why_not = ("label map", {}) if part == "masks" else ("CT", checked.withheld)
    reasons = [f"{case}: {why}" for case, why in {**checked.left_out, **why_not}.items()]
    more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    raise MissingFileError(
        data_dir,
        f"no {kind} that may be published as {part}"
        + (f" ({'; '.join(reasons[:2])}{more})" if reasons else ""),
        "at least one",
        "Give a folder of SAROS."
        if part == "masks"
        else "Publish the label maps alone: --config masks",
    )


def _tidy(folder: Path, configs: Sequence[str]) -> None:
    """Clear a folder of what a killed run left and of configurations not to be published."""
    for left in folder.glob(f"{ASIDE_PREFIX}*"):
        shutil.rmtree(left)
    for name in configs_of(CONFIGS):
        if name not in configs:
            put_aside(folder, name)


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for shard in folder.glob("*.parquet"):
        split = shard.name.partition("-")[0]
        sizes[split] = sizes.get(split, 0) + shard.stat().st_size
    return sizes


def _files(folder: Path, configs: Sequence[str]) -> tuple[str, ...]:
    shards = [
        str(path.relative_to(folder))
        for name in configs
        for path in sorted((folder / name).glob("*.parquet"))
    ]
    return (CARD, TABLE_NAME, *shards)
