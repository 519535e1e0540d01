"""``saros verify``."""

import argparse
from pathlib import Path

from ..console import Subparsers, say, show


def add_verify(commands: Subparsers) -> None:
    """Add ``saros verify`` to the command line."""
    verify = commands.add_parser(
        "verify",
        help="check a folder of cases against its table and the paper",
        description="Read every file to its end; compare grids, labels and both label maps, and "
        "the whole set with the paper's Tables 1 and 3. A subset is compared as a subset. "
        "Exit code 1 if there is an error, 0 if there are only notes.",
    )
    add = verify.add_argument
    add("folder", metavar="DIR", type=Path, help="folder of case_XXX folders with the case table")
    add("--sample", type=int, metavar="N", help="check N cases drawn at random")
    add("--seed", type=int, default=0, help="seed of the draw (default 0)")
    add("--jobs", type=int, metavar="N", help="cases at once (default: processors, at most 8)")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from ..progress import progress_bar
    from .verify import verify
    from .verify_report import lines, tables

    with progress_bar("cases") as progress:
        report = verify(
            options.folder,
            sample=options.sample,
            seed=options.seed,
            jobs=options.jobs,
            progress=progress,
        )
    for table in tables(report):
        show(table)
    for line in lines(report):
        say(line)
    return 1 if report.errors else 0
