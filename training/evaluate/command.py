"""The command ``saros evaluate``: options, and what it prints."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saros_hf.console import Subparsers, say, show, warn
from saros_hf.labels import TASKS

if TYPE_CHECKING:
    from .pairs import Evaluation, Pair
    from .score_case import Score


def add_evaluate(commands: Subparsers) -> None:
    """Add the command and its options."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score predictions against the label maps, beside the paper's Table 4",
        description="Write metrics.csv, summary.json and report.html.",
    )
    add = evaluate.add_argument
    add("truth", metavar="TRUTH_DIR", type=Path, help="folder of cases with the case table")
    add(
        "predictions",
        metavar="PREDICTION_DIR",
        type=Path,
        help="case_XXX.nii.gz, as written by nnU-Net, or folders case_XXX",
    )
    add("--task", choices=TASKS, default="body-regions", help="(default body-regions)")
    add("--out", metavar="DIR", type=Path, required=True, help="folder for the results")
    add("--split", default="test", help="train, validation, test or all (default test)")
    add("--fold", type=int, choices=range(1, 6), default=1, help="validation fold (default 1)")
    add("--allow-missing", action="store_true", help="score a missing prediction as an empty one")
    add("--partial", action="store_true", help="leave out cases without body regions")
    add("--volume", action="store_true", help="also compute the NSD by the protocol volume")
    add("--jobs", type=int, metavar="N", help="cases at the same time (default: one per core)")
    evaluate.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from saros_hf.progress import progress_bar

    from ..surfaces.protocols import SURFACE_PROTOCOLS
    from .pairs import Evaluation, pairs
    from .result_folder import write_evaluation
    from .run import evaluate
    from .summary import screen_table, text_rows

    evaluation = Evaluation(
        options.truth,
        options.predictions,
        task=options.task,
        split=options.split,
        fold=options.fold,
        protocols=SURFACE_PROTOCOLS if options.volume else ("slice", "published"),
        allow_missing=options.allow_missing,
        partial=options.partial,
    )
    chosen = pairs(evaluation)
    with progress_bar("scores") as report:
        scores, failures = evaluate(evaluation, chosen, jobs=options.jobs, progress=report)
    if scores:
        with progress_bar("pictures") as report:
            result = write_evaluation(
                options.out, evaluation, chosen, scores, failures=failures, progress=report
            )
        title = f"{options.task}, {len(chosen) - len(failures)} cases"
        rows = text_rows(scores, options.task)
        show(screen_table(rows, title=title, beside_paper=not result.synthetic))
        _print_cases(evaluation, chosen, scores)
        say(f"Report: {options.out / 'report.html'}")
    for error in failures.values():
        warn(str(error))
    return 1 if failures else 0


def _print_cases(
    evaluation: "Evaluation", chosen: "Sequence[Pair]", scores: "Sequence[Score]"
) -> None:
    """Print the cases that were not scored, scored lowest, or had no prediction."""
    from .pairs import abbreviated, without_truth
    from .summary import worst_cases

    if left_out := without_truth(evaluation):
        say(
            f"Not scored: {len(left_out)} case(s) of the split without {evaluation.task}.nii.gz: "
            f"{abbreviated(left_out)}"
        )
    worst = ", ".join(f"{case} {dice:.3f}" for case, dice, _ in worst_cases(scores))
    say(f"Lowest mean Dice: {worst}")
    if missing := [pair.case_id for pair in chosen if pair.prediction is None]:
        say(f"Missing predictions scored as empty: {', '.join(missing)}")
