import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.case_folders import LPS, case, write_folder

from saros_hf.cases.files import CaseFiles, find_cases
from saros_hf.errors import GridMismatchError, MissingFileError, UnknownLabelError
from saros_hf.nifti import read_image, read_mask, write_volume
from saros_hf.volume import Volume
from training.evaluate.pairs import Evaluation, Pair, pairs, without_truth
from training.evaluate.result_folder import write_evaluation
from training.evaluate.score_case import score_case
from training.evaluate.scores import Score, read_metrics

TASK = "body-regions"
FLIP_K = np.diag([1.0, 1.0, -1.0, 1.0])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Three test cases of 8 x 6 x 7 voxels, annotated at k = 1 and 5: label 1 where i < 4."""
    return write_folder(tmp_path / "truth", ("test", "test", "test"))


@pytest.fixture
def predictions(truth: Path, tmp_path: Path) -> Path:
    """What the truth says on annotated slices, and nothing elsewhere."""
    folder = tmp_path / "predictions"
    for files in find_cases(truth):
        mask = read_mask(files.mask(TASK), TASK)
        labels = np.where(mask.array == 255, 0, mask.array).astype(np.uint8)
        write_volume(folder / f"{files.case.case_id}.nii.gz", Volume(labels, mask.affine))
    return folder


def dice_of(pair: Pair) -> float:
    return score_case(pair.case_id, *pair.read(TASK), TASK)[0].value


def alter(path: Path, where: tuple[int, int, int], value: int) -> None:
    volume = read_mask(path, TASK)
    array = volume.array.copy()
    array[where] = value
    write_volume(path, Volume(array, volume.affine))


def test_what_a_prediction_says_off_the_annotated_slices_does_not_matter(
    truth: Path, predictions: Path
) -> None:
    first, second, _ = pairs(Evaluation(truth, predictions, TASK))
    alter(predictions / "case_000.nii.gz", (0, 0, 0), 200)
    assert dice_of(first) == 1
    alter(predictions / "case_001.nii.gz", (0, 0, 1), 200)
    with pytest.raises(UnknownLabelError, match="case_001, prediction: found labels from 0 to 200"):
        dice_of(second)


@pytest.mark.parametrize("affine_of", ["CT", "label map", "CT in RAS"])
def test_a_label_map_of_the_wrong_sign_lies_where_the_ct_says(
    tmp_path: Path, affine_of: str
) -> None:
    """As that of case_647, as published: the CT's voxels, under an affine that runs upwards."""
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
    pair = Pair(files, tmp_path / "predicted.nii.gz")
    prediction, truth = pair.read(TASK)
    assert truth.orientation == read_image(files.image).orientation == "LPI"
    scores = score_case("case_647", prediction, truth, TASK)
    assert [s.value for s in scores if s.metric == "dice"][:2] == [1, 1]


def test_a_ct_of_another_grid_is_refused_as_by_load_dataset(truth: Path, predictions: Path) -> None:
    pair = pairs(Evaluation(truth, predictions, TASK))[0]
    write_volume(pair.files.image, Volume(np.zeros((8, 6, 6), np.int16), LPS))
    with pytest.raises(GridMismatchError, match=r"body-regions.nii.gz: found shape \(8, 6, 7\)"):
        pair.read(TASK)


def test_cases_without_a_label_map_are_never_left_out_in_silence(
    truth: Path, predictions: Path
) -> None:
    (truth / "case_000" / "body-parts.nii.gz").unlink()
    parts = Evaluation(truth, predictions, "body-parts")
    assert [pair.case_id for pair in pairs(parts)] == ["case_001", "case_002"]
    assert without_truth(parts) == ["case_000"]  # as SAROS has some
    (truth / "case_001" / "body-regions.nii.gz").unlink()
    for path in (truth / "case_002").iterdir():
        path.unlink()
    (truth / "case_002").rmdir()
    regions = Evaluation(truth, predictions, TASK)
    with pytest.raises(MissingFileError, match=r"2 of 3 cases: case_001, case_002.*--partial"):
        pairs(regions)
    partial = replace(regions, partial=True)
    assert [pair.case_id for pair in pairs(partial)] == ["case_000"]
    assert without_truth(partial) == ["case_001", "case_002"]


def scored(evaluation: Evaluation) -> tuple[list[Pair], list[Score]]:
    chosen = pairs(evaluation)
    return chosen, [s for p in chosen for s in score_case(p.case_id, *p.read(TASK), TASK)]


def test_a_damaged_ct_costs_its_picture_only(
    truth: Path, predictions: Path, tmp_path: Path
) -> None:
    (truth / "case_000" / "body-regions.nii.gz").unlink()
    evaluation = Evaluation(truth, predictions, TASK, partial=True)
    chosen, scores = scored(evaluation)
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
