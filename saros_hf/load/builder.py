"""The `datasets` builder behind ``load_dataset("saros")``.

`datasets` runs no loading scripts since 4.0; a builder inside a package is what takes their place.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import datasets

from ..cases.files import CaseFiles, case_folders
from ..errors import UsageError
from ..nifti import read_grid
from .case_rows import CASE_FEATURES, MASK_FEATURES, VOLUME_FEATURES, Kept, mask_row, volume_row
from .config import SarosConfig
from .slice_rows import slice_features, slice_rows
from .zipped_masks import PackedCase, find_masks

if TYPE_CHECKING:
    from .stream import ArchivedCase

_EMBEDDED_ROWS_PER_BATCH = 2
"""A CT of a whole body is a file of 50 MB, and a batch is held several times while it is written."""

AnyCase: TypeAlias = "CaseFiles | PackedCase | ArchivedCase"
Row: TypeAlias = dict[str, Any]
_Found = TypeVar("_Found", bound=AnyCase)


class Saros(datasets.GeneratorBasedBuilder):
    """Rows of SAROS from a folder of NIfTI files, or streamed from the archive.

    Every case is a shard of its own: that is what workers, nodes and ``num_proc`` share out.
    """

    BUILDER_CONFIG_CLASS = SarosConfig
    BUILDER_CONFIGS = (
        SarosConfig(name="volumes", description="One row per CT, label maps as stored."),
        SarosConfig(name="slices", description="One row per annotated axial slice, RAS+."),
        SarosConfig(name="masks", description="One row per CT, label maps without the CT."),
    )
    DEFAULT_CONFIG_NAME = "volumes"
    DEFAULT_WRITER_BATCH_SIZE = 16
    """A row holds megabytes; the library's 1000 rows a batch overflow Arrow's offsets."""

    def _info(self) -> datasets.DatasetInfo:
        columns = {
            "volumes": VOLUME_FEATURES,
            "masks": MASK_FEATURES,
            "slices": slice_features(None, self.config.slice_options()),
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
        config = self.config
        if config.embed:
            self._writer_batch_size = _EMBEDDED_ROWS_PER_BATCH
        if dl_manager.is_streaming and config.folder() is None:
            cases = _archived_cases(config)
        else:
            cases = _cases_in_folder(config)
        if config.name == "slices":
            self.info.features = datasets.Features(
                CASE_FEATURES | slice_features(_shared_shape(cases), config.slice_options())
            )
        groups: dict[str, list[AnyCase]] = {name: [] for name in config.split_names()}
        for one in cases:
            groups[config.split_name(one.case)].append(one)
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"cases": members})
            for name, members in groups.items()
            if members
        ]

    def _generate_examples(
        self, cases: list[AnyCase]
    ) -> Iterator[tuple[str | tuple[str, int], Row]]:
        for one in cases:
            kept: Kept = "voxels" if self.config.embed else "path" if one.stays else "file"
            with one.open() as files:
                for row in self._rows(files, kept):
                    key = row["case_id"], row.get("slice_index", 0)
                    yield key, row

    def _rows(self, files: CaseFiles, kept: Kept) -> Iterator[Row]:
        if self.config.name == "volumes":
            yield volume_row(files, kept)
        elif self.config.name == "masks":
            yield mask_row(files, kept)
        else:
            yield from slice_rows(files, self.config.slice_options())


def _cases_in_folder(config: SarosConfig) -> Sequence[AnyCase]:
    folder = config.require_folder()
    if config.name == "masks":
        return _filtered(find_masks(folder), config, f"{folder}")
    wanted = _filtered(case_folders(folder), config, f"{folder}")
    for files in wanted:
        files.require()
    return wanted


def _archived_cases(config: SarosConfig) -> Sequence[AnyCase]:
    # Here, as it brings SimpleITK, which a folder of NIfTI files does not need.
    from .stream import ArchiveStream

    stream = ArchiveStream(
        source=config.source or "idc",
        table=config.table,
        masks=config.masks,
        index=None if config.index is None else Path(config.index),
        endpoint=config.endpoint,
    )
    return _filtered(stream.cases(), config, "the archive")


def _filtered(found: Sequence[_Found], config: SarosConfig, where: str) -> Sequence[_Found]:
    config.refuse_unknown_names([one.case for one in found])
    wanted = [one for one in found if config.wants(one.case)]
    if not wanted:
        raise UsageError(
            where,
            "no case that passes cases=, collections=, licenses= and anatomic_region=",
            "at least one",
            "Leave one of them out.",
        )
    return wanted


def _shared_shape(cases: Sequence[AnyCase]) -> tuple[int, ...] | None:
    """Return the in-plane size if all cases have one, ``None`` if not, or if nobody knows yet."""
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
