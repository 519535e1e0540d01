"""``saros phantom``."""

import argparse
from pathlib import Path

from ..console import Subparsers, say


def add_phantom(commands: Subparsers) -> None:
    """Add ``saros phantom`` to the command line."""
    phantom = commands.add_parser(
        "phantom",
        help="write synthetic cases in SAROS's exact format",
        description="Write seeded synthetic whole-body CTs, sparsely annotated as SAROS is.",
    )
    phantom.add_argument("folder", metavar="DIR", type=Path, help="empty or new folder")
    phantom.add_argument("--cases", type=int, default=12, help="number of CTs (default 12)")
    phantom.add_argument("--seed", type=int, default=0, help="seed of all anatomy (default 0)")
    phantom.add_argument("--size", type=int, default=256, help="voxels across (default 256)")
    phantom.set_defaults(run=_phantom)


def _phantom(options: argparse.Namespace) -> int:
    from ..progress import progress_bar
    from .write_cohort import simulate

    with progress_bar("phantom cases") as report:
        simulate(
            options.folder,
            cases=options.cases,
            seed=options.seed,
            size=options.size,
            progress=report,
        )
    say(f"{options.cases} synthetic cases in {options.folder}")
    return 0
