"""The commands of ``saros`` that make and check data; they need no torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .publish_command import add_publish_dataset

if TYPE_CHECKING:
    from rich.table import Table

    from .outcomes import Outcome

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

    _add_download(commands)
    _add_convert(commands)
    _add_verify(commands)
    add_publish_dataset(commands)


def _add_download(commands: Subparsers) -> None:
    download = commands.add_parser(
        "download",
        help="fetch SAROS: label maps, case table and the public CTs",
        description="Fetch what DIR still lacks. Start it again after any failure: "
        "nothing that is complete is fetched twice.",
    )
    add = download.add_argument
    add("folder", metavar="DIR", type=Path, help="folder of cases to fill")
    add("--source", choices=("idc", "nbia"), default="idc", help="archive of the CTs (default idc)")
    add("--cases", nargs="+", metavar="ID", help="case_000, 17 or 600-649")
    add("--collections", nargs="+", metavar="NAME", help="collections as in the case table")
    add("--split", nargs="+", metavar="NAME", help="train, validation, test, fold-1 ... fold-5")
    add("--license", choices=("cc-by", "nc", "all"), default="all", help="nc adds CC BY-NC")
    add("--limit", type=int, metavar="N", help="at most N cases")
    add("--jobs", type=int, default=4, metavar="N", help="series at once (default 4, at most 16)")
    add("--keep-dicom", action="store_true", help="leave each series in DIR/case_XXX/dicom")
    add("--dry-run", action="store_true", help="only show what would be fetched")
    _add_table_and_masks(download)
    add("--index", type=Path, metavar="PARQUET", help="IDC index to use instead of the installed")
    add("--endpoint", metavar="URL", help="mirror of the archive: S3 for idc, REST v4 for nbia")
    download.set_defaults(run=_download)


def _add_convert(commands: Subparsers) -> None:
    convert = commands.add_parser(
        "convert",
        help="turn DICOM on disk into case folders at 5 mm slices",
        description="Find every CT series in a folder or ZIP and write DIR/case_XXX/image.nii.gz, "
        "with the label maps beside it if it is a case of SAROS and DIR has their ZIP.",
    )
    add = convert.add_argument
    add("source", metavar="DICOM_DIR", type=Path, help="folder or .zip of DICOM")
    add("folder", metavar="DIR", type=Path, help="folder of cases to write to")
    _add_table_and_masks(convert)
    add(
        "--as-published",
        action="store_true",
        help="DICOM_DIR is complete: read series of SAROS that have no even grid as its authors "
        "did, if their label maps then fit",
    )
    convert.set_defaults(run=_convert)


def _add_verify(commands: Subparsers) -> None:
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


def _add_table_and_masks(command: argparse.ArgumentParser) -> None:
    command.add_argument("--table", metavar="CSV", help="Segmentation Info CSV, a path or URL")
    command.add_argument("--masks", metavar="ZIP", help="ZIP of all label maps, a path or URL")


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


def _download(options: argparse.Namespace) -> int:
    from .download import Download
    from .plan import HOW_TO_APPLY, Selection, case_ids
    from .tables import plan_table

    download = Download(
        folder=options.folder,
        selection=Selection(
            case_ids=case_ids(options.cases or ()),
            collections=tuple(options.collections or ()),
            splits=tuple(options.split or ()),
            license=options.license,
            limit=options.limit,
        ),
        source=options.source,
        table=options.table,
        masks=options.masks,
        index=options.index,
        endpoint=options.endpoint,
        jobs=options.jobs,
        keep_dicom=options.keep_dicom,
        warn=_warn,
    )
    plan = download.plan(dry_run=options.dry_run)
    if options.dry_run:
        _show(plan_table(plan))
        return 0
    outcomes = download.run(plan) if plan.public else []
    # Those that are here came by another way: saros convert.
    withheld = [case for case in plan.withheld if not (options.folder / case.case_id).is_dir()]
    code = _conclude(options.folder, outcomes, len(withheld))
    if withheld:
        print(HOW_TO_APPLY)
    return code if plan.public or not withheld else 1


def _convert(options: argparse.Namespace) -> int:
    from .convert import Conversion, local_masks, local_table
    from .outcomes import Outcome
    from .progress import progress_bar

    conversion = Conversion(
        folder=options.folder,
        table=local_table(options.folder, options.table, _warn),
        masks=local_masks(options.folder, options.masks, _warn),
        as_published=options.as_published,
    )
    with progress_bar("series") as report:
        done: list[Outcome] = []

        def progress(outcome: Outcome, total: int) -> None:
            done.append(outcome)
            report(len(done), total)

        outcomes = conversion.run(options.source, progress=progress)
    for outcome in outcomes:
        if outcome.path is not None:
            print(f"{outcome.status:8}{outcome.path}  (series {outcome.series_uid})")
    return _conclude(options.folder, outcomes)


def _verify(options: argparse.Namespace) -> int:
    from .progress import progress_bar
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
        _show(table)
    for line in lines(report):
        print(line)
    return 1 if report.errors else 0


def _conclude(folder: Path, outcomes: "Sequence[Outcome]", withheld: int = 0) -> int:
    """Show what failed and what is unusual; return the exit code."""
    from .outcomes import write_failures
    from .tables import closing_line, reasons_table

    failures = write_failures(folder, outcomes)
    notes = [one for one in outcomes if one.reason and one.status != "failed"]
    if notes:
        _show(reasons_table("note", notes))
    if failures is not None:
        _show(reasons_table("failed", [one for one in outcomes if one.status == "failed"]))
    print(closing_line(outcomes, withheld))
    if failures is not None:
        print(f"The failed ones are listed in {failures}; the same command tries them again.")
    return 0 if failures is None else 1


def _show(table: "Table") -> None:
    from rich.console import Console

    # As wide as it needs to be where nobody looks at a terminal.
    console = Console()
    if not console.is_terminal:
        console = Console(width=400)
    console.print(table)


def _warn(line: str) -> None:
    print(f"saros: {line}", file=sys.stderr)
