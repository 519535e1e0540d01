"""``saros evaluate``: options, and what is shown at the end."""

import argparse
from pathlib import Path

from saros_hf.console import Subparsers, say, show
from saros_hf.labels import TASKS


def add_evaluate(commands: Subparsers) -> None:
    """Add the command and its options."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score predictions against the label maps, beside the paper's Table 4",
        description="Write metrics.csv, summary.json and report.html. Start it again after any "
        "interruption: cases that are scored already are not scored again.",
    )
    add = evaluate.add_argument
    add("truth", metavar="TRUTH_DIR", type=Path, help="folder of cases with the case table")
    add(
        "predictions",
        metavar="PREDICTION_DIR",
        type=Path,
        help="case_XXX.nii.gz, as nnU-Net writes them, or folders case_XXX",
    )
    add("--task", choices=TASKS, default="body-regions", help="(default body-regions)")
    add("--out", metavar="DIR", type=Path, required=True, help="folder for the results")
    add("--split", default="test", help="train, validation, test or all (default test)")
    add("--fold", type=int, choices=range(1, 6), default=1, help="validation fold (default 1)")
    add("--allow-missing", action="store_true", help="a missing prediction counts as an empty one")
    add("--partial", action="store_true", help="leave out cases whose body regions are not there")
    add("--volume", action="store_true", help="NSD by the protocol volume, too")
    add("--jobs", type=int, metavar="N", help="cases at once (default: one per core)")
    evaluate.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from saros_hf.progress import progress_bar

    from ..surfaces.protocol_names import SURFACE_PROTOCOLS
    from .pairs import Evaluation, few, pairs, without_truth
    from .result_folder import is_synthetic, write_evaluation
    from .run import evaluate
    from .score_table import screen_table, text_rows
    from .summary import worst_cases

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
        scores = evaluate(evaluation, chosen, options.out, jobs=options.jobs, progress=report)
    with progress_bar("pictures") as report:
        write_evaluation(options.out, evaluation, chosen, scores, progress=report)
    title = f"{options.task}, {len(chosen)} cases"
    rows = text_rows(scores, options.task)
    show(screen_table(rows, title=title, beside_paper=not is_synthetic(chosen)))
    if left_out := without_truth(evaluation):
        say(
            f"Not scored: {len(left_out)} case(s) of the split without {options.task}.nii.gz: "
            f"{few(left_out)}"
        )
    worst = ", ".join(f"{case} {dice:.3f}" for case, dice, _ in worst_cases(scores))
    say(f"Lowest mean Dice: {worst}")
    missing = [pair.files.case.case_id for pair in chosen if pair.prediction is None]
    if missing:
        say(f"Counted as empty for want of a prediction: {', '.join(missing)}")
    say(f"Report: {options.out / 'report.html'}")
    return 0
