"""Files of a case in a folder with the layout of the authors' download script."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingFileError, TableError
from ..labels import Task
from .case import Case
from .table import CHECK_PATH, find_table, read_case_table

IMAGE_NAME = "image.nii.gz"


@dataclass(frozen=True)
class CaseFiles:
    """A case and its folder ``DIR/case_XXX``."""

    case: Case
    folder: Path

    @property
    def image(self) -> Path:
        """The CT at 5 mm slices, in Hounsfield units."""
        return self.folder / IMAGE_NAME

    def mask(self, task: Task) -> Path:
        """The label map of ``task``."""
        return self.folder / f"{task}.nii.gz"

    @property
    def body_parts(self) -> Path | None:
        """The body parts map, ``None`` if the case has none."""
        path = self.mask("body-parts")
        return path if path.is_file() else None

    def require(self) -> None:
        """Raise unless the image and the body regions are there.

        Raises:
            MissingFileError: Names the case and the file.
        """
        for path in (self.image, self.mask("body-regions")):
            if not path.is_file():
                raise MissingFileError(
                    path,
                    f"{self.case.case_id} without {path.name}",
                    f"{IMAGE_NAME} and body-regions.nii.gz in every case folder",
                    "Fetch or convert this case again, or delete its folder.",
                )


def find_cases(folder: Path) -> tuple[CaseFiles, ...]:
    """Return the cases of the table that have a folder, in table order; all must be complete.

    Raises:
        MissingFileError: The folder, its table, every case, or a file of a case is missing.
        TableError: A case folder has no row, or the table cannot be read.
    """
    found = case_folders(folder)
    for files in found:
        files.require()
    return found


def case_folders(folder: Path) -> tuple[CaseFiles, ...]:
    """Return the cases of the table that have a folder, complete or not, in table order.

    Raises:
        MissingFileError: The folder, its table or every case is missing.
        TableError: A case folder has no row, or the table cannot be read.
    """
    table = find_table(folder)
    cases = read_case_table(table)
    on_disk = {path.name for path in folder.glob("case_*") if path.is_dir()}
    strangers = sorted(on_disk - {case.case_id for case in cases})
    if strangers:
        raise TableError(
            folder / strangers[0],
            f"{len(strangers)} case folder(s) without a row in {table.name}",
            "a row for each",
        )
    found = tuple(CaseFiles(c, folder / c.case_id) for c in cases if c.case_id in on_disk)
    if not found:
        expected = "folders case_000, case_001, ... beside the case table"
        raise MissingFileError(folder, "no case folder", expected, CHECK_PATH)
    return found
