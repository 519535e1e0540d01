import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from helpers.case_folders import write_folder
from helpers.model_folders import evaluated
from helpers.processes import started

from saros_hf.cases.case import Case
from saros_hf.cases.files import find_cases
from saros_hf.errors import TableError, UnreadableFileError, UsageError
from saros_hf.folds import split_of
from saros_hf.nifti import read_mask, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.evaluate.example_case import Example
from training.evaluate.pairs import Evaluation, Pair, pairs
from training.evaluate.result_folder import read_evaluation, write_evaluated, write_evaluation
from training.evaluate.run import _scores_or_error, evaluate, score_pair
from training.evaluate.score_case import Score, read_metrics
from training.evaluate.summary import group_means, label_means, worst_cases

TASK = "body-regions"


@pytest.fixture
def predictions(phantoms: Path, tmp_path: Path) -> Path:
    """The truth of the test split, shifted by one voxel."""
    folder = tmp_path / "predictions"
    for files in find_cases(phantoms):
        if split_of(files.case.fold) == "test":
            truth = read_mask(files.mask(TASK), TASK)
            dense = np.roll(np.where(truth.array == 255, 2, truth.array), 1, axis=0)
            path = folder / f"{files.case.case_id}.nii.gz"
            write_volume(path, Volume(dense.astype(np.uint8), truth.affine))
    return folder


def scored(evaluation: Evaluation) -> list[Score]:
    return [score for pair in pairs(evaluation) for score in score_pair(evaluation, pair)]


def test_missing_prediction_scores_zero(phantoms: Path, predictions: Path) -> None:
    first = min(predictions.iterdir())
    first.unlink()
    gone = first.name.partition(".")[0]
    scores = scored(Evaluation(phantoms, predictions, TASK, allow_missing=True))
    truth = {s.label for s in scores if s.case_id == gone and s.metric == "truth_ml" and s.value}
    dice = {s.label: s.value for s in scores if s.case_id == gone and s.metric == "dice"}
    assert truth
    assert all(dice[label] == 0 for label in truth)
    assert worst_cases(scores)[0][0] == gone


def test_prediction_in_another_orientation_scores_the_same(
    phantoms: Path, predictions: Path
) -> None:
    evaluation = Evaluation(phantoms, predictions, TASK)
    before = scored(evaluation)
    for path in predictions.iterdir():
        write_volume(path, read_mask(path, TASK).oriented("PIR"))
    assert repr(scored(evaluation)) == repr(before)


def test_label_and_group_means(phantoms: Path, predictions: Path) -> None:
    evaluation = Evaluation(phantoms, predictions, TASK)
    scores = scored(evaluation)
    cases: Mapping[str, Case] = {p.case_id: p.files.case for p in pairs(evaluation)}
    regions = group_means(scores, cases, lambda case: case.anatomic_region)
    assert sum(group.cases for group in regions) == len(cases)
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


@pytest.fixture
def broken(tmp_path: Path) -> Evaluation:
    """Twelve cases of 8 x 6 x 7 voxels, the first two with a prediction on another grid."""
    truth, predictions = write_folder(tmp_path / "truth", ("test",) * 12), tmp_path / "predictions"
    for case_id in ("case_000", "case_001"):
        volume = Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4))
        write_volume(predictions / f"{case_id}.nii.gz", volume)
    return Evaluation(truth, predictions, TASK, allow_missing=True)


def test_broken_predictions_do_not_stop_the_others(
    broken: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["evaluate", str(broken.truth), str(broken.predictions), "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--allow-missing", "--jobs", "1"])
    assert stop.value.code == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("saros: ")]
    assert len(errors) == 2
    for n, line in enumerate(errors):
        assert line.startswith(f"saros: case_00{n}, prediction: found")
    scores = read_metrics(out / "metrics.csv")
    assert {score.case_id for score in scores} == {f"case_{n:03}" for n in range(2, 12)}
    alone = [s for pair in pairs(broken)[2:] for s in score_pair(broken, pair)]
    assert repr(scores) == repr(alone)
    assert list(json.loads((out / "summary.json").read_text())["failed"]) == [
        "case_000",
        "case_001",
    ]
    assert (out / "report.html").read_text().count("<b>Not scored.</b> case_00") == 2
    with pytest.raises(UnreadableFileError, match="could not be scored: case_000, case_001"):
        read_evaluation(out)


