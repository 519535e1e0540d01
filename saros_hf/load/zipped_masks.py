"""Label maps of cases that have no folder, out of the published ZIP."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..archive.obtain_files import MASKS, MaskArchive
from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.table import find_table, read_case_table
from ..errors import MissingFileError


@dataclass(frozen=True)
class PackedCase:
    """A case of which only the label maps are there, in a ZIP."""

    case: Case
    archive: MaskArchive

    @property
    def stays(self) -> bool:
        """Whether the files are still there after :meth:`open`."""
        return False

    @contextmanager
    def open(self) -> Iterator[CaseFiles]:
        """Yield the label maps in a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="saros-masks-") as name:
            folder = Path(name) / self.case.case_id
            folder.mkdir()
            self.archive.extract_case(self.case.case_id, folder)
            yield CaseFiles(self.case, folder)


def find_masks(folder: Path) -> Sequence[CaseFiles | PackedCase]:
    """Return every case of the table that has label maps, in a folder or in the ZIP.

    Raises:
        MissingFileError: There is no table, or no label map at all.
        TableError: The table cannot be read.
        UnreadableFileError: The ZIP is damaged.
    """
    cases = read_case_table(find_table(folder))
    packed = folder / MASKS.name
    archive = MaskArchive(packed) if packed.is_file() else None
    in_archive = frozenset() if archive is None else archive.case_ids
    found: list[CaseFiles | PackedCase] = []
    for case in cases:
        files = CaseFiles(case, folder / case.case_id)
        if files.mask("body-regions").is_file():
            found.append(files)
        elif archive is not None and case.case_id in in_archive:
            found.append(PackedCase(case, archive))
    if not found:
        raise MissingFileError(
            folder,
            "no body-regions.nii.gz in any case folder, and no ZIP of label maps",
            f"case_XXX/body-regions.nii.gz or {MASKS.name}",
            "Fetch them: saros download DIR",
        )
    return found
