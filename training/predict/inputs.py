"""CTs to predict, and the paths of their label maps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.cases.ct_list import listed, unique_names
from saros_hf.cases.files import IMAGE_NAME
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import Task
from saros_hf.nifti import SUFFIXES

SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class PredictionInput:
    """One CT to predict.

    Attributes:
        source: NIfTI file, DICOM folder or ZIP.
        target: Label map to write; for two tasks, a folder of that name without the suffix.
        alone: Whether it is the only CT; then an error ends the command.
    """

    source: Path
    target: Path
    alone: bool = False

    def label_maps(self, tasks: Sequence[Task]) -> dict[Task, Path]:
        """Return the path of each task's label map."""
        if len(tasks) == 1:
            return {tasks[0]: self.target}
        return {task: beside(self.target) / f"{task}{SUFFIX}" for task in tasks}


def beside(label_map: Path, suffix: str = "") -> Path:
    """Return the path of a label map with another suffix in place of ``.nii.gz``."""
    return label_map.with_name(label_map.name.removesuffix(SUFFIX) + suffix)


def find_inputs(source: Path, out: Path) -> list[PredictionInput]:
    """Return the CTs that ``source`` names, in order.

    Args:
        source: One CT; a folder of cases, of NIfTI files, or of DICOM folders and ZIPs; or a list,
            see :func:`saros_hf.cases.ct_list.listed`.
        out: Label map to write if its name ends in .nii.gz; then ``source`` is one CT. Else the
            folder to write to.

    Raises:
        MissingFileError: ``source`` does not exist or names no CT.
        UsageError: ``out`` does not fit ``source``, or a label map would overwrite its CT or the
            label map of another CT.
    """
    if not source.exists():
        expected = "a CT, or a folder or list of CTs"
        raise MissingFileError(source, "no such file or folder", expected)
    one_file = out.name.endswith(SUFFIX)
    images = _images(source, out)
    if one_file and images:
        found = f"the name of one file, but {len(images)} CTs"
        raise UsageError(out, found, "a folder to write to")
    if not one_file and not images:
        if source.is_dir() and not any(source.iterdir()):
            expected = "cases, NIfTI files or DICOM folders"
            raise MissingFileError(source, "an empty folder", expected)
        found = "no .nii.gz name for the label map of one CT"
        raise UsageError(out, found, "e.g. labels.nii.gz")
    if one_file:
        inputs = [PredictionInput(source, out, alone=True)]
    else:
        names = unique_names(images)
        inputs = [PredictionInput(image, out / f"{names[image]}{SUFFIX}") for image in names]
    _refuse_overwriting(inputs)
    return inputs


def _images(source: Path, out: Path) -> list[Path]:
    """Return the CTs in a folder or list, none if ``source`` is one CT."""
    if source.suffix.lower() in (".txt", ".csv"):
        return listed(source)
    inside = sorted(source.iterdir()) if source.is_dir() else []
    visible = [path for path in inside if not path.name.startswith(".")]
    cases = [path / IMAGE_NAME for path in visible if path.name.startswith("case_")]
    if found := [image for image in cases if image.is_file()]:
        return found
    if found := [path for path in visible if path.name.endswith(SUFFIXES)]:
        return found
    if out.name.endswith(SUFFIX):  # one series, maybe in nested folders
        return []
    series = (path for path in visible if path.is_dir() or path.suffix.lower() == ".zip")
    return [path for path in series if path.resolve() != out.resolve()]


def _refuse_overwriting(inputs: Sequence[PredictionInput]) -> None:
    target, count = Counter(one.target for one in inputs).most_common(1)[0]
    if count > 1:
        sources = ", ".join(str(one.source) for one in inputs if one.target == target)
        remedy = "Rename them, or predict them into different folders."
        raise UsageError(target, f"{count} CTs to be written there: {sources}", "one", remedy)
    for one in inputs:
        target = one.target.resolve()
        if one.source.resolve() in (target, beside(target) / IMAGE_NAME):
            found = f"the place of the CT {one.source} itself"
            raise UsageError(target, found, "another one", "Give another OUT.")
