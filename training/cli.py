"""The command ``saros``: data commands of :mod:`saros_hf.cli`, and training on top."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from saros_hf.cli import add_commands
from saros_hf.console import all_written, open_streams, warn
from saros_hf.errors import causes, is_disk_full, saros_cause

from .composition.command import add_model_to_composition
from .evaluate.command import add_evaluate
from .fit.command import add_cross_validate, run_cross_validate
from .predict.command import add_predict_options
from .publish.command import add_publish_model

_LIGHTNING_VERBS = {
    "fit": "train a network",
    "validate": "score a checkpoint on the validation fold",
    "test": "score a checkpoint on the test split",
    "predict": "label any CT: --model DIR CT OUT; without --model, the test split",
}

_FULL_TEXT = "No space left on device"
"""Libraries in C++ and Rust report a full disk by its words alone."""

_START_ANEW = {"demo", "evaluate", "verify", *_LIGHTNING_VERBS}
"""Commands that keep nothing of an interrupted run, or say themselves how it goes on."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; ends with exit code 1 and one line if the input is at fault."""
    arguments = list(sys.argv[1:] if args is None else args)
    is_process = args is None
    if is_process:
        open_streams()
    try:
        code = _run(arguments, is_process=is_process)
    except KeyboardInterrupt as stop:
        anew = arguments[0] in _START_ANEW and not _names_a_model(arguments)
        how = f"Run the same command again: it {'starts anew' if anew else 'goes on'}."
        warn(f"interrupted. {str(stop) or how}")
        code = 130
    except Exception as error:
        line = _one_line(error)
        if line is None:
            raise
        warn(line)
        code = 1
    if is_process and not all_written():
        code = code or 1
    if code:
        sys.exit(code)


def _run(arguments: list[str], *, is_process: bool) -> int:
    if arguments and arguments[0] in _LIGHTNING_VERBS and not _names_a_model(arguments):
        _run_lightning(arguments)
        return 0
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.run is not run_cross_validate:
        _parser().parse_args(arguments)  # refuses them
    options.rest = rest
    if is_process:
        # The end of a job stops a command as Ctrl-C does. A forked process ends at once: a pool that
        # ends its processes waits for ever for one that handles SIGTERM while it waits for a lock.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        os.register_at_fork(after_in_child=_end_at_sigterm)
    code: int = options.run(options)
    return code


def _end_at_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run_lightning(arguments: list[str]) -> None:
    from .fit.lightning_cli import run, with_shipped_configs

    resolved = with_shipped_configs(arguments)
    if arguments == sys.argv[1:]:
        # LightningCLI warns when it is handed what it would read itself.
        sys.argv[1:] = resolved
        run()
    else:
        run(resolved)


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
    if any(is_disk_full(one) or _FULL_TEXT in str(one) for one in causes(error)):
        return f"found {_FULL_TEXT.lower()}. Make room and run the same command again."
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename or 'this machine'}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "found not enough memory for this. Close other programs or use a larger machine."
    if sys.flags.optimize > 1:
        return f"{type(error).__name__} under python -OO, without which it may work: {error}"
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
    demo.add_argument("--steps", type=int, default=300, help="training steps (default 300)")
    demo.set_defaults(run=_demo)
    add_commands(commands)
    add_model_to_composition(commands)
    add_evaluate(commands)
    add_publish_model(commands)
    add_cross_validate(commands)
    for verb, what in _LIGHTNING_VERBS.items():
        command = commands.add_parser(verb, help=f"{what} (options: saros {verb} --help)")
        if verb == "predict":
            add_predict_options(command)
    return parser


def _demo(options: argparse.Namespace) -> int:
    from .demo import DemoSettings, run_demo

    run_demo(options.out, DemoSettings(seed=options.seed, steps=options.steps))
    return 0
