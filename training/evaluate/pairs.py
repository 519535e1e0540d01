"""Which label map is scored against which prediction, and both of a case on one grid."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saros_hf.cases.files import IMAGE_NAME, CaseFiles
from saros_hf.cases.pairing import pair as pair_grids
from saros_hf.cases.table import find_table, read_case_table
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.folds import SPLITS, split_of
from saros_hf.labels import TASKS, Task
from saros_hf.nifti import read_grid, read_labels, read_mask
from saros_hf.volume import Volume

from ..surfaces.protocol_names import SurfaceProtocol


@dataclass(frozen=True)
class Evaluation:
    """What is scored against what.

    Attributes:
        truth: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        predictions: Folder of label maps, see :func:`training.evaluate.pairs.find_predictions`.
        task: Which label maps.
        split: ``train``, ``validation``, ``test`` or ``all``.
        fold: Number 1..5 of the validation fold.
        protocols: Surface protocols of the NSD: the honest one, and the one to compare with the
            paper; ``volume`` takes as long again as both.
        allow_missing: Score a case without prediction as if nothing had been found in it.
        partial: Leave out cases of the split without body regions, as of a partial download.
    """

    truth: Path
    predictions: Path
    task: Task
    split: str = "test"
    fold: int = 1
    protocols: tuple[SurfaceProtocol, ...] = ("slice", "published")
    allow_missing: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Pair:
    """A case and its prediction, ``None`` if there is none."""

    files: CaseFiles
    prediction: Path | None

    @property
    def case_id(self) -> str:
        """Name of the case."""
        return self.files.case.case_id

    def read(self, task: Task) -> tuple[Volume, Volume]:
        """Return prediction and truth, an empty prediction if there is none.

        Beside a CT the truth lies where the CT says, as when it is loaded: a published label map
        has an affine of the wrong sign. A prediction stored with that same affine lies there, too.

        Raises:
            SarosError: A file is missing or damaged, or the CT is of another grid than the truth.
        """
        path = self.files.mask(task)
        stored = truth = read_mask(path, task)
        if self.prediction is None:
            prediction = Volume(np.zeros(truth.shape, np.uint8), truth.affine)
        else:
            prediction = read_labels(self.prediction)
        if self.files.image.is_file():
            uid = self.files.case.series_instance_uid
            affine = pair_grids(read_grid(self.files.image), stored, path, series_uid=uid)
            truth = replace(stored, affine=affine)
            turned = prediction.oriented(truth.orientation)
            if not turned.same_grid(truth) and prediction.same_grid(stored):
                prediction = replace(prediction, affine=affine)
        return prediction, truth


def pairs(evaluation: Evaluation) -> list[Pair]:
    """Return the cases to score, each with its prediction.

    Raises:
        MissingFileError: A truth or a prediction is missing that must not.
        UsageError: There is no such split, or two predictions are of one case.
    """
    found = find_predictions(evaluation.predictions, evaluation.task)
    _refuse_missing_truth(evaluation)
    cases = [files for files in _split(evaluation) if files.mask(evaluation.task).is_file()]
    missing = [files.case.case_id for files in cases if files.case.case_id not in found]
    if missing and not evaluation.allow_missing:
        raise MissingFileError(
            evaluation.predictions,
            f"no prediction of {len(missing)} of {len(cases)} cases: {few(missing)}",
            f"one of every case in the {evaluation.split} split",
            "Predict them, or count them as empty predictions with --allow-missing.",
        )
    return [Pair(files, found.get(files.case.case_id)) for files in cases]


def without_truth(evaluation: Evaluation) -> list[str]:
    """Return the ids of the cases of the split that have no label map to score against."""
    missing = [files for files in _split(evaluation) if not files.mask(evaluation.task).is_file()]
    return [files.case.case_id for files in missing]


def few(names: list[str]) -> str:
    """Return the first of some names, for a message."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _split(evaluation: Evaluation) -> list[CaseFiles]:
    """Return the cases that the table has in the split, whether their files are there or not."""
    if evaluation.split not in (*SPLITS, "all"):
        raise UsageError("--split", evaluation.split, f"one of {', '.join(SPLITS)}, all")
    return [
        CaseFiles(case, evaluation.truth / case.case_id)
        for case in read_case_table(find_table(evaluation.truth))
        if evaluation.split in ("all", split_of(case.fold, validation_fold=evaluation.fold))
    ]


def _refuse_missing_truth(evaluation: Evaluation) -> None:
    cases, missing = _split(evaluation), without_truth(evaluation)
    if len(missing) == len(cases):
        raise MissingFileError(
            evaluation.truth,
            f"no case with {evaluation.task}.nii.gz in the {evaluation.split} split",
            "at least one",
            "Choose another --split, or all.",
        )
    # Some cases of SAROS have no body parts.
    if missing and evaluation.task == "body-regions" and not evaluation.partial:
        raise MissingFileError(
            evaluation.truth,
            f"no body-regions.nii.gz of {len(missing)} of {len(cases)} cases: {few(missing)}",
            f"one of every case in the {evaluation.split} split",
            "Fetch them with saros download, or score the other cases with --partial.",
        )


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
                f"a second prediction of {case_id} beside {found[case_id].name}",
                "one",
                "Move one of them away.",
            )
        found[case_id] = path
    if not found:
        raise MissingFileError(
            folder,
            "no prediction",
            f"case_XXX.nii.gz, or case_XXX/{task}.nii.gz",
            "Give the folder that the predictions were written to.",
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
