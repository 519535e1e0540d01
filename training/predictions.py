"""Which file of a folder is the prediction of which case."""

import re
from collections.abc import Iterator
from pathlib import Path

from saros_hf.case_files import IMAGE_NAME
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.labels import TASKS, Task

_CASE_ID = re.compile(r"case_\d{3,}")
_SUFFIXES = (".nii.gz", ".nii")
_TAKEN_NAMES = {*TASKS, IMAGE_NAME.split(".")[0]}
"""Of files in a case's folder that say themselves what they hold."""


def find_predictions(folder: Path, task: Task) -> dict[str, Path]:
    """Return the label map of each case in a folder, by case id.

    Files ``case_XXX.nii.gz``, as nnU-Net and ``saros predict`` write them, or folders ``case_XXX``
    that hold ``body-regions.nii.gz`` (or the other task's name), or one NIfTI file alone that is
    neither named after the other task nor ``image.nii.gz``.

    Raises:
        MissingFileError: There is no prediction.
        UsageError: Two files are of one case.
    """
    found: dict[str, Path] = {}
    for case_id, path in _candidates(folder, task):
        if case_id in found:
            raise UsageError(
                path,
                found=f"a second prediction of {case_id} beside {found[case_id].name}",
                expected="one",
                remedy="Move one of them away.",
            )
        found[case_id] = path
    if not found:
        raise MissingFileError(
            folder,
            found="no prediction",
            expected=f"case_XXX.nii.gz, or case_XXX/{task}.nii.gz",
            remedy="Give the folder that the predictions were written to.",
        )
    return found


def _candidates(folder: Path, task: Task) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _CASE_ID.search(path.name)
        if match is None:
            continue
        if path.is_dir():
            yield from ((match[0], one) for one in _within(path, task))
        elif path.name.endswith(_SUFFIXES):
            yield match[0], path


def _within(folder: Path, task: Task) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.name.endswith(_SUFFIXES)]
    stems = {path: path.name.split(".")[0] for path in files}
    named = [path for path in files if stems[path] == task]
    return named or [path for path in files if stems[path] not in _TAKEN_NAMES]
