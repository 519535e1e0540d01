import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.case_folders import LPS, case, write_folder

from saros_hf.cases.files import CaseFiles, find_cases
from saros_hf.errors import GridMismatchError, MissingFileError, UnknownLabelError, UsageError
from saros_hf.folds import split_of
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.evaluate.pairs import Evaluation, Pair, find_predictions, pairs, without_truth
from training.evaluate.result_folder import write_evaluation
from training.evaluate.run import score_pair
from training.evaluate.score_case import read_metrics, score_case

TASK = "body-regions"
FLIP_K = np.diag([1.0, 1.0, -1.0, 1.0])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Three test cases of 8 x 6 x 7 voxels, annotated at k = 1 and 5: label 1 where i < 4."""
    return write_folder(tmp_path / "truth", ("test", "test", "test"))


@pytest.fixture
def predictions(truth: Path, tmp_path: Path) -> Path:
    """The truth on annotated slices, background elsewhere."""
    folder = tmp_path / "predictions"
    for files in find_cases(truth):
        mask = read_mask(files.mask(TASK), TASK)
        labels = np.where(mask.array == 255, 0, mask.array).astype(np.uint8)
        write_volume(folder / f"{files.case.case_id}.nii.gz", Volume(labels, mask.affine))
    return folder


def test_predictions_are_found_as_files_and_as_folders(predictions: Path, tmp_path: Path) -> None:
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
        (predictions / name).write_text("{}")  # as written by nnU-Net
    found = find_predictions(predictions, TASK)
    assert found == {f"case_00{n}": predictions / f"case_00{n}.nii.gz" for n in range(3)}
    folders = tmp_path / "folders"
    for case_id, path in found.items():
        (folders / case_id).mkdir(parents=True)
        shutil.copy(path, folders / case_id / "body-regions.nii.gz")
        shutil.copy(path, folders / case_id / "image.nii.gz")
    again = find_predictions(folders, TASK)
    assert again == {case: folders / case / "body-regions.nii.gz" for case in found}
    shutil.copy(found["case_000"], folders / "prediction_case_000.nii.gz")
    with pytest.raises(UsageError, match="second prediction of case_000"):
        find_predictions(folders, TASK)
    with pytest.raises(MissingFileError, match="found no prediction"):
        find_predictions(tmp_path / "nowhere", TASK)


def test_map_of_the_other_task_is_not_a_prediction(tmp_path: Path) -> None:
    for name in ("case_000/body-parts.nii.gz", "case_000/image.nii.gz", "case_001/mine.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_predictions(tmp_path, TASK) == {"case_001": tmp_path / "case_001" / "mine.nii"}
    parts = find_predictions(tmp_path, "body-parts")
    assert parts["case_000"] == tmp_path / "case_000" / "body-parts.nii.gz"


def test_splits_are_those_of_the_table(tmp_path: Path) -> None:
    truth = write_folder(tmp_path / "truth", ("test", "fold-1", "test"))
    for name in ("case_000", "case_002"):
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "body-regions.nii.gz").touch()
    chosen = pairs(Evaluation(truth, tmp_path / "made", TASK))
    assert len(chosen) == 2
    assert {split_of(pair.files.case.fold) for pair in chosen} == {"test"}
    with pytest.raises(MissingFileError, match=r"no prediction of 1 of 3.*case_001.*--allow-mis"):
        pairs(Evaluation(truth, tmp_path / "made", TASK, split="all"))
    with pytest.raises(UsageError, match="--split: found dev"):
        pairs(Evaluation(truth, tmp_path / "made", TASK, split="dev"))


def test_unannotated_slices_of_a_prediction_may_hold_any_value(
    truth: Path, predictions: Path
) -> None:
    evaluation = Evaluation(truth, predictions, TASK)
    first, second, _ = pairs(evaluation)
    for pair, voxel in ((first, (0, 0, 0)), (second, (0, 0, 1))):
        volume = read_mask(pair.prediction, TASK)
        array = volume.array.copy()
        array[voxel] = 200
        write_volume(pair.prediction, Volume(array, volume.affine))
    assert score_pair(evaluation, first)[0].value == 1
    with pytest.raises(UnknownLabelError, match="case_001, prediction: found labels from 0 to 200"):
        score_pair(evaluation, second)


@pytest.mark.parametrize("affine_of", ["CT", "label map", "CT in RAS"])
def test_label_map_with_flipped_affine_takes_that_of_the_ct(tmp_path: Path, affine_of: str) -> None:
    """As in the published case_647: voxels in the CT's order, affine with the wrong sign along k."""
    files = CaseFiles(case("case_647"), tmp_path)
    labels = np.full((8, 6, 7), 255, np.uint8)
    labels[..., [1, 5]] = 0
    labels[:4, :, 1], labels[2:5, :, 5] = 1, 2
    ct = Volume(np.zeros(labels.shape, np.int16), LPS @ FLIP_K)
    write_volume(files.image, ct)
    write_volume(files.mask(TASK), Volume(labels, LPS))
    predicted = Volume(np.where(labels == 255, 0, labels).astype(np.uint8), ct.affine)
    if affine_of == "label map":
        predicted = replace(predicted, affine=LPS)
    elif affine_of == "CT in RAS":
        predicted = predicted.to_ras()
    write_volume(tmp_path / "predicted.nii.gz", predicted)
    prediction, truth = Pair(files, tmp_path / "predicted.nii.gz").read(TASK)
    assert truth.orientation == read_image(files.image).orientation == "LPI"
    scores = score_case("case_647", prediction, truth, TASK)
    assert [s.value for s in scores if s.metric == "dice"][:2] == [1, 1]