def rows(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text().splitlines()


DAMAGES = [
    (lambda out: rows(out)[:-1], "metrics.csv: found 103 scores, .* missing or too many"),
    (lambda out: [*rows(out), rows(out)[-1]], "metrics.csv: found 105 scores"),
    (lambda out: [one for one in rows(out) if "case_001" not in one], "every score of 2 cases"),
    (lambda out: [one.replace("brain", "head") for one in rows(out)], "head, dice, annotated"),
]


@pytest.mark.parametrize(("damaged", "message"), DAMAGES)
def test_incomplete_scores_are_refused(
    tmp_path: Path, damaged: Callable[[Path], list[str]], message: str
) -> None:
    write_evaluated(tmp_path, evaluated())
    assert len(read_evaluation(tmp_path).scores) == 104
    (tmp_path / "metrics.csv").write_text("\n".join(damaged(tmp_path)) + "\n")
    with pytest.raises(TableError, match=message):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"split": "x\n# Owned"},
        {"fold": 9},
        {"fold": math.inf},
        {"cases": None},
        {"failed": 3},
        None,
        "x",
    ],
)
def test_damaged_summary_is_refused(tmp_path: Path, change: object) -> None:
    write_evaluated(tmp_path, evaluated())
    path = tmp_path / "summary.json"
    changed = json.loads(path.read_text()) | change if isinstance(change, dict) else change
    for text in (json.dumps(changed), "[" * 200_000):
        path.write_text(text)
        with pytest.raises(UnreadableFileError, match=r"summary.json: found "):
            read_evaluation(tmp_path)


@pytest.mark.parametrize("change", [{"dice": 7.5}, {"dice": "1"}, {"case_id": 3}, {"size": 1}])
def test_damaged_example_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    example = Example("case_000", "C4KC-KiTS", "CC BY 3.0", 0.5, b"png")
    write_evaluated(tmp_path, replace(evaluated(), example=example))
    assert read_evaluation(tmp_path).example == example
    about = json.loads((tmp_path / "example.json").read_text())
    (tmp_path / "example.json").write_text(json.dumps(about | change))
    with pytest.raises(UnreadableFileError):
        read_evaluation(tmp_path)


def test_unexpected_error_with_a_case_does_not_stop_the_others(
    broken: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pair: Pair, _: str) -> NoReturn:
        raise ZeroDivisionError(pair.case_id)

    chosen = pairs(broken)[2:4]
    scores = [score for pair in chosen for score in score_pair(broken, pair)]
    monkeypatch.setattr(Pair, "read", fail)
    error = _scores_or_error(broken, chosen[0])
    assert str(error).startswith("case_002: found ZeroDivisionError: case_002, expected files")
    write_evaluation(tmp_path / "J\udcf6rg", broken, chosen, scores)
    assert len(read_evaluation(tmp_path / "J\udcf6rg").scores) == len(scores)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_evaluation_is_one_line(broken: Evaluation, tmp_path: Path, number: int) -> None:
    """Ctrl-C, which reaches all processes, while the workers are still starting."""
    command = [sys.executable, "-m", "training", "evaluate", str(broken.truth)]
    command += [str(broken.predictions), "--out", str(tmp_path / "o"), "--allow-missing"]
    with started([*command, "--jobs", "2"], stderr=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children.read_text().split()) < 2:
            assert process.poll() is None
        time.sleep(0.5)
        os.killpg(process.pid, number)
        error = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "saros: interrupted. Run the same command again: it starts anew." in error


def test_missing_predictions_are_one_error(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(phantoms), str(tmp_path), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("saros: ")
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_killed_worker_is_one_error(broken: Evaluation) -> None:
    def kill_after_the_third(done: int, _: int) -> None:
        if done == 3:
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(UsageError, match=r"--jobs: found 1 of 1 processes killed.*memory"):
        evaluate(broken, pairs(broken), jobs=1, progress=kill_after_the_third)


@pytest.mark.slow
def test_command_writes_table_summary_and_report(
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
    assert {path.name for path in out.iterdir()} == {
        *("metrics.csv", "summary.json", "report.html", "example.png", "example.json")
    }
