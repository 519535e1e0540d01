"""The command ``saros cross-validate``."""

import argparse
from pathlib import Path

from saros_hf.console import Subparsers, say, show


def add_cross_validate(commands: Subparsers) -> None:
    """Add ``saros cross-validate`` and its options."""
    run = commands.add_parser(
        "cross-validate",
        help="train on each of the five folds; continues after a stop",
        description="All other options are those of saros fit. Start it again after any "
        "interruption: finished folds are kept, the interrupted one continues.",
    )
    run.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("runs"), help="folder for the run"
    )
    run.add_argument("--push_to_hub", metavar="REPO", help="publish all folds as one, user/model")
    run.add_argument(
        "--export.private",
        choices=("true", "false"),
        default="false",
        dest="private",
        help="make the repository visible to you alone (default false)",
    )
    run.set_defaults(run=run_cross_validate)


def run_cross_validate(options: argparse.Namespace) -> int:
    """Train all folds; return the exit code."""
    from rich.table import Table

    from saros_hf.hub.client import Destination, check_destination

    from .cross_validation import cross_validate, publish_folds

    to = None
    if options.push_to_hub is not None:
        to = Destination(options.push_to_hub, "model", options.private == "true")
        check_destination(to)
    table = Table("fold", "best validation Dice", "epoch", title=str(options.out))
    for result in cross_validate(options.out, options.rest):
        table.add_row(str(result.fold), f"{result.dice:.3f}", str(result.epoch))
    show(table)
    if to is not None:
        say(publish_folds(options.out, to))
    return 0
