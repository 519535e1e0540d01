"""Write a case folder completely or not at all, and record the series its CT came from."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..dicom import Stacking
from ..errors import DicomError, UnreadableFileError
from ..files import ASIDE_PREFIX, sync
from ..nifti import refuse_cut_short
from .files import IMAGE_NAME

SOURCE_NAME = "source.json"


@dataclass(frozen=True)
class CaseSource:
    """The series that a case's CT was converted from.

    Attributes:
        patient_id: Pseudonym of the case table, or PatientID of the DICOM files if the user asked
            for it; names and dates are never kept.
        spacing_mm: Voxel spacing along i, j and k before interpolation.
        slices: Number of slices before interpolation.
        stacking: Order in which the slices were stacked.
        note: Peculiarity of this CT, empty for most.
    """

    series_instance_uid: str
    study_instance_uid: str
    collection: str
    patient_id: str
    manufacturer: str
    spacing_mm: tuple[float, float, float]
    slices: int
    stacking: Stacking = "along-normal"
    note: str = ""

    def write(self, case_folder: Path) -> None:
        """Write the record into ``case_folder``."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (case_folder / SOURCE_NAME).write_text(text, encoding="utf-8")


def converted_cases(folder: Path) -> Mapping[str, str]:
    """Return the case id of each SeriesInstanceUID that was converted into ``folder``."""
    uids = {path.name: source_uid(path) for path in sorted(folder.glob("case_*"))}
    return {uid: case_id for case_id, uid in uids.items() if uid}


def source_uid(case_folder: Path) -> str:
    """Return the SeriesInstanceUID a case was converted from, empty if there is no record.

    Raises:
        UnreadableFileError: The record is not JSON with that field.
    """
    path = case_folder / SOURCE_NAME
    if not path.is_file():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["series_instance_uid"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableFileError(
            path,
            f"a file without series_instance_uid ({type(error).__name__})",
            "the record that saros convert wrote",
            "Delete the case folder and convert it again.",
        ) from error


def holds_series(case_folder: Path, series_uid: str) -> bool:
    """Return whether a case folder holds a complete CT of ``series_uid``.

    A CT without a record counts: the authors' script writes none.

    Raises:
        DicomError: The CT was made from another series.
    """
    image = case_folder / IMAGE_NAME
    if not image.is_file():
        return False
    present = source_uid(case_folder)
    if present not in ("", series_uid):
        raise DicomError(
            f"series {series_uid}",
            f"{case_folder} made from series {present}",
            "an empty place or the same series",
            "Move that case folder away and run the command again.",
        )
    try:
        refuse_cut_short(image)
    except UnreadableFileError:
        return False
    return True


@contextmanager
def whole_case(case_folder: Path, *, work: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder whose files are moved to ``case_folder``, all or none.

    The bytes are on disk before anything appears. In an existing case folder, e.g. with label
    maps in it, the CT appears last.

    Args:
        case_folder: ``DIR/case_XXX``.
        work: Folder on the same file system to write in, ``DIR`` if ``None``.
    """
    case_folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=work or case_folder.parent))
    new = aside / case_folder.name
    try:
        new.mkdir()
        yield new
        files = sorted(new.iterdir(), key=lambda path: (path.name == IMAGE_NAME, path.name))
        for path in (*files, new):
            sync(path)
        if case_folder.exists():
            for path in files:
                path.replace(case_folder / path.name)
            sync(case_folder)
        else:
            new.rename(case_folder)
        sync(case_folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
