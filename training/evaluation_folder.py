"""What an evaluation leaves behind: metrics.csv, summary.json and report.html."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from saros_hf.cases import PHANTOM_COLLECTION
from saros_hf.files import write_atomically
from saros_hf.nifti import read_image, read_mask
from saros_hf.progress import OnProgress

from .evaluate import Evaluation, Pair
from .report import Picture, Report, case_picture, write_report
from .scores import Score, write_metrics
from .summary import as_json, group_means, worst_cases

MOST_PICTURES = 10


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
    """Write the table, the summary and the report.

    Args:
        folder: Made if missing; the three files are replaced.
        evaluation: What was scored against what.
        chosen: The cases.
        scores: Theirs.
        progress: Called with (pictures done, pictures in all).
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_metrics(folder / "metrics.csv", scores)
    missing = [pair.files.case.case_id for pair in chosen if pair.prediction is None]
    summary = json.dumps(as_json(scores, evaluation.task, missing=missing), indent=2)
    with write_atomically(folder / "summary.json") as aside:
        aside.write_text(summary + "\n", encoding="utf-8")
    cases = {pair.files.case.case_id: pair.files.case for pair in chosen}
    report = Report(
        title=f"SAROS {evaluation.task}: {evaluation.predictions.name}",
        task=evaluation.task,
        scores=scores,
        pictures=_pictures(evaluation, chosen, scores, progress),
        settings={name: str(value) for name, value in asdict(evaluation).items()},
        synthetic=is_synthetic(chosen),
        groups={
            "collection": group_means(scores, cases, lambda case: case.collection),
            "region": group_means(scores, cases, lambda case: case.anatomic_region),
        },
        missing=missing,
    )
    write_report(folder / "report.html", report)


def _pictures(
    evaluation: Evaluation,
    chosen: Sequence[Pair],
    scores: Sequence[Score],
    progress: OnProgress | None,
) -> list[Picture]:
    """Return CT, truth and prediction of the worst cases that have both files."""
    by_id = {pair.files.case.case_id: pair for pair in chosen}
    worst = [row for row in worst_cases(scores, MOST_PICTURES) if _can_show(by_id[row[0]])]
    pictures = []
    for done, (case_id, dice, nsd) in enumerate(worst, start=1):
        pictures.append(_picture(evaluation, by_id[case_id], f"Dice {dice:.3f}, NSD {nsd:.3f}"))
        if progress is not None:
            progress(done, len(worst))
    return pictures


def _can_show(pair: Pair) -> bool:
    return pair.prediction is not None and pair.files.image.is_file()


def _picture(evaluation: Evaluation, pair: Pair, told: str) -> Picture:
    case, task = pair.files.case, evaluation.task
    if pair.prediction is None:
        raise ValueError(f"{case.case_id}: found no prediction to show, expected one")
    image = read_image(pair.files.image)
    return case_picture(
        f"{case.case_id}, {case.collection}, {case.anatomic_region}: {told}",
        image,
        read_mask(pair.files.mask(task), task),
        read_mask(pair.prediction, task).oriented(image.orientation),
        task=task,
    )
