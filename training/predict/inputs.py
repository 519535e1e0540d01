"""Which CTs to predict, and where their label maps go."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.cases.files import IMAGE_NAME
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import Task

SUFFIX = ".nii.gz"
_LISTS = (".txt", ".csv")
_ONE_FILE = (".nii", ".nii.gz", ".zip")
_HEAD = re.compile(
    r"((ct|dicom|file|folder|id|image|name|nifti|path|scan|series|source|volume)s?[\s_-]*)+",
    re.IGNORECASE,
)
"""The first cell of a table's head; any other first cell is a CT, there or missing."""


@dataclass(frozen=True)
class PredictionInput:
    """One CT to predict.

    Attributes:
        source: NIfTI file, DICOM folder or ZIP.
        target: Label map to write; of several tasks a folder of that name without suffix.
        alone: It is all there is to do: what is wrong with it ends the command.
    """

    source: Path
    target: Path
    alone: bool = False

    def label_maps(self, tasks: Sequence[Task]) -> dict[Task, Path]:
        """Return where the label map of each task goes."""
        if len(tasks) == 1:
            return {tasks[0]: self.target}
        return {task: beside(self.target) / f"{task}{SUFFIX}" for task in tasks}

    def is_finished(self, tasks: Sequence[Task]) -> bool:
        """Return whether all its label maps are there."""
        return all(path.is_file() for path in self.label_maps(tasks).values())


def beside(label_map: Path, suffix: str = "") -> Path:
    """Return the path of a label map with another suffix in place of ``.nii.gz``."""
    return label_map.with_name(label_map.name.removesuffix(SUFFIX) + suffix)


def find_jobs(source: Path, out: Path) -> list[PredictionInput]:
    """Return the CTs that ``source`` names, in order.

    Args:
        source: One CT; a folder of cases, of NIfTI files, or of DICOM folders and ZIPs; a .txt
            file with the path of a CT in each line; or a .csv file with it in the first column.
            Paths are relative to the list.
        out: The label map to write if its name ends in .nii.gz: then ``source`` is one CT. Else
            the folder to write to, by names that tell the CTs apart.

    Raises:
        MissingFileError: A list or folder names nothing.
        UsageError: ``out`` does not fit ``source``, or a label map would be written over its CT
            or over that of another.
    """
    if not source.exists():
        raise _nothing(source, "no such file or folder", "a CT, or a folder or list of CTs")
    images = _images(source, out)
    if out.name.endswith(SUFFIX):
        if images:
            raise _unfit(
                out, f"the name of one file, but {len(images)} CTs", "a folder to write to"
            )
        jobs = [PredictionInput(source, out, alone=True)]
    elif images:
        jobs = [
            PredictionInput(image, out / f"{name}{SUFFIX}")
            for image, name in _named(images).items()
        ]
    elif source.is_dir() and not any(source.iterdir()):
        raise _nothing(source, "an empty folder", "cases, NIfTI files or DICOM folders")
    else:
        raise _unfit(out, "no .nii.gz name for the label map of one CT", "e.g. labels.nii.gz")
    _refuse_overwriting(jobs)
    return jobs


def _nothing(where: Path, found: str, expected: str) -> MissingFileError:
    return MissingFileError(where, found, expected)


def _unfit(out: Path, found: str, expected: str) -> UsageError:
    return UsageError(out, found, expected, "Give another OUT.")


def _images(source: Path, out: Path) -> list[Path]:
    """Return the CTs of a folder or list, none if ``source`` is one CT itself."""
    if source.suffix.lower() in _LISTS:
        return _listed(source)
    inside = sorted(source.iterdir()) if source.is_dir() else []
    seen = [path for path in inside if not path.name.startswith(".")]
    cases = [path / IMAGE_NAME for path in seen if path.name.startswith("case_")]
    if found := [image for image in cases if image.is_file()]:
        return found
    if found := [path for path in seen if path.name.endswith((".nii", ".nii.gz"))]:
        return found
    if out.name.endswith(SUFFIX):  # one series, in folders of its own
        return []
    series = (path for path in seen if path.is_dir() or path.suffix.lower() == ".zip")
    return [path for path in series if path.resolve() != out.resolve()]


def _listed(path: Path) -> list[Path]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(path, str(error), "a list in UTF-8", "Save it as UTF-8.") from error
    lines = text.splitlines()
    is_table = path.suffix.lower() == ".csv"
    cells = [row[0] if row else "" for row in csv.reader(lines)] if is_table else lines
    named = [cell for line in cells if (cell := line.strip()) and not cell.startswith("#")]
    if is_table and named and _HEAD.fullmatch(named[0]) and not (path.parent / named[0]).exists():
        del named[0]
    if not named:
        raise _nothing(path, "no path in it", "the path of a CT in each line")
    return [Path(os.path.normpath(path.parent / cell)) for cell in named]


def _named(images: Sequence[Path]) -> dict[Path, str]:
    """Return the names of CTs: those of their files, with as many folders as tell them apart."""
    parts = {image: _name_parts(image) for image in images}
    lengths = dict.fromkeys(parts, 1)
    while True:
        names = {image: "_".join(parts[image][-lengths[image] :]) for image in parts}
        counts = Counter(names.values())
        alike = [one for one, name in names.items() if counts[name] > 1]
        longer = [one for one in alike if lengths[one] < len(parts[one])]
        if not longer:
            return names
        for image in longer:
            lengths[image] += 1


def _name_parts(image: Path) -> tuple[str, ...]:
    """Return a CT's folders and its name; ``case_000/image.nii.gz`` is named by its folder."""
    folders = image.parent.relative_to(image.anchor).parts
    if image.name == IMAGE_NAME and folders:
        return folders
    suffixes = (suffix for suffix in _ONE_FILE if image.name.lower().endswith(suffix))
    return (*folders, image.name[: -len(max(suffixes, key=len, default="")) or None])


def _refuse_overwriting(jobs: Sequence[PredictionInput]) -> None:
    target, count = Counter(job.target for job in jobs).most_common(1)[0]
    if count > 1:
        sources = ", ".join(str(job.source) for job in jobs if job.target == target)
        raise UsageError(
            target,
            f"{count} CTs to be written there: {sources}",
            "one",
            "Give them different names, or predict them into different folders.",
        )
    for job in jobs:
        own = job.target.resolve()
        if job.source.resolve() in (own, beside(own) / IMAGE_NAME):
            raise _unfit(own, f"the place of the CT {job.source} itself", "another one")
