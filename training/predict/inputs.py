"""CTs to predict, and the paths of their label maps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saros_hf.cases.files import IMAGE_NAME
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import Task

from .list_file import listed

SUFFIX = ".nii.gz"
_NIFTI = (".nii", ".nii.gz")


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
            see :func:`training.predict.list_file.listed`.
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
        names = _names(images)
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
    if found := [path for path in visible if path.name.endswith(_NIFTI)]:
        return found
    if out.name.endswith(SUFFIX):  # one series, maybe in nested folders
        return []
    series = (path for path in visible if path.is_dir() or path.suffix.lower() == ".zip")
    return [path for path in series if path.resolve() != out.resolve()]


def _names(images: Sequence[Path]) -> dict[Path, str]:
    """Return a unique name for each CT: its own, with as many parent folders as necessary."""
    parts = {image: _name_parts(image) for image in images}
    lengths = dict.fromkeys(parts, 1)
    while True:
        names = {image: "_".join(parts[image][-lengths[image] :]) for image in parts}
        counts = Counter(names.values())
        ambiguous = [image for image, name in names.items() if counts[name] > 1]
        longer = [image for image in ambiguous if lengths[image] < len(parts[image])]
        if not longer:
            return names
        for image in longer:
            lengths[image] += 1


def _name_parts(image: Path) -> tuple[str, ...]:
    """Return a CT's folders and name; ``case_000/image.nii.gz`` is named after its folder."""
    folders = image.parent.relative_to(image.anchor).parts
    if image.name == IMAGE_NAME and folders:
        return folders
    endings = [one for one in (*_NIFTI, ".zip") if image.name.lower().endswith(one)]
    return (*folders, image.name[: -len(endings[0])] if endings else image.name)


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
