"""What an evaluation leaves behind: metrics.csv, summary.json, report.html and an example."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saros_hf.cases.licenses import PHANTOM_COLLECTION
from saros_hf.errors import MissingFileError, SarosError, UnreadableFileError
from saros_hf.files import write_atomically
from saros_hf.labels import TASKS, Task
from saros_hf.nifti import read_image
from saros_hf.progress import OnProgress

from .example_case import Example, median_case, read_example, write_example
from .pairs import Evaluation, Pair, without_truth
from .report import Picture, Report, case_picture, write_report
from .scores import Score, read_metrics, write_metrics
from .summary import as_json, dice_and_nsd, group_means, worst_cases

MOST_PICTURES = 10
METRICS, SUMMARY = "metrics.csv", "summary.json"


@dataclass(frozen=True)
class EvaluationResult:
    """What a model scored.

    Attributes:
        task: Label maps that were scored.
        split: ``train``, ``validation``, ``test`` or ``all``.
        fold: Number of the validation fold.
        synthetic: Whether the cases are phantoms.
        scores: Of every case.
        example: A case to show, ``None`` if none may be.
    """

    task: Task
    split: str
    fold: int
    synthetic: bool
    scores: Sequence[Score]
    example: Example | None


def read_evaluation(folder: Path) -> EvaluationResult:
    """Return what :func:`write_evaluation` wrote.

    Raises:
        MissingFileError: There is no evaluation.
        UnreadableFileError: Its summary is none.
        TableError: Its table is none.
    """
    path = folder / SUMMARY
    remedy = "Make it with: saros evaluate TRUTH_DIR PREDICTION_DIR --out DIR"
    if not path.is_file():
        raise MissingFileError(path, "no such file", "an evaluation's summary", remedy)
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        task, split, fold = told["task"], told["split"], int(told["fold"])
        synthetic = bool(told["synthetic"])
        example = read_example(folder)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(
            path,
            f"no summary ({type(error).__name__}: {error})",
            "task, split, fold and synthetic",
            remedy,
        ) from error
    if task not in TASKS:
        raise UnreadableFileError(path, f"task {task}", " or ".join(TASKS), remedy)
    return EvaluationResult(task, split, fold, synthetic, read_metrics(folder / METRICS), example)


def write_evaluated(
    folder: Path,
    evaluated: EvaluationResult,
    *,
    missing: Sequence[str] = (),
    without_truth: Sequence[str] = (),
) -> None:
    """Write what :func:`read_evaluation` reads: table, summary, and the picture of a case.

    Args:
        folder: Made if missing; these files are replaced.
        evaluated: What a model scored.
        missing: Ids of cases without prediction.
        without_truth: Ids of cases of the split that are not scored, for want of a label map.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_metrics(folder / METRICS, evaluated.scores)
    summary = {
        "split": evaluated.split,
        "fold": evaluated.fold,
        "synthetic": evaluated.synthetic,
        "not_scored_without_truth": list(without_truth),
        **as_json(evaluated.scores, evaluated.task, missing=missing),
    }
    with write_atomically(folder / SUMMARY) as aside:
        aside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    write_example(folder, evaluated.example)


def is_synthetic(chosen: Sequence[Pair]) -> bool:
    """Return whether the cases are phantoms, which the paper says nothing about."""
    return all(pair.files.case.collection == PHANTOM_COLLECTION for pair in chosen)


def write_evaluation(
    folder: Path,
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    scores: Sequence[Score],
    *,
    progress: OnProgress | None = None,
) -> None:
    """Write the table, the summary, the report, and a picture of the median case.

    Args:
        folder: Made if missing; these files are replaced.
        evaluation: What was scored against what.
        chosen: The cases.
        scores: Theirs.
        progress: Called with (pictures done, pictures in all).
    """
    missing = [pair.case_id for pair in chosen if pair.prediction is None]
    left_out = without_truth(evaluation)
    evaluated = EvaluationResult(
        task=evaluation.task,
        split=evaluation.split,
        fold=evaluation.fold,
        synthetic=is_synthetic(chosen),
        scores=scores,
        example=None,
    )
    # Before any CT is read: one that is damaged must not cost the scores.
    write_evaluated(folder, evaluated, missing=missing, without_truth=left_out)
    drawn = _pictures(evaluation, chosen, scores, progress)
    example = _example(evaluation, chosen, scores)
    write_example(folder, example if isinstance(example, Example) else None)
    failures = [str(one) for one in (*drawn, example) if isinstance(one, SarosError)]
    cases = {pair.case_id: pair.files.case for pair in chosen}
    report = Report(
        title=f"SAROS {evaluation.task}: {evaluation.predictions.name}",
        task=evaluation.task,
        scores=scores,
        pictures=[one for one in drawn if isinstance(one, Picture)],
        not_shown=list(dict.fromkeys(failures)),
        settings={name: str(value) for name, value in asdict(evaluation).items()},
        synthetic=evaluated.synthetic,
        groups={
            "collection": group_means(scores, cases, lambda case: case.collection),
            "region": group_means(scores, cases, lambda case: case.anatomic_region),
        },
        missing=missing,
        without_truth=left_out,
    )
    write_report(folder / "report.html", report)


def _pictures(
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    scores: Sequence[Score],
    progress: OnProgress | None,
) -> list[Picture | SarosError]:
    """Return CT, truth and prediction of the worst cases with both files, or what is wrong."""
    by_id = {pair.case_id: pair for pair in chosen}
    worst = [row for row in worst_cases(scores, MOST_PICTURES) if _can_show(by_id[row[0]])]
    pictures = []
    for done, (case_id, dice, nsd) in enumerate(worst, start=1):
        pictures.append(_picture(evaluation, by_id[case_id], f"Dice {dice:.3f}, NSD {nsd:.3f}"))
        if progress is not None:
            progress(done, len(worst))
    return pictures


def _example(
    evaluation: Evaluation, chosen: Sequence[Pair], scores: Sequence[Score]
) -> Example | SarosError | None:
    """Return the median case among those that may be shown to anybody, or what is wrong."""
    by_id = {pair.case_id: pair for pair in chosen}
    cases = {case_id: pair.files.case for case_id, pair in by_id.items()}
    means = dice_and_nsd(scores)
    showable = [case_id for case_id, pair in by_id.items() if _can_show(pair)]
    middle = median_case(means, cases, showable)
    if middle is None:
        return None
    dice = means[middle][0]
    picture = _picture(evaluation, by_id[middle], f"Dice {dice:.3f}")
    if isinstance(picture, SarosError):
        return picture
    return Example.of(cases[middle], dice, picture.png)


def _can_show(pair: Pair) -> bool:
    return pair.prediction is not None and pair.files.image.is_file()


def _picture(evaluation: Evaluation, pair: Pair, told: str) -> Picture | SarosError:
    case, task = pair.files.case, evaluation.task
    try:
        prediction, truth = pair.read(task)
        return case_picture(
            f"{case.case_id}, {case.collection}, {case.anatomic_region}: {told}",
            read_image(pair.files.image),
            truth,
            prediction,
            task=task,
        )
    except SarosError as error:
        return error
