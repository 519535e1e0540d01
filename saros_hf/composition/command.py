"""``saros composition``."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import Subparsers, say

if TYPE_CHECKING:
    from .run import MeasureOptions


def add_composition(commands: Subparsers) -> None:
    """Add ``saros composition`` to the command line."""
    composition = commands.add_parser(
        "composition",
        help="measure muscle, bone and adipose tissues of CTs",
        description="Measure areas, volumes and HU of tissues from CTs and label maps of their "
        "body regions: those beside the CT, those given, or those that a model predicts. Run the "
        "same command again after any stop: unchanged cases are kept.",
    )
    add = composition.add_argument
    what = "NIfTI, DICOM folder or ZIP; a folder of cases or of these; list (.txt, .csv)"
    add("source", metavar="CT", type=Path, help=what)
    add("--out", metavar="DIR", type=Path, required=True, help="folder for the results")
    many = "for many CTs a folder with NAME.nii.gz"
    add("--regions", metavar="FILE", type=Path, help=f"label map of the body regions; {many}")
    add("--parts", metavar="FILE", type=Path, help=f"label map of the body parts; {many}")
    what = "label map of the vertebrae, or folder with vertebrae_L3.nii.gz; for many CTs a folder"
    add("--vertebrae", metavar="FILE", type=Path, help=what)
    what = "labels in that map, e.g. L3=20 L2=21 (default: those of TotalSegmentator)"
    add("--vertebra-labels", metavar="L3=N", nargs="+", default=[], help=what)
    what = "height, or .csv file with the columns case and height_cm"
    add("--height-cm", metavar="H", help=what)
    what = "further levels: L3, slice:57 (counted from 0) or mm:-804.5 (as viewers show it)"
    add("--level", metavar="L", nargs="+", default=[], help=what)
    what = "decide on tissues by the 3x3 median of each slice"
    add("--median-filter", action="store_true", help=what)
    what = "also write DICOM SEG and SR into the CT's study; needs highdicom"
    add("--dicom", action="store_true", help=what)
    add("--jobs", type=int, metavar="N", help="CTs at once (default: processors)")
    composition.set_defaults(run=run_composition, digests={})


def run_composition(options: argparse.Namespace) -> int:
    """Measure the CTs that the options name; return the exit code."""
    from ..progress import progress_bar
    from .run import run
    from .sources import Given, find_inputs, read_heights

    heights: Mapping[str, float] | float | None = None
    if options.height_cm is not None:
        table = Path(options.height_cm)
        is_table = table.suffix.lower() == ".csv"
        heights = read_heights(table) if is_table else _height(options.height_cm)
    given = Given(options.regions, options.parts, options.vertebrae, heights)
    inputs = find_inputs(options.source, options.out, given)
    if options.dicom:
        from .dicom_files import refuse_dicom_output

        refuse_dicom_output(inputs)
    with progress_bar("cases") as progress:
        summary = run(
            inputs, options.out, measure_options(options), jobs=options.jobs, progress=progress
        )
    say(
        f"{options.out}: {summary.done} done, {summary.flagged} with warnings, "
        f"{summary.failed} failed; {summary.kept} of them were there already"
    )
    return 1 if summary.failed else 0


def measure_options(options: argparse.Namespace) -> "MeasureOptions":
    """Return the options that change the numbers."""
    from .run import MeasureOptions

    result = MeasureOptions(
        levels=tuple(options.level),
        median_filter=options.median_filter,
        dicom=options.dicom,
        model=options.digests,
    )
    labels = dict(_vertebra_label(text) for text in options.vertebra_labels)
    return replace(result, vertebra_labels=labels) if labels else result


def _height(text: str) -> float:
    from ..errors import UsageError

    try:
        return float(text)
    except ValueError as error:
        expected = "a height in cm, or a .csv file"
        raise UsageError("--height-cm", repr(text), expected) from error


def _vertebra_label(text: str) -> tuple[str, int]:
    from ..errors import UsageError
    from .levels import VERTEBRAE

    found = re.fullmatch(r"([A-Z]\d+)=(\d+)", text)
    if found is None or found[1] not in VERTEBRAE:
        raise UsageError("--vertebra-labels", repr(text), "e.g. L3=20, with C1 to S1")
    return found[1], int(found[2])
