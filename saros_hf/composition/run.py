"""Measure many CTs: resumable, in several processes, one record per case and tables of all."""

import json
import multiprocessing
import platform
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeAlias

from ..cases.pairing import shared_affine
from ..console import warn
from ..ct import read_ct_with_tags
from ..dicom import ACQUISITION_TAGS
from ..errors import MissingFileError, SarosError, UsageError, one_line
from ..files import remove_leftovers, write_atomically
from ..nifti import read_labels, write_volume
from ..progress import OnProgress, usable_processors
from ..volume import Volume
from .cohort_report import SHOWN, write_cohort_report
from .dicom_files import source_slices, write_dicom
from .levels import VERTEBRAE
from .measurement import measure
from .report import write_case_report
from .result import Composition
from .sources import CaseInput, read_vertebrae
from .tables import TABLES, definitions, is_number, table_writer, tables_of

__all__ = ["RECORD_NAME", "MeasureOptions", "RunSummary", "run"]

Status: TypeAlias = Literal["done", "flagged", "failed"]

RECORD_NAME = "composition.json"
TISSUES_NAME = "tissues.nii.gz"
REPORT_NAME = "report.html"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class MeasureOptions:
    """Options of a run.

    Attributes:
        levels: Further levels, see :func:`~.measurement.measure`.
        median_filter: Decide on tissues by the in-plane 3x3 median.
        vertebra_labels: Labels in the label maps of the vertebrae.
        dicom: Write DICOM SEG and SR too.
        model: SHA-256 of each network that predicted the label maps; empty for given ones.
    """

    levels: tuple[str, ...] = ()
    median_filter: bool = False
    vertebra_labels: Mapping[str, int] = field(default_factory=lambda: dict(VERTEBRAE))
    dicom: bool = False
    model: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSummary:
    """Numbers of cases by result.

    Attributes:
        done: Cases without a warning, kept ones included.
        flagged: Cases with a warning, kept ones included.
        failed: Cases that could not be measured.
        kept: Cases measured by an earlier run and unchanged since.
    """

    done: int
    flagged: int
    failed: int
    kept: int


