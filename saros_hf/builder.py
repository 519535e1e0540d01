"""The `datasets` builder behind ``load_dataset("saros")``.

`datasets` runs no loading scripts since 4.0; a builder inside a package is what takes their place.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets

from .case_files import CaseFiles, find_cases
from .case_table import find_table
from .errors import MissingFileError, UsageError
from .folds import FOLDS, SPLITS, Fold, split_of
from .nifti import read_grid
from .rows import CASE_FEATURES, VOLUME_FEATURES, slice_features, slice_rows, volume_row

SCHEMA_VERSION = "1.0.0"
"""Raise it whenever rows change: it is part of every cache folder's name."""

ConfigName = Literal["volumes", "slices"]


@dataclass
class SarosConfig(datasets.BuilderConfig):
    """Options of ``load_dataset("saros", name, ...)``.

    Attributes:
        name: ``volumes``, a row per case, or ``slices``, a row per annotated slice.
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        fold: Number 1..5 of the fold that is the validation split.
        splits: ``paper`` for train, validation and test; ``folds`` for fold_1..fold_5 and test.
        context: Neighbouring slices on each side, as channels of a ``slices`` image.
    """

    version: str | datasets.Version = SCHEMA_VERSION
    fold: int = 1
    splits: Literal["paper", "folds"] = "paper"
    context: int = 0

    def create_config_id(
        self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None
    ) -> str:
        """Name the cache after what the folder holds now, so that changed data is built anew."""
        # `datasets` sets options on a copy of a named config, so __post_init__ never sees them.
        self._refuse_bad_options()
        told = {k: v for k, v in config_kwargs.items() if k != "data_files"}
        told["contents"] = _contents_hash(_data_dir(self))
        config_id: str = super().create_config_id(told, custom_features)
        return config_id

    def _refuse_bad_options(self) -> None:
        legal = {
            "fold": (self.fold in range(1, 6), "1 to 5"),
            "splits": (self.splits in ("paper", "folds"), "paper or folds"),
            "context": (self.context in range(100), "0 or a few slices"),
        }
        for option, (is_legal, expected) in legal.items():
            if not is_legal:
                found = str(getattr(self, option))
                raise UsageError(
                    option, found=found, expected=expected, remedy="Choose one of them."
                )


class Saros(datasets.GeneratorBasedBuilder):
    """Streams SAROS cases or annotated slices from a folder of NIfTI files."""

    BUILDER_CONFIG_CLASS = SarosConfig
    BUILDER_CONFIGS = (
        SarosConfig(name="volumes", description="One row per CT, label maps as stored."),
        SarosConfig(name="slices", description="One row per annotated axial slice, RAS+."),
    )
    DEFAULT_CONFIG_NAME = "volumes"
    DEFAULT_WRITER_BATCH_SIZE = 16
    """A row holds megabytes; the library's 1000 rows a batch overflow Arrow's offsets."""

    def _info(self) -> datasets.DatasetInfo:
        features = CASE_FEATURES | (
            VOLUME_FEATURES if self.config.name == "volumes" else slice_features(None, 0)
        )
        return datasets.DatasetInfo(
            description="SAROS: sparsely annotated regions and organs in 900 CTs.",
            features=datasets.Features(features),
            homepage="https://doi.org/10.25737/SZ96-ZG60",
            license="label maps CC BY 4.0; CT images as the column license says",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:  # noqa: ARG002
        cases = find_cases(_data_dir(self.config))
        if self.config.name == "slices":
            shapes = {read_grid(files.image).shape[:2] for files in cases}
            shape = shapes.pop() if len(shapes) == 1 else None
            features = CASE_FEATURES | slice_features(shape, self.config.context)
            self.info.features = datasets.Features(features)
        groups = _group(cases, self.config)
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"cases": members})
            for name, members in groups.items()
            if members
        ]

    def _generate_examples(
        self, cases: list[CaseFiles]
    ) -> Iterator[tuple[str | tuple[str, int], dict[str, Any]]]:
        for files in cases:
            if self.config.name == "volumes":
                yield files.case.case_id, volume_row(files)
            else:
                for row in slice_rows(files, self.config.context):
                    yield (files.case.case_id, row["slice_index"]), row


def _group(cases: tuple[CaseFiles, ...], config: SarosConfig) -> dict[str, list[CaseFiles]]:
    """Return the cases of every split, splits in their usual order."""

    def split_name(fold: Fold) -> str:
        if config.splits == "folds":
            return fold.replace("-", "_")  # `datasets` allows no hyphen
        return split_of(fold, validation_fold=config.fold)

    groups: dict[str, list[CaseFiles]] = {}
    for name in FOLDS if config.splits == "folds" else SPLITS:
        groups[name.replace("-", "_")] = []
    for files in cases:
        groups[split_name(files.case.fold)].append(files)
    return groups


def _data_dir(config: SarosConfig) -> Path:
    if config.data_dir is None:
        raise MissingFileError(
            "data_dir",
            found="nothing",
            expected="a folder of cases",
            remedy='Pass data_dir=..., e.g. one made by "saros phantom DIR --cases 12".',
        )
    return Path(config.data_dir).expanduser().resolve()


def _contents_hash(folder: Path) -> str:
    """Return a hash of the table's bytes and of every case file's size and time of change."""
    digest = hashlib.sha256(find_table(folder).read_bytes())
    for path in sorted(folder.glob("case_*/*.nii.gz")):
        status = path.stat()
        digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


_CITATION = """@article{koitka2024saros,
  title = {SAROS: A dataset for whole-body region and organ segmentation in CT imaging},
  author = {Koitka, Sven and Baldini, Giulia and Kroll, Lennard and van Landeghem, Natalie and
            Pollok, Olivia B. and Haubold, Johannes and Pelka, Obioma and Kim, Moon and
            Kleesiek, Jens and Nensa, Felix and Hosch, Ren{\\'e}},
  journal = {Scientific Data},
  year = {2024},
  doi = {10.1038/s41597-024-03337-6}
}"""
