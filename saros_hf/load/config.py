"""Options of ``load_dataset("saros", ...)``, and the name of the cache that they lead to."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import datasets

from ..archive.obtain_files import MASKS
from ..archive.sources import SOURCES, SourceName
from ..cases.case import Case
from ..cases.files import IMAGE_NAME
from ..cases.table import find_table
from ..errors import MissingFileError, UsageError
from ..folds import FOLDS, SPLITS, split_of
from ..labels import TASKS
from .slice_rows import SliceOptions

SCHEMA_VERSION = "1.2.1"
"""Raise it whenever rows change: it is part of every cache folder's name."""

DATA_DIR_VARIABLE = "SAROS_DATA_DIR"

ConfigName: TypeAlias = Literal["volumes", "slices", "masks"]
Names: TypeAlias = str | Sequence[str] | None


@dataclass
class SarosConfig(datasets.BuilderConfig):
    """Options of ``load_dataset("saros", name, ...)``.

    Attributes:
        name: ``volumes``, a row per case, ``slices``, a row per annotated slice, or ``masks``, a
            row per case without its CT.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV; the environment
            variable ``SAROS_DATA_DIR`` if it is ``None``.
        fold: Number 1..5 of the fold that is the validation split.
        splits: ``paper`` for train, validation and test; ``folds`` for fold_1..fold_5 and test.
        cases: Only these case ids.
        collections: Only CTs of these collections.
        licenses: Only CTs under these licences, e.g. ``CC BY 4.0``.
        anatomic_region: Only CTs of ``abdomen``, ``thorax`` or ``wholebody``.
        context: Neighbouring slices on each side, as channels of a ``slices`` image.
        unannotated: Let ``slices`` have a row for the slices nobody annotated, too.
        compress: Keep the arrays of ``slices`` packed; :class:`saros_hf.SliceViews` unpacks them.
        embed: Keep grids and voxels themselves in the rows, as NIfTI files written anew; the rows
            then outlive the folder.
        source: Archive to stream from instead of a folder.
        table: Path or URL of another case table for that.
        masks: Path or URL of another ZIP of label maps for that.
        index: Another IDC index (.parquet) for that.
        endpoint: A mirror of the archive.
    """

    version: str | datasets.Version = SCHEMA_VERSION
    fold: int = 1
    splits: Literal["paper", "folds"] = "paper"
    cases: Names = None
    collections: Names = None
    licenses: Names = None
    anatomic_region: Names = None
    context: int = 0
    unannotated: bool = False
    compress: bool = False
    embed: bool = False
    source: SourceName | None = None
    table: str | None = None
    masks: str | None = None
    index: str | None = None
    endpoint: str | None = None

    def create_config_id(
        self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None
    ) -> str:
        """Name the cache after what the folder holds now, so that changed data is built anew."""
        # `datasets` sets options on a copy of a named config, so __post_init__ never sees them.
        self._refuse_bad_options()
        told = {k: v for k, v in config_kwargs.items() if k not in ("data_files", "data_dir")}
        folder = self.folder()
        told["contents"] = "archive" if folder is None else _contents_hash(folder, self.name)
        config_id: str = super().create_config_id(told, custom_features)
        return config_id

    def folder(self) -> Path | None:
        """Return the folder of cases, ``None`` if there is none to read from."""
        given = self.data_dir or os.environ.get(DATA_DIR_VARIABLE)
        if self.source is not None or not given:
            return None
        return Path(given).expanduser().resolve()

    def require_folder(self) -> Path:
        """Return the folder of cases.

        Raises:
            MissingFileError: None is given, and how to get one.
            UsageError: An archive is, which can only be streamed.
        """
        if self.source is not None:
            raise UsageError(
                "source",
                f"{self.source!r} without streaming=True",
                "a folder of cases, or streaming=True",
                "Stream it, or fetch it first: saros download DIR",
            )
        folder = self.folder()
        if folder is None:
            raise MissingFileError(
                "data_dir",
                f"nothing, and no {DATA_DIR_VARIABLE} either",
                "a folder of cases",
                "Fetch SAROS: saros download DIR, or make phantoms: saros phantom DIR; "
                "then pass data_dir=DIR. Or pass streaming=True to read from the archive.",
            )
        return folder

    def slice_options(self) -> SliceOptions:
        """Return what ``slices`` keeps of a case."""
        return SliceOptions(self.context, self.unannotated, self.compress)

    def wants(self, case: Case) -> bool:
        """Return whether a case passes all filters."""
        return all(
            value in chosen
            for chosen, value in (
                (_names(self.cases), case.case_id),
                (_names(self.collections), case.collection),
                (_names(self.licenses), case.license),
                (_names(self.anatomic_region), case.anatomic_region),
            )
            if chosen is not None
        )

    def refuse_unknown_names(self, table: Sequence[Case]) -> None:
        """Raise if a filter names something that the case table does not have.

        Raises:
            UsageError: Names the filter and some that are there.
        """
        known: dict[str, list[str]] = {
            "cases": [case.case_id for case in table],
            "collections": [case.collection for case in table],
            "licenses": [str(case.license) for case in table],
            "anatomic_region": [str(case.anatomic_region) for case in table],
        }
        for option, names in known.items():
            unknown = [one for one in _names(getattr(self, option)) or () if one not in names]
            if unknown:
                raise UsageError(
                    option,
                    repr(unknown[0]),
                    f"one of the case table, such as {', '.join(sorted(set(names))[:4])}",
                )

    def split_names(self) -> tuple[str, ...]:
        """Return the names of all splits; `datasets` allows no hyphen in them."""
        return tuple(name.replace("-", "_") for name in self._groups())

    def split_name(self, case: Case) -> str:
        """Return the split that a case belongs to."""
        if self.splits == "folds":
            return case.fold.replace("-", "_")
        return split_of(case.fold, validation_fold=self.fold)

    def _groups(self) -> Iterator[str]:
        yield from FOLDS if self.splits == "folds" else SPLITS

    def _refuse_bad_options(self) -> None:
        legal = {
            "name": (self.name in get_args(ConfigName), "volumes, slices or masks"),
            "fold": (self.fold in range(1, 6), "1 to 5"),
            "splits": (self.splits in ("paper", "folds"), "paper or folds"),
            "context": (self.context in range(100), "0 or a few slices"),
            "source": (self.source in (None, *SOURCES), f"None, {' or '.join(SOURCES)}"),
        }
        for option, (is_legal, expected) in legal.items():
            if not is_legal:
                found = str(getattr(self, option))
                raise UsageError(option, found, expected)


def _names(chosen: Names) -> tuple[str, ...] | None:
    if chosen is None:
        return None
    return (chosen,) if isinstance(chosen, str) else tuple(chosen)


def _contents_hash(folder: Path, name: str) -> str:
    """Return a hash of the folder's place, its table, and size and time of what rows are made of.

    Nothing is opened but the table: 900 cases take some hundredths of a second.
    """
    files = {f"{task}.nii.gz" for task in TASKS} | ({IMAGE_NAME} if name != "masks" else set())
    digest = hashlib.sha256(find_table(folder).read_bytes())
    digest.update(str(folder).encode())
    with os.scandir(folder) as entries:
        cases = sorted(
            entry.name for entry in entries if entry.name.startswith("case_") and entry.is_dir()
        )
    for case_id in cases:
        with os.scandir(folder / case_id) as entries:
            present = sorted((entry.name, entry) for entry in entries if entry.name in files)
        for file_name, entry in present:
            status = entry.stat()
            told = f"{case_id}/{file_name} {status.st_size} {status.st_mtime_ns}\n"
            digest.update(told.encode())
    packed = folder / MASKS.name
    if name == "masks" and packed.is_file():
        status = packed.stat()
        digest.update(f"{packed.name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