def run(
    inputs: Sequence[CaseInput],
    out: Path,
    options: MeasureOptions,
    *,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> RunSummary:
    """Measure every CT into ``out/NAME`` and write the tables of all cases into ``out``.

    A case whose files and options are those of its record is kept. A failed case has a record that
    says why, is reported on the screen, and is tried again by the next run.

    Raises:
        UsageError: ``jobs`` is less than 1, or the system killed a process.
    """
    started = perf_counter()
    if jobs is not None and jobs < 1:
        raise UsageError("--jobs", str(jobs), "at least 1")
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    todo = [one for one in inputs if not _is_measured(one, out, options)]
    processes = max(min(jobs or usable_processors(), len(todo)), 1)
    for count, record in enumerate(_measure_all(todo, out, options, processes), start=1):
        if record["status"] == "failed":
            warn(f"{record['case']}: {record['reason']}")
        if progress is not None:
            progress(count, len(todo))
    statuses = _write_all_tables(inputs, out)
    summary = RunSummary(
        done=statuses.count("done"),
        flagged=statuses.count("flagged"),
        failed=statuses.count("failed"),
        kept=len(inputs) - len(todo),
    )
    manifest = {
        "versions": _versions(),
        "options": asdict(options),
        "definitions": definitions(),
        "cases": asdict(summary),
        "processes": processes,
        "device": platform.machine(),
        "seconds": round(perf_counter() - started, 1),
    }
    _write_json(out / MANIFEST_NAME, manifest)
    return summary


def _measure_all(
    inputs: Sequence[CaseInput], out: Path, options: MeasureOptions, processes: int
) -> Iterator[dict[str, Any]]:
    """Yield the record of every case as it is finished."""
    if processes == 1:
        for one in inputs:
            yield _measure_case(one, out, options)
        return
    # Not fork: the caller may run threads, of torch for example.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running = [pool.submit(_measure_case, one, out, options) for one in inputs]
        try:
            for done in as_completed(running):
                yield done.result()
        except BrokenProcessPool as error:
            found, expected = "a process that was killed", f"memory for {processes} CTs at once"
            remedy = "Start the same command again with fewer --jobs: it goes on."
            raise UsageError("--jobs", found, expected, remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _measure_case(one: CaseInput, out: Path, options: MeasureOptions) -> dict[str, Any]:
    """Measure a case, write its files and return its record without the tables."""
    started = perf_counter()
    head = {"case": one.name, "ct": str(one.ct), "fingerprint": _fingerprint(one, options)}
    try:
        ct, composition, tags = _measured(one, options)
        warnings = [flag.text for flag in composition.flags if flag.severity == "warning"]
        head |= {"status": "flagged" if warnings else "done", "reason": "; ".join(warnings)}
        body = _body(one.name, composition, tags)
        folder = out / one.name
        write_volume(folder / TISSUES_NAME, composition.tissue_map, description="tissues")
        facts = {**tags, **_versions(), **options.model}
        if options.dicom:
            write_dicom(folder, source_slices(one.ct), composition)
        write_case_report(folder / REPORT_NAME, one.name, ct, composition, facts)
    except Exception as error:  # noqa: BLE001 - one odd case must not end the run
        head |= {"status": "failed", "reason": one_line(error)}
        body = {} if isinstance(error, SarosError) else {"traceback": traceback.format_exc()}
    # The record comes last: where it is, the other files are.
    record = head | {"seconds": round(perf_counter() - started, 2)} | body
    _write_json(out / one.name / RECORD_NAME, record)
    return head


def _measured(
    one: CaseInput, options: MeasureOptions
) -> tuple[Volume, Composition, dict[str, float | str | None]]:
    ct, tags = read_ct_with_tags(one.ct)
    if not one.regions.is_file():
        raise _no_regions(one.regions)
    parts, vertebrae = one.parts, one.vertebrae
    composition = measure(
        ct,
        _paired(ct, read_labels(one.regions)),
        parts=None if parts is None else _paired(ct, read_labels(parts)),
        vertebrae=None if vertebrae is None else read_vertebrae(vertebrae, options.vertebra_labels),
        height_cm=one.height_cm,
        levels=options.levels,
        median_filter=options.median_filter,
    )
    return (
        ct,
        composition,
        {name: _value(name, tags[name]) for name in ACQUISITION_TAGS if tags.get(name)},
    )


def _value(name: str, text: str) -> float | str | None:
    """Return a tag as a number if it has a unit, ``None`` if it is none."""
    if not is_number(name):
        return text
    try:
        return float(text)
    except ValueError:
        return None


def _no_regions(path: Path) -> MissingFileError:
    """Return the error for a missing label map, with that of its prediction if there is one."""
    failure = path.with_name(path.name.removesuffix(".nii.gz") + ".error.txt")
    found, remedy = "no such file", "Give it with --regions, or a model with --model."
    if failure.is_file():
        found = failure.read_text(encoding="utf-8").splitlines()[1]
        remedy = ""
    return MissingFileError(path, found, "a label map of the body regions", remedy)


def _paired(ct: Volume, mask: Volume) -> Volume:
    """Return a label map with the CT's affine if it is one of SAROS with a wrong sign along k."""
    affine = shared_affine(ct, mask)
    return mask if affine is None else Volume(mask.array, ct.affine)


def _body(
    name: str, composition: Composition, tags: Mapping[str, float | str | None]
) -> dict[str, Any]:
    return {
        "versions": _versions(),
        "acquisition": dict(tags),
        "flags": [asdict(flag) for flag in composition.flags],
        "definitions": definitions(),
        "tables": tables_of(name, composition),
    }


def _fingerprint(one: CaseInput, options: MeasureOptions) -> dict[str, Any]:
    """Return what a record depends on: options, height, and size and time of every file."""
    files = {}
    for path in one.files:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(p.stat().st_size, p.stat().st_mtime_ns) for p in inside if p.is_file()]
        files[str(path)] = [sum(size for size, _ in stats), max((t for _, t in stats), default=0)]
    text = json.dumps({"height_cm": one.height_cm, "files": files, "options": asdict(options)})
    return dict(json.loads(text))


def _is_measured(one: CaseInput, out: Path, options: MeasureOptions) -> bool:
    try:
        record = json.loads((out / one.name / RECORD_NAME).read_text(encoding="utf-8"))
        return (
            all((out / one.name / name).is_file() for name in (TISSUES_NAME, REPORT_NAME))
            and record["status"] != "failed"
            and record["fingerprint"] == _fingerprint(one, options)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_all_tables(inputs: Sequence[CaseInput], out: Path) -> list[Status]:
    """Write the tables of all cases from their records, and return the status of each."""
    paths = [out / one.name / RECORD_NAME for one in inputs]
    records = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    columns = {name: ["case"] for name in TABLES}
    for record in records:
        for name, rows in record.get("tables", {}).items():
            columns[name] = max(columns[name], list(rows[0]) if rows else [], key=len)
        if all(len(one) > 1 for one in columns.values()):
            break
    head = ["case", "ct", "status", "reason", "seconds"]
    columns["cases"] = list(dict.fromkeys([*head, *ACQUISITION_TAGS, *columns["cases"]]))
    statuses: list[Status] = []
    shown: list[dict[str, Any]] = []
    with ExitStack() as stack:
        add = {name: stack.enter_context(table_writer(out, name, columns[name])) for name in TABLES}
        for path in paths:
            record = json.loads(path.read_text(encoding="utf-8"))
            statuses.append(record["status"])
            tables = record.get(
                "tables", {name: [{}] if name == "cases" else [] for name in TABLES}
            )
            shared = {key: record[key] for key in head} | record.get("acquisition", {})
            rows = [shared | row for row in tables["cases"]]
            add["cases"](rows)
            shown += [{key: row.get(key) for key in (*head, *SHOWN)} for row in rows]
            for name in TABLES[1:]:
                add[name](tables[name])
    write_cohort_report(out / REPORT_NAME, shown)
    return statuses


@cache
def _versions() -> dict[str, str]:
    names = ("saros-hf", "numpy", "scipy", "nibabel", "SimpleITK")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with write_atomically(path) as aside:
        # Without indentation, because json is ten times as fast then.
        aside.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
