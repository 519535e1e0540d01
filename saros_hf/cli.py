"""The commands of ``saros`` that make and check data; they need no torch."""

import argparse
from pathlib import Path
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Subparsers) -> None:
    """Add the data commands; each parser's ``run`` default is the function to call."""
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

    convert = commands.add_parser(
        "convert",
        help="turn DICOM on disk into case folders at 5 mm slices",
        description="Find every CT series in a folder or ZIP and write DIR/case_XXX/image.nii.gz.",
    )
    convert.add_argument("source", metavar="DICOM_DIR", type=Path, help="folder or .zip of DICOM")
    convert.add_argument("folder", metavar="DIR", type=Path, help="folder of cases to write to")
    convert.add_argument("--table", type=Path, help="Segmentation Info CSV that names the cases")
    convert.set_defaults(run=_convert)


def _phantom(options: argparse.Namespace) -> int:
    from .progress import progress_bar
    from .simulate import simulate

    with progress_bar("phantom cases") as report:
        simulate(
            options.folder,
            cases=options.cases,
            seed=options.seed,
            size=options.size,
            progress=report,
        )
    print(f"{options.cases} synthetic cases in {options.folder}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from .convert import Outcome, convert
    from .progress import progress_bar

    with progress_bar("series") as report:
        done: list[Outcome] = []

        def progress(outcome: Outcome, total: int) -> None:
            done.append(outcome)
            report(len(done), total)

        outcomes = convert(options.source, options.folder, table=options.table, progress=progress)
    for outcome in outcomes:
        place = outcome.path if outcome.path is not None else outcome.reason
        print(f"{outcome.status:8}{place}  (series {outcome.series_uid or 'unknown'})")
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
