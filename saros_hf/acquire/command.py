"""The commands ``saros download`` and ``saros convert``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..console import Subparsers, say, show, warn
from .outcomes import Outcome, closing_line, reasons_table, write_failures


def add_download(commands: Subparsers) -> None:
    """Add ``saros download`` and its options."""
    download = commands.add_parser(
        "download",
        help="fetch SAROS: label maps, case table and the public CTs",
        description="Fetch everything that DIR lacks. Run the same command again after any "
        "failure: complete cases are not fetched twice.",
    )
    add = download.add_argument
    add("folder", metavar="DIR", type=Path, help="folder of cases")
    add("--source", choices=("idc", "nbia"), default="idc", help="archive of the CTs (default idc)")
    add("--cases", nargs="+", metavar="ID", help="case_000, 17 or 600-649")
    add("--collections", nargs="+", metavar="NAME", help="collections as in the case table")
    add("--split", nargs="+", metavar="NAME", help="train, validation, test, fold-1 ... fold-5")
    add("--license", choices=("cc-by", "nc", "all"), default="all", help="nc adds CC BY-NC")
    add("--limit", type=int, metavar="N", help="at most N cases")
    add("--jobs", type=int, default=4, metavar="N", help="series at once (default 4, at most 16)")
    add("--keep-dicom", action="store_true", help="keep each series in DIR/case_XXX/dicom")
    add("--dry-run", action="store_true", help="only show what would be fetched")
    _add_table_and_masks(download)
    add("--index", type=Path, metavar="PARQUET", help="IDC index to use instead of the installed")
    add("--endpoint", metavar="URL", help="mirror of the archive: S3 for idc, REST v4 for nbia")
    download.set_defaults(run=_download)


def add_convert(commands: Subparsers) -> None:
    """Add ``saros convert`` and its options."""
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
        help="DICOM_DIR is complete: replace uneven slice spacing by its mean, as the authors of "
        "SAROS did, if the label maps then fit",
    )
    add(
        "--keep-patient-id",
        action="store_true",
        help="record the PatientID of the DICOM files in source.json",
    )
    convert.set_defaults(run=_convert)


def _add_table_and_masks(command: argparse.ArgumentParser) -> None:
    command.add_argument("--table", metavar="CSV", help="Segmentation Info CSV, a path or URL")
    command.add_argument("--masks", metavar="ZIP", help="ZIP of all label maps, a path or URL")


def _download(options: argparse.Namespace) -> int:
    from .download import Download
    from .plan import HOW_TO_APPLY, Selection, case_ids, plan_table

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
        warn=warn,
    )
    plan = download.plan(dry_run=options.dry_run)
    if options.dry_run:
        show(plan_table(plan))
        return 0
    outcomes = download.run(plan) if plan.public else []
    # Cases with a folder were converted by the user: saros convert.
    withheld = [case for case in plan.withheld if not (options.folder / case.case_id).is_dir()]
    code = _conclude(options.folder, outcomes, len(withheld))
    if withheld:
        say(HOW_TO_APPLY)
    return code if plan.public or not withheld else 1


def _convert(options: argparse.Namespace) -> int:
    from ..progress import progress_bar
    from .convert import Conversion, local_masks, local_table

    conversion = Conversion(
        folder=options.folder,
        table=local_table(options.folder, options.table, warn),
        masks=local_masks(options.folder, options.masks, warn),
        as_published=options.as_published,
        keep_patient_id=options.keep_patient_id,
    )
    with progress_bar("series") as report:
        outcomes = conversion.run(options.source, progress=report)
    for outcome in outcomes:
        if outcome.path is not None:
            say(f"{outcome.status:8}{outcome.path}  (series {outcome.series_uid})")
    return _conclude(options.folder, outcomes)


def _conclude(folder: Path, outcomes: Sequence[Outcome], withheld: int = 0) -> int:
    """Show failures and notes; return the exit code."""
    failures = write_failures(folder, outcomes)
    notes = [one for one in outcomes if one.reason and one.status != "failed"]
    if notes:
        show(reasons_table("note", notes))
    if failures is not None:
        show(reasons_table("failed", [one for one in outcomes if one.status == "failed"]))
    say(closing_line(outcomes, withheld))
    if failures is not None:
        say(f"The failed ones are listed in {failures}; the same command tries them again.")
    return 0 if failures is None else 1
