"""Files of an evaluation: metrics.csv, summary.json, report.html and an example picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from saros_hf.cases.licenses import PHANTOM_COLLECTION
from saros_hf.errors import MissingFileError, SarosError, UnreadableFileError
from saros_hf.files import write_atomically
from saros_hf.folds import SPLITS
from saros_hf.labels import TASKS, Task
from saros_hf.nifti import read_image
from saros_hf.progress import OnProgress

from .example_case import Example, median_case, read_example, write_example
from .pairs import Evaluation, Pair, without_truth
from .report import Epoch, Picture, Report, case_picture, write_report
from .run import failure_of
from .score_case import Score, read_metrics, refuse_incomplete, write_metrics
from .summary import as_json, dice_and_nsd, group_means, worst_cases

MOST_PICTURES = 10
METRICS, SUMMARY = "metrics.csv", "summary.json"


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a model on a split.

    Attributes:
        task: Label maps that were scored.
        split: ``train``, ``validation``, ``test`` or ``all``.
        fold: Number of the validation fold.
        synthetic: Whether the cases are phantoms.
        scores: Scores of all cases.
        example: A case to show in public, ``None`` if none may be shown.
    """

    task: Task
    split: str
    fold: int
    synthetic: bool
    scores: Sequence[Score]
    example: Example | None


@dataclass(frozen=True)
class TrainingRun:
    """A training to describe in the report.

    Attributes:
        epochs: Training curves.
        settings: Options of the training, by name.
    """

    epochs: Sequence[Epoch]
    settings: Mapping[str, object]


def read_evaluation(folder: Path) -> EvaluationResult:
    """Return the result of an evaluation of all cases.

    Raises:
        MissingFileError: There is no evaluation.
        UnreadableFileError: The summary is damaged, or some cases could not be scored.
        TableError: The table of scores is damaged or incomplete.
    """
    path = folder / SUMMARY
    if not path.is_file():
        raise MissingFileError(path, "no such file", "a summary written by saros evaluate")
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        task, split, fold = summary["task"], summary["split"], int(summary["fold"])
        synthetic, failed = bool(summary["synthetic"]), list(summary.get("failed", ()))
        example = read_example(folder)
        number = int(summary["cases"])
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        found = f"no summary ({type(error).__name__}: {error})"
        raise UnreadableFileError(path, found, "task, split, fold, cases and synthetic") from error
    if task not in TASKS or split not in (*SPLITS, "all") or not 1 <= fold <= 5:
        found, expected = f"task {task}, split {split}, fold {fold}", "those of saros evaluate"
        raise UnreadableFileError(path, found, expected)
    if failed:
        found = f"case(s) that could not be scored: {', '.join(map(str, failed))}"
        raise UnreadableFileError(path, found, "scores of all cases", "Run saros evaluate again.")
    scores = read_metrics(folder / METRICS)
    refuse_incomplete(folder / METRICS, scores, task, cases=number)
    return EvaluationResult(task, split, fold, synthetic, scores, example)


