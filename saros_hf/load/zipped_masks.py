"""Label maps without their CTs, in case folders or in the published ZIP."""

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
    """A case whose label maps are in a ZIP and whose CT is absent."""

    case: Case
    archive: MaskArchive

    @contextmanager
    def open(self) -> Iterator[CaseFiles]:
        """Yield the label maps in a folder that is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="saros-masks-") as name:
            files = CaseFiles(self.case, Path(name) / self.case.case_id)
            self.archive.extract_case(self.case.case_id, files.folder)
            yield files


def find_masks(folder: Path) -> Sequence[CaseFiles | PackedCase]:
    """Return every case of the table that has label maps, in a folder or in the ZIP.

    Raises:
        MissingFileError: There is no case table or no label map.
        TableError: The table cannot be read.
        UnreadableFileError: The ZIP is damaged.
    """
    cases = read_case_table(find_table(folder))
    archive = MaskArchive(folder / MASKS.name)
    in_archive = archive.case_ids if (folder / MASKS.name).is_file() else frozenset()
    found: list[CaseFiles | PackedCase] = []
    for case in cases:
        files = CaseFiles(case, folder / case.case_id)
        if files.mask("body-regions").is_file():
            found.append(files)
        elif case.case_id in in_archive:
            found.append(PackedCase(case, archive))
    if not found:
        raise MissingFileError(
            folder,
            "no body-regions.nii.gz in any case folder, and no ZIP of label maps",
            f"case_XXX/body-regions.nii.gz or {MASKS.name}",
            "Fetch them: saros download DIR",
        )
    return found
