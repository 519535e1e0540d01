"""Write a cohort of synthetic phantoms to a folder, as SAROS would lie there."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ..cases.case import PHANTOM_DESCRIPTION, Case
from ..cases.source import whole_case
from ..cases.table import TABLE_NAME, write_case_table
from ..errors import UsageError
from ..files import ASIDE_PREFIX, write_atomically
from ..nifti import write_volume
from ..phantom import phantom_cohort, phantom_scan
from ..progress import OnProgress, usable_processors

MARKER_NAME = "SYNTHETIC-PHANTOM.json"
"""Says in every folder that its CTs are synthetic, and what they were made with."""

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

    A case folder appears whole or not at all, the table when all of them are there. Called
    again with the same arguments after an interruption, it writes only what is missing.

    Args:
        folder: A new or empty folder, or one that an earlier call left unfinished.
        cases: Number of CTs.
        seed: Same seed, same cohort.
        size: Pixels along each edge of a slice, 64 to 512.
        jobs: Number of processes; the default is one per processor.
        progress: Called with the number of finished cases and of all cases.

    Returns:
        The case table.

    Raises:
        UsageError: An argument is out of range, or ``folder`` holds anything else.
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
    volumes = {
        "image": scan.image,
        "body-regions": scan.body_regions,
        "body-parts": scan.body_parts,
    }
    with whole_case(folder / case.case_id) as aside:
        for name, volume in volumes.items():
            if volume is not None:
                write_volume(aside / f"{name}.nii.gz", volume, description=PHANTOM_DESCRIPTION)
    return case.case_id


def _claim(folder: Path, cohort: Sequence[Case], made_with: dict[str, int]) -> None:
    """Mark ``folder`` as the place of this cohort, unless it holds anything else."""
    marker = folder / MARKER_NAME
    text = json.dumps({"description": PHANTOM_DESCRIPTION, **made_with}, indent=1) + "\n"
    if folder.exists() and not folder.is_dir():
        raise _refusal(folder, "a file")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if held:
        known = {MARKER_NAME, TABLE_NAME, *(case.case_id for case in cohort)}
        foreign = [name for name in held if name not in known and not name.startswith(ASIDE_PREFIX)]
        if foreign or not marker.is_file():
            raise _refusal(folder, ", ".join((foreign or held)[:3]))
        if marker.read_text(encoding="utf-8") != text:
            raise _refusal(folder, "a phantom cohort made with other arguments")
    for left in folder.glob(f"{ASIDE_PREFIX}*"):
        shutil.rmtree(left)
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


def _refusal(folder: Path, found: str) -> UsageError:
    return UsageError(
        folder,
        found,
        "a new or empty folder, or this very cohort unfinished",
        "Name another folder, or delete this one.",
    )