def test_ct_on_another_grid_is_refused(truth: Path, predictions: Path) -> None:
    pair = pairs(Evaluation(truth, predictions, TASK))[0]
    write_volume(pair.files.image, Volume(np.zeros((8, 6, 6), np.int16), LPS))
    with pytest.raises(GridMismatchError, match=r"body-regions.nii.gz: found shape \(8, 6, 7\)"):
        pair.read(TASK)


def test_cases_without_a_label_map_are_listed(truth: Path, predictions: Path) -> None:
    (truth / "case_000" / "body-parts.nii.gz").unlink()
    parts = Evaluation(truth, predictions, "body-parts")
    assert [pair.case_id for pair in pairs(parts)] == ["case_001", "case_002"]
    assert without_truth(parts) == ["case_000"]  # SAROS has such cases
    (truth / "case_001" / "body-regions.nii.gz").unlink()
    shutil.rmtree(truth / "case_002")
    regions = Evaluation(truth, predictions, TASK)
    with pytest.raises(MissingFileError, match=r"2 of 3 cases: case_001, case_002.*--partial"):
        pairs(regions)
    partial = replace(regions, partial=True)
    assert [pair.case_id for pair in pairs(partial)] == ["case_000"]
    assert without_truth(partial) == ["case_001", "case_002"]


def test_damaged_ct_costs_only_its_picture(truth: Path, predictions: Path, tmp_path: Path) -> None:
    (truth / "case_000" / "body-regions.nii.gz").unlink()
    evaluation = Evaluation(truth, predictions, TASK, partial=True)
    chosen = pairs(evaluation)
    scores = [score for pair in chosen for score in score_pair(evaluation, pair)]
    image = chosen[0].files.image
    image.write_bytes(image.read_bytes()[:-20])
    write_evaluation(tmp_path / "out", evaluation, chosen, scores)
    assert repr(read_metrics(tmp_path / "out" / "metrics.csv")) == repr(scores)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["not_scored_without_truth"] == ["case_000"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<figure>") == 1
    assert f"No picture.</b> {image}: found a file that is cut short" in page
    assert "<b>1 case(s) of the split without a label map</b> are not scored: case_000" in page
