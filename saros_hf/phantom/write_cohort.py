"""Write a cohort of synthetic phantoms to a folder laid out like SAROS."""

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ..cases.case import PHANTOM_DESCRIPTION, Case
from ..cases.source import whole_case
from ..cases.table import TABLE_NAME, write_case_table
from ..errors import UsageError
from ..files import ASIDE_PREFIX, remove, write_atomically
from ..nifti import write_volume
from ..progress import OnProgress, usable_processors
from .scan import phantom_scan
from .table import phantom_cohort

MARKER_NAME = "SYNTHETIC-PHANTOM.json"
"""File that marks a folder as synthetic and records the arguments it was made with."""

SMALLEST, LARGEST = 64, 512


def simulate(
    folder: Path,
    *,
    cases: int,
    seed: int,
    size: int = 256,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> Path:
    """Write ``case_XXX/{image,body-regions,body-parts}.nii.gz`` and the case table.

    A case folder appears whole or not at all, the table after all cases. A call with the same
    arguments after an interruption writes only the missing cases.

    Args:
        folder: A new or empty folder, or one that an earlier call left unfinished.
        cases: Number of CTs.
        seed: Seed of the cohort.
        size: Pixels along each edge of a slice, 64 to 512.
        jobs: Number of processes; the default is one per processor.
        progress: Called with the number of finished cases and of all cases.

    Returns:
        Path of the case table.

    Raises:
        UsageError: An argument is out of range, or ``folder`` holds anything else.

    Example::

        simulate(Path("phantoms"), cases=12, seed=0)
    """
    _refuse_bad_numbers(cases=cases, seed=seed, size=size, jobs=jobs)
    cohort = phantom_cohort(cases, seed=seed)
    _claim(folder, cohort, {"cases": cases, "seed": seed, "size": size})
    missing = [case for case in cohort if not (folder / case.case_id).is_dir()]
    processes = min(jobs or usable_processors(), len(missing))
    for count, _ in enumerate(_write_all(folder, missing, seed, size, processes), start=1):
        if progress is not None:
            progress(len(cohort) - len(missing) + count, len(cohort))
    write_case_table(folder / TABLE_NAME, cohort)
    return folder / TABLE_NAME


def _write_all(
    folder: Path, cases: Sequence[Case], seed: int, size: int, processes: int
) -> Iterator[str]:
    """Yield the id of each case as it is finished."""
    if processes <= 1:
        for case in cases:
            yield _write_case(folder, case, seed, size)
        return
    # Not fork: the caller may run threads, of torch for example.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running = [pool.submit(_write_case, folder, case, seed, size) for case in cases]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_case(folder: Path, case: Case, seed: int, size: int) -> str:
    scan = phantom_scan(case, seed=seed, size=size)
    volumes = {"image": scan.image, "body-regions": scan.body_regions}
    if scan.body_parts is not None:
        volumes["body-parts"] = scan.body_parts
    with whole_case(folder / case.case_id) as aside:
        for name, volume in volumes.items():
            write_volume(aside / f"{name}.nii.gz", volume, description=PHANTOM_DESCRIPTION)
    return case.case_id


def _claim(folder: Path, cohort: Sequence[Case], arguments: dict[str, int]) -> None:
    """Write the marker of this cohort and remove leftovers; raise if anything else is there."""
    marker = folder / MARKER_NAME
    text = json.dumps({"description": PHANTOM_DESCRIPTION, **arguments}, indent=1) + "\n"
    found = ""
    if folder.exists() and not folder.is_dir():
        found = "a file"
    elif folder.is_dir() and (names := sorted(path.name for path in folder.iterdir())):
        ours = {MARKER_NAME, TABLE_NAME, *(case.case_id for case in cohort)}
        foreign = [one for one in names if one not in ours and not one.startswith(ASIDE_PREFIX)]
        if foreign or not marker.is_file():
            found = ", ".join((foreign or names)[:3])
        elif marker.read_bytes() != text.encode():
            found = "a phantom cohort made with other arguments"
    if found:
        expected = "a new or empty folder, or this very cohort unfinished"
        raise UsageError(folder, found, expected, "Name another folder, or delete this one.")
    for leftover in folder.glob(f"{ASIDE_PREFIX}*"):
        remove(leftover)
    with write_atomically(marker) as aside:
        aside.write_text(text, encoding="utf-8")


def _refuse_bad_numbers(*, cases: int, seed: int, size: int, jobs: int | None) -> None:
    limits = {
        "cases": (cases, cases >= 1, "at least 1"),
        "seed": (seed, seed >= 0, "at least 0"),
        "size": (size, SMALLEST <= size <= LARGEST, f"{SMALLEST} to {LARGEST}"),
        "jobs": (jobs, jobs is None or jobs >= 1, "at least 1"),
    }
    for option, (value, legal, expected) in limits.items():
        if not legal:
            raise UsageError(option, str(value), expected)
