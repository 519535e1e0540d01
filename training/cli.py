"""The command ``saros``: data commands of :mod:`saros_hf.cli`, and training on top."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saros_hf.cli import add_commands
from saros_hf.errors import saros_cause
from saros_hf.labels import TASKS

_LIGHTNING_VERBS = {
    "fit": "train a network",
    "validate": "score a checkpoint on the validation fold",
    "test": "score a checkpoint on the test split",
    "predict": "label any CT: --model DIR CT OUT; without --model, the test split",
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; ends with exit code 1 and one line if the input is at fault."""
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        print("saros: interrupted", file=sys.stderr)
        code = 130
    except Exception as error:
        line = _one_line(error)
        if line is None:
            raise
        print(f"saros: {line}", file=sys.stderr)
        code = 1
    if code:
        sys.exit(code)


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] in _LIGHTNING_VERBS and not _names_a_model(arguments):
        from .lightning_cli import run

        # LightningCLI warns when it is handed what it would read itself.
        run(None if arguments == sys.argv[1:] else arguments)
        return 0
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _names_a_model(arguments: list[str]) -> bool:
    """Tell ``saros predict --model FOLDER CT OUT`` from LightningCLI's ``predict``."""
    return arguments[0] == "predict" and any(
        argument == "--model" or argument.startswith("--model=") for argument in arguments
    )


def _one_line(error: Exception) -> str | None:
    """Return what to tell the user, ``None`` if the error is a bug of ours."""
    cause = saros_cause(error)
    if cause is not None:
        return str(cause)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("training"):
        return f'found no package {error.name}. Install: pip install "saros-hf[train]"'
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="saros",
        description="SAROS, the sparsely annotated CT body composition dataset.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="the whole job on synthetic cases, in minutes on 2 cores",
        description="Make phantom cases, train, score, predict, report and save a model.",
    )
    demo.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo"),
        help="folder for the results (default demo)",
    )
    demo.add_argument("--seed", type=int, default=0, help="seed of cases and training (default 0)")
    demo.add_argument(
        "--steps", type=int, default=None, help="training steps (default: what fits in minutes)"
    )
    demo.set_defaults(run=_demo)
    add_commands(commands)
    _add_evaluate(commands)
    for verb, what in _LIGHTNING_VERBS.items():
        command = commands.add_parser(verb, help=f"{what} (options: saros {verb} --help)")
        if verb == "predict":
            _add_predict_options(command)
    return parser


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    add("--volume", action="store_true", help="NSD by the protocol volume, too")
    add("--jobs", type=int, metavar="N", help="cases at once (default: one per core)")
    evaluate.set_defaults(run=_evaluate)


def _add_predict_options(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("--model", type=Path, required=True, help="folder of a saved model")
    predict.add_argument(
        "image", metavar="CT", type=Path, help="NIfTI, DICOM folder or ZIP, or folder of cases"
    )
    predict.add_argument(
        "out", metavar="OUT", type=Path, help="label map to write (.nii.gz), or folder"
    )
    predict.set_defaults(run=_predict)


def _demo(options: argparse.Namespace) -> int:
    from .demo import DemoSettings, run_demo

    settings = DemoSettings(seed=options.seed)
    if options.steps is not None:
        settings = replace(settings, steps=options.steps)
    run_demo(options.out, settings)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from saros_hf.progress import progress_bar

    from .inference import predict_paths
    from .module import SarosSegmenter

    segmenter = SarosSegmenter.from_pretrained(options.model)
    with progress_bar("slices") as report:
        written = predict_paths(segmenter, options.image, options.out, progress=report)
    for path in written:
        print(path)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from rich.console import Console

    from saros_hf.progress import progress_bar

    from .evaluate import Evaluation, evaluate, pairs
    from .evaluation_folder import is_synthetic, write_evaluation
    from .protocols import SURFACE_PROTOCOLS
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
    )
    chosen = pairs(evaluation)
    with progress_bar("scores") as report:
        scores = evaluate(evaluation, chosen, options.out, jobs=options.jobs, progress=report)
    with progress_bar("pictures") as report:
        write_evaluation(options.out, evaluation, chosen, scores, progress=report)
    console = Console()
    title = f"{options.task}, {len(chosen)} cases"
    rows = text_rows(scores, options.task)
    console.print(screen_table(rows, title=title, beside_paper=not is_synthetic(chosen)))
    worst = ", ".join(f"{case} {dice:.3f}" for case, dice, _ in worst_cases(scores))
    console.print(f"Lowest mean Dice: {worst}")
    missing = [pair.files.case.case_id for pair in chosen if pair.prediction is None]
    if missing:
        console.print(f"Counted as empty for want of a prediction: {', '.join(missing)}")
    console.print(f"Report: {options.out / 'report.html'}")
    return 0
