"""Find the CTs to measure and their label maps."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cases.ct_list import listed, unique_names
from ..cases.files import IMAGE_NAME
from ..errors import MissingFileError, UsageError
from ..labels import TASKS
from ..nifti import SUFFIXES, read_labels
from ..volume import Volume
from .levels import VERTEBRAE

__all__ = ["CaseInput", "Given", "find_cts", "find_inputs", "read_heights", "read_vertebrae"]


@dataclass(frozen=True)
class CaseInput:
    """A CT with the paths of its label maps.

    Attributes:
        name: Unique name, of its folder in the results.
        ct: NIfTI file, DICOM folder or ZIP.
        regions: Label map of the body regions.
        parts: Label map of the body parts, ``None`` if there is none.
        vertebrae: Label map of the vertebrae, or a folder with one file for each.
        height_cm: Height of the patient.
    """

    name: str
    ct: Path
    regions: Path
    parts: Path | None = None
    vertebrae: Path | None = None
    height_cm: float | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All paths that are read."""
        paths = (self.ct, self.regions, self.parts, self.vertebrae)
        return tuple(path for path in paths if path is not None)


def find_cts(source: Path, out: Path) -> dict[str, Path]:
    """Return the CTs that ``source`` names, by a unique name for each.

    Args:
        source: One CT; a folder of cases as in SAROS, of NIfTI files, or of DICOM folders and ZIPs;
            or a list, see :func:`~saros_hf.cases.ct_list.listed`.
        out: Folder of the results, which is no CT even inside ``source``.

    Raises:
        MissingFileError: ``source`` does not exist or names no CT.
        UsageError: Two CTs have one name, or the list is not UTF-8.
    """
    if not source.exists():
        raise MissingFileError(source, "no such file or folder", "a CT, or a folder or list of CTs")
    if source.suffix.lower() in (".txt", ".csv"):
        cts = listed(source)
    else:
        cts = _in_folder(source, out) if source.is_dir() else [source]
    named = unique_names([ct.absolute() for ct in cts])
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        paths = ", ".join(str(ct) for ct, name in named.items() if name == twice[0])
        raise UsageError(source, f"one name for {paths}", "a name for each", "Rename one of them.")
    return {name: ct for ct, name in named.items()}


@dataclass(frozen=True)
class Given:
    """Label maps and heights that the user gives besides the CTs.

    Label maps are a file for one CT, and a folder with ``NAME.nii.gz`` or
    ``NAME/body-regions.nii.gz`` for many; by default those beside the CT.
    """

    regions: Path | None = None
    parts: Path | None = None
    vertebrae: Path | None = None
    heights_cm: Mapping[str, float] | float | None = None


def find_inputs(source: Path, out: Path, given: Given) -> list[CaseInput]:
    """Return the CTs that ``source`` names, with the label maps of each.

    Raises:
        MissingFileError: ``source`` or what is given does not exist, or there is no CT.
        UsageError: Many CTs but one label map, or two CTs of one name.
    """
    cts = find_cts(source, out)
    for path in (given.regions, given.parts, given.vertebrae):
        if path is None:
            continue
        if not path.exists():
            expected = "a label map, or a folder of label maps"
            raise MissingFileError(path, "no such file or folder", expected)
        if path.is_file() and len(cts) > 1:
            expected = "a folder with a label map for each, NAME.nii.gz"
            raise UsageError(path, f"one file for {len(cts)} CTs", expected)
    heights = given.heights_cm
    by_name = heights if isinstance(heights, Mapping) else dict.fromkeys(cts, heights)
    return [
        CaseInput(
            name=name,
            ct=ct,
            regions=_label_map(
                given.regions or ct.parent, TASKS[0], name, beside=not given.regions
            ),
            parts=_parts(given, ct, name),
            vertebrae=_vertebrae(given.vertebrae, name, alone=len(cts) == 1),
            height_cm=by_name.get(name),
        )
        for name, ct in cts.items()
    ]


def _label_map(given: Path, kind: str, name: str, *, beside: bool = False) -> Path:
    """Return the label map of a CT, the usual path if there is none.

    Args:
        given: File, or folder with the label maps of many CTs or, if ``beside``, of this one.
        kind: Name of the label map in a folder with several for a CT.
        name: Name of the CT.
        beside: Whether the folder is that of the CT.
    """
    if given.is_file():
        return given
    if beside:
        return given / f"{kind}.nii.gz"
    places = [given / name / f"{kind}.nii.gz", given / f"{name}.nii"]
    return next((place for place in places if place.is_file()), given / f"{name}.nii.gz")


def _parts(given: Given, ct: Path, name: str) -> Path | None:
    """Return the label map of the body parts; without one of its own, that beside the regions."""
    if given.parts is not None:
        return _label_map(given.parts, TASKS[1], name)
    folder = ct.parent if given.regions is None else given.regions / name
    beside = folder / f"{TASKS[1]}.nii.gz"
    return beside if beside.is_file() else None


def _vertebrae(given: Path | None, name: str, *, alone: bool) -> Path | None:
    """Return the label map of the vertebrae, or the folder with a file for each."""
    if given is None:
        return None
    if alone and given.is_dir() and any(given.glob("vertebrae_*.nii.gz")):
        return given
    folder = given / name
    if folder.is_dir() and any(folder.glob("vertebrae_*.nii.gz")):
        return folder
    return _label_map(given, "vertebrae", name)


def read_heights(path: Path) -> dict[str, float]:
    """Return the height in cm by name of the CT from a .csv file with the columns case, height_cm.

    Raises:
        UsageError: A column is missing, or a height is no number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["case"]: float(row["height_cm"]) for row in rows if row["height_cm"].strip()}
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise UsageError(path, found, "columns case and height_cm, with heights in cm") from error


def read_vertebrae(path: Path, labels: Mapping[str, int] = VERTEBRAE) -> Volume:
    """Return vertebrae with the labels of TotalSegmentator.

    Args:
        path: A label map, or a folder with ``vertebrae_L3.nii.gz`` and so on.
        labels: Labels in the label map.

    Raises:
        MissingFileError: The folder holds no such file.
    """
    if path.is_dir():
        return _merged(path)
    volume = read_labels(path)
    if labels == VERTEBRAE:
        return volume
    array = np.zeros(volume.shape, np.uint8)
    for name, label in labels.items():
        array[volume.array == label] = VERTEBRAE[name]
    return Volume(array, volume.affine)


def _merged(folder: Path) -> Volume:
    files = {name: folder / f"vertebrae_{name}.nii.gz" for name in VERTEBRAE}
    present = {name: path for name, path in files.items() if path.is_file()}
    if not present:
        raise MissingFileError(folder, "no vertebrae_L3.nii.gz", "a file for each vertebra")
    array: np.ndarray | None = None
    for name, path in present.items():
        volume = read_labels(path)
        array = np.zeros(volume.shape, np.uint8) if array is None else array
        array[volume.array > 0] = VERTEBRAE[name]
    assert array is not None
    return Volume(array, volume.affine)


def _in_folder(folder: Path, out: Path) -> list[Path]:
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    visible = [path for path in inside if path.resolve() != out.resolve()]
    if cases := [path / IMAGE_NAME for path in visible if (path / IMAGE_NAME).is_file()]:
        return cases
    if nifti := [path for path in visible if path.name.endswith(SUFFIXES)]:
        return nifti
    studies = [path for path in visible if path.is_dir() or path.suffix.lower() == ".zip"]
    # A folder that holds plain files is one series.
    return studies if studies and len(studies) == len(visible) else [folder]