def write_evaluated(
    folder: Path,
    evaluated: EvaluationResult,
    *,
    missing: Sequence[str] = (),
    without_truth: Sequence[str] = (),
    failures: Mapping[str, SarosError] | None = None,
) -> None:
    """Write the files that :func:`read_evaluation` reads.

    Args:
        folder: Folder for the files, made if missing.
        evaluated: Scores and example.
        missing: Ids of cases without a prediction.
        without_truth: Ids of cases of the split that were not scored, as they have no label map.
        failures: Errors of the cases that could not be scored, by case id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_metrics(folder / METRICS, evaluated.scores)
    summary = {
        "split": evaluated.split,
        "fold": evaluated.fold,
        "synthetic": evaluated.synthetic,
        "not_scored_without_truth": list(without_truth),
        "failed": {case_id: str(error) for case_id, error in (failures or {}).items()},
        **as_json(evaluated.scores, evaluated.task, missing=missing),
    }
    with write_atomically(folder / SUMMARY) as aside:
        aside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    write_example(folder, evaluated.example)


def write_evaluation(
    folder: Path,
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    scores: Sequence[Score],
    *,
    failures: Mapping[str, SarosError] | None = None,
    training: TrainingRun | None = None,
    progress: OnProgress | None = None,
) -> EvaluationResult:
    """Write table, summary, report and example, and return the result.

    Args:
        folder: Folder for the files, made if missing.
        evaluation: Options of the evaluation.
        chosen: Cases to score.
        scores: Scores of these cases.
        failures: Errors of the cases that could not be scored, by case id.
        training: Training to describe in the report.
        progress: Called with (pictures done, all pictures).
    """
    cases = {pair.case_id: pair.files.case for pair in chosen}
    missing = [pair.case_id for pair in chosen if pair.prediction is None]
    left_out, failures = without_truth(evaluation), failures or {}
    result = EvaluationResult(
        task=evaluation.task,
        split=evaluation.split,
        fold=evaluation.fold,
        synthetic=all(case.collection == PHANTOM_COLLECTION for case in cases.values()),
        scores=scores,
        example=None,
    )
    # Before any CT is read: a damaged one must not cost the scores.
    write_evaluated(folder, result, missing=missing, without_truth=left_out, failures=failures)
    pictures, example, errors = _draw(evaluation, chosen, scores, progress)
    write_example(folder, example)
    settings = asdict(evaluation) | dict(training.settings if training else {})
    report = Report(
        title=f"SAROS {evaluation.task}: {evaluation.predictions.name}",
        task=evaluation.task,
        scores=scores,
        pictures=pictures,
        settings={name: str(value) for name, value in settings.items()},
        synthetic=result.synthetic,
        epochs=training.epochs if training else (),
        groups={
            "collection": group_means(scores, cases, lambda case: case.collection),
            "region": group_means(scores, cases, lambda case: case.anatomic_region),
        },
        missing=missing,
        without_truth=left_out,
        failed=[str(error) for error in failures.values()],
        not_shown=errors,
    )
    write_report(folder / "report.html", report)
    return replace(result, example=example)


def _draw(
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    scores: Sequence[Score],
    progress: OnProgress | None,
) -> tuple[list[Picture], Example | None, list[str]]:
    """Return pictures of the worst cases, the median case, and the errors of failed pictures."""
    means = dice_and_nsd(scores)
    showable = {
        pair.case_id: pair
        for pair in chosen
        if pair.case_id in means and pair.prediction is not None and pair.files.image.is_file()
    }
    worst = [row[0] for row in worst_cases(scores, MOST_PICTURES) if row[0] in showable]
    median = median_case(means, {pair.case_id: pair.files.case for pair in chosen}, showable)
    wanted = list(dict.fromkeys([*worst, median] if median else worst))
    drawn: dict[str, Picture] = {}
    errors = []
    for done, case_id in enumerate(wanted, start=1):
        try:
            drawn[case_id] = _picture(evaluation, showable[case_id], *means[case_id])
        except Exception as error:  # noqa: BLE001 - one odd case must not cost the report
            errors.append(str(failure_of(case_id, error)))
        if progress is not None:
            progress(done, len(wanted))
    example = None
    if median in drawn:
        case = showable[median].files.case
        png = drawn[median].png
        example = Example(median, case.collection, case.license, means[median][0], png)
    return [drawn[case_id] for case_id in worst if case_id in drawn], example, errors


def _picture(evaluation: Evaluation, pair: Pair, dice: float, nsd: float) -> Picture:
    case, task = pair.files.case, evaluation.task
    prediction, truth = pair.read(task)
    caption = f"{case.case_id}, {case.collection}, {case.anatomic_region}"
    caption += f": Dice {dice:.3f}, NSD {nsd:.3f}"
    return case_picture(caption, read_image(pair.files.image), truth, prediction, task=task)
