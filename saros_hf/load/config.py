"""Options of ``load_dataset("saros", ...)`` and the name of the cache they lead to."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
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
from .registration import SCHEMA_VERSION

DATA_DIR_VARIABLE = "SAROS_DATA_DIR"

ConfigName: TypeAlias = Literal["volumes", "slices", "masks"]
Names: TypeAlias = str | Sequence[str] | None

_FILTERS = {
    "cases": "case_id",
    "collections": "collection",
    "licenses": "license",
    "anatomic_region": "anatomic_region",
}
"""Attribute of :class:`Case` that each filter option selects by."""


@dataclass
class SarosConfig(datasets.BuilderConfig):
    """Options of ``load_dataset("saros", name, ...)``.

    Attributes:
        name: ``volumes`` for a row per case, ``slices`` for a row per annotated slice, or
            ``masks`` for a row per case without its CT.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV; the environment
            variable ``SAROS_DATA_DIR`` if it is ``None``.
        fold: Number 1..5 of the fold that is the validation split.
        splits: ``paper`` for train, validation and test; ``folds`` for fold_1..fold_5 and test.
        cases: Only these case ids.
        collections: Only CTs of these collections.
        licenses: Only CTs under these licences, e.g. ``CC BY 4.0``.
        anatomic_region: Only CTs of ``abdomen``, ``thorax`` or ``wholebody``.
        context: Number of neighbouring slices on each side, as channels of a ``slices`` image.
        unannotated: Whether ``slices`` has rows for slices without annotation too.
        compress: Whether ``slices`` stores compressed arrays, which
            :class:`saros_hf.SliceViews` unpacks.
        embed: Whether rows of ``volumes`` and ``masks`` contain NIfTI files, written anew with
            grid and voxels only, so that they outlive the folder.
        source: Archive to stream from instead of a folder, ``idc`` or ``nbia``.
        table: Path or URL of the case table for streaming from an archive.
        masks: Path or URL of the ZIP of label maps for streaming from an archive.
        index: Path of an IDC index (.parquet) for streaming from an archive.
        endpoint: Mirror of the archive.
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
        """Name the cache after the options and the folder's content, so that changes rebuild it."""
        # `datasets` sets options on a copy of a named config, so __post_init__ never sees them.
        self._refuse_bad_options()
        key = {k: v for k, v in config_kwargs.items() if k not in ("data_files", "data_dir")}
        folder = self.folder()
        key["contents"] = "archive" if folder is None else _contents_hash(folder, self.name)
        config_id: str = super().create_config_id(key, custom_features)
        return config_id

    def folder(self) -> Path | None:
        """Return the folder of cases, ``None`` if none is given or an archive is."""
        given = self.data_dir or os.environ.get(DATA_DIR_VARIABLE)
        if self.source is not None or not given:
            return None
        return Path(given).expanduser().resolve()

    def require_folder(self) -> Path:
        """Return the folder of cases.

        Raises:
            MissingFileError: No folder is given; the message says how to get one.
            UsageError: An archive is given, which can only be streamed.
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

    def chosen_ids(self, cases: Sequence[Case]) -> set[str]:
        """Return the ids of the cases that pass all filters.

        Raises:
            UsageError: A filter names something that no case has.
        """
        chosen = {case.case_id for case in cases}
        for option, attribute in _FILTERS.items():
            names = getattr(self, option)
            if names is None:
                continue
            names = (names,) if isinstance(names, str) else tuple(names)
            known = {getattr(case, attribute) for case in cases}
            for name in names:
                if name not in known:
                    examples = ", ".join(sorted(known)[:4])
                    expected = f"one of the case table, such as {examples}"
                    raise UsageError(option, repr(name), expected)
            chosen &= {case.case_id for case in cases if getattr(case, attribute) in names}
        return chosen

    def split_names(self) -> list[str]:
        """Return the names of all splits; ``datasets`` allows no hyphen in them."""
        names = FOLDS if self.splits == "folds" else SPLITS
        return [name.replace("-", "_") for name in names]

    def split_name(self, case: Case) -> str:
        """Return the split that a case belongs to."""
        if self.splits == "folds":
            return case.fold.replace("-", "_")
        return split_of(case.fold, validation_fold=self.fold)

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
                raise UsageError(option, str(getattr(self, option)), expected)


def _contents_hash(folder: Path, name: str) -> str:
    """Return a hash of the folder's path, its table, and size and time of the files rows use."""
    digest = hashlib.sha256(find_table(folder).read_bytes())
    digest.update(str(folder).encode())
    files = [f"{task}.nii.gz" for task in TASKS] + ([] if name == "masks" else [IMAGE_NAME])
    paths = [case / file for case in sorted(folder.glob("case_*")) for file in sorted(files)]
    if name == "masks":
        paths.append(folder / MASKS.name)
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            place = path.relative_to(folder).as_posix()
            digest.update(f"{place} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
