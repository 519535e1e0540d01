"""The ``datasets`` builder behind ``load_dataset("saros")``.

``datasets`` 4.0 dropped loading scripts; a builder inside a package replaces them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import datasets

from ..cases.files import CaseFiles, case_folders
from ..errors import (
    SarosError,
    UnreadableFileError,
    UsageError,
    causes,
    one_line,
    saros_cause,
)
from ..nifti import read_grid
from .config import SarosConfig
from .rows import (
    CASE_FEATURES,
    MASK_FEATURES,
    VOLUME_FEATURES,
    Kept,
    mask_row,
    slice_features,
    slice_rows,
    volume_row,
)
from .zipped_masks import PackedCase, find_masks

if TYPE_CHECKING:
    from .stream import ArchivedCase

_EMBEDDED_ROWS_PER_BATCH = 2
"""A whole-body CT is a file of 50 MB, and ``datasets`` holds several copies of a batch."""


@contextmanager
def own_errors(folder: Path) -> Iterator[None]:
    """Raise what this package or the system raised instead of what ``datasets`` wraps it in.

    Args:
        folder: Where ``datasets`` writes, to be named if that is impossible, as on a full disk.
    """
    try:
        yield
    except Exception as error:
        cause = saros_cause(error)
        if cause is not None and cause is not error:
            raise cause from error
        for one in causes(error) if cause is None else ():
            if isinstance(one, OSError) and one.errno is not None and one.filename is None:
                raise OSError(one.errno, os.strerror(one.errno), str(folder)) from error
        raise


AnyCase: TypeAlias = "CaseFiles | PackedCase | ArchivedCase"


class Saros(datasets.GeneratorBasedBuilder):
    """Builder of SAROS rows from a folder of NIfTI files, or streamed from the archive.

    Every case is one shard; workers, nodes and ``num_proc`` split the work by shards.
    """

    BUILDER_CONFIG_CLASS = SarosConfig
    BUILDER_CONFIGS = (
        SarosConfig(name="volumes", description="One row per CT, label maps as stored."),
        SarosConfig(name="slices", description="One row per annotated axial slice, RAS+."),
        SarosConfig(name="masks", description="One row per CT, label maps without the CT."),
    )
    DEFAULT_CONFIG_NAME = "volumes"
    DEFAULT_WRITER_BATCH_SIZE = 16
    """A row takes megabytes; the library's 1000 rows per batch overflow Arrow's offsets."""

    def _info(self) -> datasets.DatasetInfo:
        columns = {
            "volumes": VOLUME_FEATURES,
            "masks": MASK_FEATURES,
            "slices": self._slice_features(None),
        }[self.config.name]
        return datasets.DatasetInfo(
            description="SAROS: sparsely annotated regions and organs in 900 CTs.",
            features=datasets.Features(CASE_FEATURES | columns),
            homepage="https://doi.org/10.25737/SZ96-ZG60",
            license="label maps CC BY 4.0; CT images as the column license says",
            citation=_CITATION,
        )

    def _split_generators(
        self, dl_manager: datasets.DownloadManager | datasets.StreamingDownloadManager
    ) -> list[datasets.SplitGenerator]:
        if self.config.embed:
            self._writer_batch_size = _EMBEDDED_ROWS_PER_BATCH
        cases = _wanted_cases(self.config, streaming=dl_manager.is_streaming)
        if self.config.name == "slices":
            columns = self._slice_features(_shared_shape(cases))
            self.info.features = datasets.Features(CASE_FEATURES | columns)
        splits: dict[str, list[AnyCase]] = {name: [] for name in self.config.split_names()}
        for one in cases:
            splits[self.config.split_name(one.case)].append(one)
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"cases": members})
            for name, members in splits.items()
            if members
        ]

    def _generate_examples(
        self, cases: list[AnyCase]
    ) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
        for one in cases:
            permanent = isinstance(one, CaseFiles)
            kept: Kept = "voxels" if self.config.embed else "path" if permanent else "file"
            try:
                with nullcontext(one) if isinstance(one, CaseFiles) else one.open() as files:
                    for row in self._rows(files, kept):
                        yield (row["case_id"], row.get("slice_index", 0)), row
            except (SarosError, OSError):
                raise
            except Exception as error:
                raise UnreadableFileError(
                    one.case.case_id, one_line(error), "a case that can be read"
                ) from error

    def _rows(self, files: CaseFiles, kept: Kept) -> Iterator[dict[str, Any]]:
        config = self.config
        if config.name == "volumes":
            yield volume_row(files, kept)
        elif config.name == "masks":
            yield mask_row(files, kept)
        else:
            yield from slice_rows(
                files,
                context=config.context,
                unannotated=config.unannotated,
                compress=config.compress,
            )

    def _slice_features(self, shape: tuple[int, ...] | None) -> dict[str, Any]:
        return slice_features(shape, context=self.config.context, compress=self.config.compress)


def _wanted_cases(config: SarosConfig, *, streaming: bool) -> list[AnyCase]:
    """Return the cases that pass all filters.

    Raises:
        SarosError: There is no case, or one in a folder lacks a file.
    """
    found: Sequence[AnyCase]
    if streaming and config.folder() is None:
        # Imported only here because it needs SimpleITK.
        from .stream import archived_cases

        where = "the archive"
        found = archived_cases(
            config.source or "idc", config.table, config.masks, config.index, config.endpoint
        )
    else:
        folder = config.require_folder()
        where = str(folder)
        found = find_masks(folder) if config.name == "masks" else case_folders(folder)
    chosen = config.chosen_ids([one.case for one in found])
    wanted = [one for one in found if one.case.case_id in chosen]
    if not wanted:
        filters = "cases=, collections=, licenses= and anatomic_region="
        raise UsageError(where, f"no case that passes {filters}", "at least one")
    for one in wanted:
        if isinstance(one, CaseFiles) and config.name != "masks":
            one.require()
    return wanted


def _shared_shape(cases: Sequence[AnyCase]) -> tuple[int, ...] | None:
    """Return the in-plane size that all cases share, ``None`` if they differ or it is unknown."""
    shapes = set()
    for one in cases:
        if not isinstance(one, CaseFiles):
            return None
        shapes.add(read_grid(one.image).shape[:2])
    return shapes.pop() if len(shapes) == 1 else None


_CITATION = """@article{koitka2024saros,
  title = {SAROS: A dataset for whole-body region and organ segmentation in CT imaging},
  author = {Koitka, Sven and Baldini, Giulia and Kroll, Lennard and van Landeghem, Natalie and
            Pollok, Olivia B. and Haubold, Johannes and Pelka, Obioma and Kim, Moon and
            Kleesiek, Jens and Nensa, Felix and Hosch, Ren{\\'e}},
  journal = {Scientific Data},
  year = {2024},
  doi = {10.1038/s41597-024-03337-6}
}"""
