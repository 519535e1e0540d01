import json
import multiprocessing
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.case_folders import write_folder

from saros_hf.cases.files import find_cases
from saros_hf.errors import GridMismatchError, MissingFileError, UsageError
from saros_hf.folds import split_of
from saros_hf.nifti import read_mask, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.evaluate.pairs import Evaluation, find_predictions, pairs
from training.evaluate.run import evaluate
from training.evaluate.scores import read_metrics
from training.evaluate.summary import group_means, label_means, worst_cases

TASK = "body-regions"


@pytest.fixture
def predictions(phantoms: Path, tmp_path: Path) -> Path:
    """The truth moved by a voxel, as nnU-Net would write it, of the test split."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
        (folder / name).write_text("{}")
    for files in find_cases(phantoms):
        if split_of(files.case.fold) == "test":
            truth = read_mask(files.mask(TASK), TASK)
            dense = np.roll(np.where(truth.array == 255, 2, truth.array), 1, axis=0)
            write_volume(
                folder / f"{files.case.case_id}.nii.gz",
                Volume(dense.astype(np.uint8), truth.affine),
            )
    return folder


def run(evaluation: Evaluation, out: Path, **options: object) -> list:
    return evaluate(evaluation, pairs(evaluation), out, **options)


def test_case_files_and_case_folders_are_found_alike(predictions: Path, tmp_path: Path) -> None:
    found = find_predictions(predictions, TASK)
    assert found
    assert all(path == predictions / f"{case}.nii.gz" for case, path in found.items())
    folders = tmp_path / "folders"
    for case_id, path in found.items():
        (folders / case_id).mkdir(parents=True)
        shutil.copy(path, folders / case_id / "body-regions.nii.gz")
        shutil.copy(path, folders / case_id / "image.nii.gz")
    again = find_predictions(folders, TASK)
    assert again == {case: folders / case / "body-regions.nii.gz" for case in found}
    extra = folders / f"prediction_{min(found)}.nii.gz"
    shutil.copy(found[min(found)], extra)
    with pytest.raises(UsageError, match=f"second prediction of {min(found)}"):
        find_predictions(folders, TASK)
    with pytest.raises(MissingFileError, match="found no prediction"):
        find_predictions(tmp_path / "nowhere", TASK)


def test_the_other_tasks_map_is_no_prediction(tmp_path: Path) -> None:
    for name in ("case_000/body-parts.nii.gz", "case_000/image.nii.gz", "case_001/mine.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_predictions(tmp_path, TASK) == {"case_001": tmp_path / "case_001" / "mine.nii"}
    parts = find_predictions(tmp_path, "body-parts")
    assert parts["case_000"] == tmp_path / "case_000" / "body-parts.nii.gz"


def test_a_missing_prediction_is_an_error_or_counts_as_empty(
    phantoms: Path, predictions: Path, tmp_path: Path
) -> None:
    gone = min(find_predictions(predictions, TASK))
    (predictions / f"{gone}.nii.gz").unlink()
    with pytest.raises(MissingFileError, match=f"no prediction of 1 of .*{gone}.*--allow-missing"):
        pairs(Evaluation(phantoms, predictions, TASK))
    lenient = Evaluation(phantoms, predictions, TASK, allow_missing=True)
    scores = run(lenient, tmp_path / "out")
    truth = {s.label for s in scores if s.case_id == gone and s.metric == "truth_ml" and s.value}
    dice = {s.label: s.value for s in scores if s.case_id == gone and s.metric == "dice"}
    assert truth
    assert all(dice[label] == 0 for label in truth)
    assert worst_cases(scores)[0][0] == gone


def test_splits_are_those_of_the_table(phantoms: Path, predictions: Path) -> None:
    chosen = pairs(Evaluation(phantoms, predictions, TASK))
    assert {split_of(pair.files.case.fold) for pair in chosen} == {"test"}
    with pytest.raises(MissingFileError, match="no prediction of"):
        pairs(Evaluation(phantoms, predictions, TASK, split="all"))
    with pytest.raises(UsageError, match="--split: found dev"):
        pairs(Evaluation(phantoms, predictions, TASK, split="dev"))


def test_a_second_run_takes_up_what_the_first_has_scored(
    phantoms: Path, predictions: Path, tmp_path: Path
) -> None:
    evaluation = Evaluation(phantoms, predictions, TASK)
    first = run(evaluation, tmp_path / "out", jobs=2)
    kept = sorted((tmp_path / "out" / "cases").iterdir())
    assert len(kept) == len(pairs(evaluation))
    kept[0].write_text(kept[0].read_text().replace(",dice,annotated,0.", ",dice,annotated,0.1"))
    assert repr(run(evaluation, tmp_path / "out")) != repr(first)  # it was read, not computed
    kept[0].unlink()
    assert repr(run(evaluation, tmp_path / "out")) == repr(first)
    # A prediction that has changed is scored again.
    path = next(iter(find_predictions(predictions, TASK).values()))
    volume = read_mask(path, TASK)
    write_volume(path, Volume(np.zeros_like(volume.array), volume.affine))
    assert repr(run(evaluation, tmp_path / "out")) != repr(first)


def small_cases_and_two_broken_predictions(folder: Path) -> Evaluation:
    """A dozen cases of 8 x 6 x 7 voxels, and of the first two a prediction on another grid."""
    truth, predictions = write_folder(folder / "truth", ("test",) * 12), folder / "predictions"
    for case_id in ("case_000", "case_001"):
        broken = Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4))
        write_volume(predictions / f"{case_id}.nii.gz", broken)
    return Evaluation(truth, predictions, TASK, allow_missing=True)


def test_broken_predictions_are_all_named_and_do_not_stop_the_others(tmp_path: Path) -> None:
    evaluation = small_cases_and_two_broken_predictions(tmp_path)
    with pytest.raises(GridMismatchError, match=r"case_\d+, prediction: found") as error:
        run(evaluation, tmp_path / "out", jobs=1)
    assert set(re.findall(r"case_\d+", str(error.value))) == {"case_000", "case_001"}
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 10


def test_a_worker_killed_from_outside_is_told_in_one_line_and_costs_no_case(tmp_path: Path) -> None:
    evaluation = small_cases_and_two_broken_predictions(tmp_path)

    def kill_after_the_third(done: int, _: int) -> None:
        if done == 3:
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(UsageError, match=r"--jobs: found that one of 1 .*memory.*are kept"):
        run(evaluation, tmp_path / "out", jobs=1, progress=kill_after_the_third)
    assert 1 <= len(list((tmp_path / "out" / "cases").iterdir())) < 10


def test_predictions_in_another_orientation_score_the_same(
    phantoms: Path, predictions: Path, tmp_path: Path
) -> None:
    evaluation = Evaluation(phantoms, predictions, TASK)
    before = run(evaluation, tmp_path / "one")
    for path in find_predictions(predictions, TASK).values():
        write_volume(path, read_mask(path, TASK).oriented("PIR"))
    assert repr(run(evaluation, tmp_path / "two")) == repr(before)


def test_groups_and_means(phantoms: Path, predictions: Path, tmp_path: Path) -> None:
    evaluation = Evaluation(phantoms, predictions, TASK)
    chosen = pairs(evaluation)
    scores = evaluate(evaluation, chosen, tmp_path / "out")
    cases = {pair.files.case.case_id: pair.files.case for pair in chosen}
    regions = group_means(scores, cases, lambda case: case.anatomic_region)
    assert sum(group.cases for group in regions) == len(chosen)
    by_hand: dict[str, list[float]] = {}
    for score in scores:
        if score.metric == "dice" and score.value == score.value:
            by_hand.setdefault(score.label, []).append(score.value)
    rows = {row.label: row for row in label_means(scores, TASK)}
    for label, values in by_hand.items():
        mean = rows[label].means["dice", "annotated"].mean
        assert mean == pytest.approx(sum(values) / len(values))
    macro = sum(sum(v) / len(v) for v in by_hand.values()) / len(by_hand)
    assert rows["average"].means["dice", "annotated"].mean == pytest.approx(macro)


def test_the_command_writes_table_summary_and_report(
    phantoms: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores"
    main(["evaluate", str(phantoms), str(predictions), "--out", str(out), "--volume"])
    shown = capsys.readouterr().out
    assert {"Abdominal", "Submandibular", "Average"} <= set(shown.split())
    assert "Lowest mean Dice: case_" in shown
    scores = read_metrics(out / "metrics.csv")
    assert {s.metric for s in scores} >= {"dice", "nsd", "precision", "recall", "assd_mm"}
    assert {s.protocol for s in scores if s.metric == "nsd"} == {"slice", "volume", "published"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["cases"] == len({s.case_id for s in scores})
    muscle = summary["labels"]["muscle"]
    assert muscle["dice"]["low"] <= muscle["dice"]["mean"] <= muscle["dice"]["high"]
    assert muscle["paper_dice"] == 0.971
    page = (out / "report.html").read_text()
    assert "By collection" in page
    assert "By region" in page
    assert page.count("<figure>") == min(10, summary["cases"])


def test_the_command_says_what_is_missing_in_one_line(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(phantoms), str(tmp_path), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("saros: ")
    assert "\n" not in error
    assert not (tmp_path / "out").exists()
