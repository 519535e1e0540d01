"""``saros download``: fetch, convert and put in place all cases that a folder lacks."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

from ..archive.idc_index import find_public
from ..archive.obtain_files import MASKS, MaskArchive, obtain_masks, obtain_table
from ..archive.retry import Patience, with_retries
from ..archive.series import RemoteSeries
from ..archive.sources import SeriesSource, SourceName, source_named
from ..cases.case import Case
from ..cases.source import holds_series
from ..cases.table import read_case_table, tables_in
from ..errors import UsageError, is_disk_full, one_line
from ..progress import TransferBar
from .assemble import add_masks, assemble, only_series
from .outcomes import Outcome, Status
from .plan import Plan, Selection, make_plan
from .workspace import claim

MAX_JOBS = 16
"""Series at once; both archives are free of charge and shared by everyone."""

DICOM_NAME = "dicom"


@dataclass(frozen=True)
class Download:
    """Options of a download.

    Attributes:
        folder: Destination of the cases.
        selection: Cases to fetch.
        source: NCI Imaging Data Commons, or TCIA's own NBIA server.
        table: Path or URL of the Segmentation Info CSV; ``None`` for the official one.
        masks: Path or URL of the ZIP of label maps; ``None`` for the official one.
        index: Another IDC index (.parquet) than that of the package ``idc-index-data``.
        endpoint: A mirror with the protocol of ``source``.
        jobs: Number of series at once.
        keep_dicom: Leave each series in ``DIR/case_XXX/dicom``.
        patience: Time-outs and retries.
        stop: Set to end the run.
        warn: Called with messages about files that are not the published ones.
    """

    folder: Path
    selection: Selection = field(default_factory=Selection)
    source: SourceName = "idc"
    table: str | None = None
    masks: str | None = None
    index: Path | None = None
    endpoint: str | None = None
    jobs: int = 4
    keep_dicom: bool = False
    patience: Patience = field(default_factory=Patience)
    stop: Event = field(default_factory=Event)
    warn: Callable[[str], None] = lambda _: None

    def plan(self, *, dry_run: bool) -> Plan:
        """Return the cases to fetch.

        Args:
            dry_run: Leave the folder unchanged; otherwise the case table is put there.

        Raises:
            SarosError: The case table or the index is not available, or the selection is empty.
        """
        if not 1 <= self.jobs <= MAX_JOBS:
            raise UsageError("--jobs", str(self.jobs), f"1 to {MAX_JOBS}")
        if not dry_run or (self.table is None and tables_in(self.folder)):
            return self._plan(self.folder)
        with tempfile.TemporaryDirectory(prefix="saros-table-") as elsewhere:
            return self._plan(Path(elsewhere))

    def _plan(self, folder: Path) -> Plan:
        table = obtain_table(
            folder, self.table, patience=self.patience, stop=self.stop, on_warning=self.warn
        )
        cases = read_case_table(table)
        return make_plan(cases, self.selection, partial(find_public, index=self.index))

    def run(self, plan: Plan) -> list[Outcome]:
        """Bring every public case of ``plan`` into the folder, ``jobs`` at a time.

        A case appears complete or not at all. Complete cases are kept, and files of a series that
        an earlier run has fetched are not fetched again. A failure does not stop the other cases,
        but a full disk does. Cases that another process is working on are checked again later.

        Returns:
            One outcome per case, in the order of the plan.

        Raises:
            SarosError: The label maps are not available.
        """
        size_bytes = MASKS.size_bytes if self.masks is None else None
        with (
            claim(self.folder, "label-maps", wait=True),
            TransferBar("label maps", size_bytes) as bar,
        ):
            masks = obtain_masks(
                self.folder,
                self.masks,
                patience=self.patience,
                stop=self.stop,
                on_bytes=bar.on_bytes,
                on_warning=self.warn,
            )
        source = source_named(self.source, self.patience, self.endpoint)
        with TransferBar("CTs", plan.size_bytes) as bar:
            return _Run(self, source, masks, plan, bar).run()


@dataclass(frozen=True)
class _Run:
    """One run of a download, in several threads."""

    options: Download
    source: SeriesSource
    masks: MaskArchive
    plan: Plan
    bar: TransferBar
    done: dict[str, Outcome] = field(default_factory=dict)
    disk_full: Event = field(default_factory=Event)

    def run(self) -> list[Outcome]:
        cases, stop = self.plan.public, self.options.stop
        with ThreadPoolExecutor(self.options.jobs, thread_name_prefix="saros") as pool:
            try:
                while todo := [case for case in cases if case.case_id not in self.done]:
                    self._try(pool, todo)
                    if len(self.done) < len(cases):
                        stop.wait(1.0)
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [self.done[case.case_id] for case in cases]

    def _try(self, pool: ThreadPoolExecutor, cases: Sequence[Case]) -> None:
        """Process every case that no other process is working on."""
        for future in as_completed([pool.submit(self._acquire, case) for case in cases]):
            outcome = future.result()
            if outcome is not None:
                self.done[outcome.case_id] = outcome
                if outcome.status == "kept":
                    self.bar.without(self.plan.series[outcome.case_id].size_bytes)
                failures = sum(one.status == "failed" for one in self.done.values())
                failed = f", {failures} failed" if failures else ""
                self.bar.describe(f"CTs {len(self.done)}/{len(self.plan.public)}{failed}")

    def _acquire(self, case: Case) -> Outcome | None:
        """Return the outcome for a case, ``None`` if another process is working on it."""

        def outcome(status: Status, reason: str = "") -> Outcome:
            path = None if status == "failed" else self.options.folder / case.case_id
            return Outcome(case.series_instance_uid, case.case_id, status, path, reason)

        if self.disk_full.is_set():
            return outcome("failed", "not started, as the disk is full: make room and run it again")
        try:
            with claim(self.options.folder, case.case_id) as work:
                if work is None:
                    return None
                note = self._finish(case, work)
        except Exception as error:  # noqa: BLE001 - the other cases do not depend on this one
            if is_disk_full(error):
                self.disk_full.set()
            return outcome("failed", one_line(error))
        return outcome("kept") if note is None else outcome("written", note)

    def _finish(self, case: Case, work: Path) -> str | None:
        """Complete a case and return a note on it, ``None`` if it was complete already."""
        case_folder = self.options.folder / case.case_id
        lacks_ct = not holds_series(case_folder, case.series_instance_uid)
        lacks_dicom = self.options.keep_dicom and not (case_folder / DICOM_NAME).is_dir()
        note: str | None = None
        if not lacks_ct:
            note = add_masks(case_folder, case, self.masks, work=work)
        staged = work / DICOM_NAME
        if lacks_ct or lacks_dicom:
            self._fetch(self.plan.series[case.case_id], staged)
            if lacks_ct:
                note = assemble(
                    only_series(staged, case.series_instance_uid),
                    case_folder,
                    case=case,
                    masks=self.masks,
                    as_published=True,
                    work=work,
                )
            if lacks_dicom:
                staged.rename(case_folder / DICOM_NAME)
                note = note or ""
        shutil.rmtree(staged, ignore_errors=True)
        return note

    def _fetch(self, series: RemoteSeries, staged: Path) -> None:
        stop = self.options.stop
        fetch = partial(self.source.fetch, series, staged, on_bytes=self.bar.on_bytes, stop=stop)
        with_retries(fetch, patience=self.options.patience, stop=stop)
