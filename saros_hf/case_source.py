"""Put one converted CT into its case folder, with a note of where it came from."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .case_files import IMAGE_NAME
from .errors import UnreadableFileError
from .files import write_atomically
from .nifti import write_volume
from .volume import Volume

SOURCE_NAME = "source.json"


@dataclass(frozen=True)
class CaseSource:
    """The series that a case's CT was converted from.

    Attributes:
        patient_id: The pseudonym that the DICOM files carry; names and dates are never kept.
        spacing_mm: Voxel spacing along i, j and k before interpolation.
        slices: Number of slices before interpolation.
    """

    series_instance_uid: str
    study_instance_uid: str
    collection: str
    patient_id: str
    manufacturer: str
    spacing_mm: tuple[float, float, float]
    slices: int


def converted_cases(folder: Path) -> Mapping[str, str]:
    """Return the case id of every SeriesInstanceUID that has been converted into ``folder``."""
    uids = {path.name: source_uid(path) for path in sorted(folder.glob("case_*"))}
    return {uid: case_id for case_id, uid in uids.items() if uid}


def source_uid(case_folder: Path) -> str:
    """Return the SeriesInstanceUID a case was converted from, empty if that is not on record.

    Raises:
        UnreadableFileError: The record is no JSON with that field.
    """
    path = case_folder / SOURCE_NAME
    if not path.is_file():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["series_instance_uid"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(
            path,
            found=f"a file without series_instance_uid ({type(error).__name__})",
            expected="the record that saros convert wrote",
            remedy="Delete the case folder and convert it again.",
        ) from error


def has_image(case_folder: Path) -> bool:
    """Return whether a case folder holds a CT."""
    return (case_folder / IMAGE_NAME).is_file()


def place_case(case_folder: Path, volume: Volume, source: CaseSource) -> None:
    """Write the CT and its record so that the folder appears whole or not at all.

    In a folder that exists already, with label maps in it, the CT appears last.
    """
    case_folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=case_folder.parent))
    try:
        new = aside / case_folder.name
        write_volume(new / IMAGE_NAME, volume)
        with write_atomically(new / SOURCE_NAME) as path:
            path.write_text(json.dumps(asdict(source), indent=2) + "\n", encoding="utf-8")
        _sync_folder(new)
        if case_folder.exists():
            (new / SOURCE_NAME).replace(case_folder / SOURCE_NAME)
            (new / IMAGE_NAME).replace(case_folder / IMAGE_NAME)
        else:
            new.rename(case_folder)
        _sync_folder(case_folder.parent)
    finally:
        shutil.rmtree(aside)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk, which syncing its files does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
