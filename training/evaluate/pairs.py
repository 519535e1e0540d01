"""Pairs of case and prediction, with both label maps of a case on one grid."""

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
from saros_hf.nifti import SUFFIXES, read_grid, read_labels, read_mask
from saros_hf.volume import Volume

from ..surfaces.protocols import SurfaceProtocol

_CASE_ID = re.compile(r"case_\d{3,}")
_RESERVED_STEMS = {*TASKS, IMAGE_NAME.split(".")[0]}


@dataclass(frozen=True)
class Evaluation:
    """Options of an evaluation.

    Attributes:
        truth: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        predictions: Folder of predicted label maps, see :func:`find_predictions`.
        task: Label maps to score.
        split: ``train``, ``validation``, ``test`` or ``all``.
        fold: Number of the validation fold, 1 to 5.
        protocols: Surface protocols of the NSD. ``volume`` takes as long as the other two.
        allow_missing: Score a missing prediction as an empty one.
        partial: Leave out cases without ``body-regions.nii.gz``, as in a partial download.
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
    """A case and the path of its prediction, ``None`` if there is none."""

    files: CaseFiles
    prediction: Path | None

    @property
    def case_id(self) -> str:
        """Case id."""
        return self.files.case.case_id

    def read(self, task: Task) -> tuple[Volume, Volume]:
        """Return prediction and truth, with an empty prediction if there is none.

        If the CT is present, the truth takes the CT's affine, as in ``load_dataset``: one
        published label map has an affine with the wrong sign. A prediction that was stored with
        that affine is moved as well.

        Raises:
            SarosError: A file is missing or damaged, or CT and truth are on different grids.
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
        MissingFileError: A required label map or prediction is missing.
        UsageError: The split does not exist, or a case has two predictions.
    """
    found = find_predictions(evaluation.predictions, evaluation.task)
    _refuse_missing_truth(evaluation)
    cases = [files for files in _split(evaluation) if files.mask(evaluation.task).is_file()]
    missing = [files.case.case_id for files in cases if files.case.case_id not in found]
    if missing and not evaluation.allow_missing:
        raise MissingFileError(
            evaluation.predictions,
            f"no prediction of {len(missing)} of {len(cases)} cases: {abbreviated(missing)}",
            f"one for every case of the {evaluation.split} split",
            "Predict them, or count them as empty predictions with --allow-missing.",
        )
    return [Pair(files, found.get(files.case.case_id)) for files in cases]


def without_truth(evaluation: Evaluation) -> list[str]:
    """Return the ids of the cases of the split that have no label map to score against."""
    missing = [files for files in _split(evaluation) if not files.mask(evaluation.task).is_file()]
    return [files.case.case_id for files in missing]


def abbreviated(names: list[str]) -> str:
    """Return the first five names as text."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _split(evaluation: Evaluation) -> list[CaseFiles]:
    """Return the cases of the split according to the table, with or without files."""
    if evaluation.split not in (*SPLITS, "all"):
        raise UsageError("--split", evaluation.split, f"one of {', '.join(SPLITS)}, all")
    return [
        CaseFiles(case, evaluation.truth / case.case_id)
        for case in read_case_table(find_table(evaluation.truth))
        if evaluation.split in ("all", split_of(case.fold, validation_fold=evaluation.fold))
    ]


def _refuse_missing_truth(evaluation: Evaluation) -> None:
    total, missing = len(_split(evaluation)), without_truth(evaluation)
    name, split = f"{evaluation.task}.nii.gz", evaluation.split
    if len(missing) == total:
        found = f"no case with {name} in the {split} split"
        raise MissingFileError(evaluation.truth, found, "at least one", "Choose another --split.")
    # Some cases of SAROS have no body parts.
    if missing and evaluation.task == "body-regions" and not evaluation.partial:
        raise MissingFileError(
            evaluation.truth,
            f"no {name} of {len(missing)} of {total} cases: {abbreviated(missing)}",
            f"one for every case of the {split} split",
            "Fetch them with saros download, or score the other cases with --partial.",
        )


def find_predictions(folder: Path, task: Task) -> dict[str, Path]:
    """Return the predicted label map of each case in a folder, by case id.

    Predictions are files ``case_XXX.nii.gz``, as written by nnU-Net and ``saros predict``, or
    folders ``case_XXX``. Such a folder holds ``body-regions.nii.gz`` (or ``body-parts.nii.gz``,
    depending on the task), or a single NIfTI file of any name except ``image.nii.gz`` and that of
    the other task.

    Raises:
        MissingFileError: There is no prediction.
        UsageError: A case has two predictions.
    """
    found: dict[str, Path] = {}
    for case_id, path in _candidates(folder, task):
        if case_id in found:
            second = f"a second prediction of {case_id} besides {found[case_id].name}"
            raise UsageError(path, second, "one")
        found[case_id] = path
    if not found:
        raise MissingFileError(
            folder, "no prediction", f"case_XXX.nii.gz or case_XXX/{task}.nii.gz"
        )
    return found


def _candidates(folder: Path, task: Task) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _CASE_ID.search(path.name)
        if match is None:
            continue
        if path.is_dir():
            yield from ((match[0], file) for file in _label_maps(path, task))
        elif path.name.endswith(SUFFIXES):
            yield match[0], path


def _label_maps(folder: Path, task: Task) -> list[Path]:
    """Return the files of a case's folder that can be predictions of the task."""
    stems = {
        path: path.name.split(".")[0]
        for path in sorted(folder.iterdir())
        if path.name.endswith(SUFFIXES)
    }
    named = [path for path, stem in stems.items() if stem == task]
    return named or [path for path, stem in stems.items() if stem not in _RESERVED_STEMS]
