"""``saros download``: from nothing to a folder of cases, or to what is missing of one."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

from ..archive.idc_index import find_public
from ..archive.obtain_files import MASKS, obtain_masks, obtain_table
from ..archive.retry import Patience
from ..archive.sources import SourceName, source_named
from ..cases.table import read_case_table, tables_in
from ..errors import UsageError
from ..progress import TransferBar
from .fetch_cases import Acquisition
from .outcomes import Outcome
from .plan import Plan, Selection, make_plan
from .workspace import claim_when_free

MAX_JOBS = 16
"""Series at once; both archives are free of charge for us and shared by everyone."""


@dataclass(frozen=True)
class Download:
    """What to fetch, from where, and how.

    Attributes:
        folder: Where the cases go.
        source: NCI Imaging Data Commons, or TCIA's own NBIA server.
        table: Path or URL of the Segmentation Info CSV; ``None`` for the official one.
        masks: Path or URL of the ZIP of label maps; ``None`` for the official one.
        index: Another IDC index (.parquet) than that of the package ``idc-index-data``.
        endpoint: A mirror that speaks the protocol of ``source``.
        jobs: Series at once.
        keep_dicom: Leave each series in ``DIR/case_XXX/dicom``.
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
        """Return what there is to fetch.

        Args:
            dry_run: Change nothing in the folder; otherwise the case table is put there.

        Raises:
            SarosError: The case table or the index cannot be had, or the selection is empty.
        """
        if not 1 <= self.jobs <= MAX_JOBS:
            raise UsageError(
                "--jobs",
                str(self.jobs),
                f"1 to {MAX_JOBS}",
                "More would not be polite to the archive.",
            )
        if not dry_run or (self.table is None and tables_in(self.folder)):
            return self._plan(self.folder)
        with tempfile.TemporaryDirectory(prefix="saros-table-") as elsewhere:
            return self._plan(Path(elsewhere))

    def run(self, plan: Plan) -> list[Outcome]:
        """Fetch what is missing of ``plan``.

        Raises:
            SarosError: The label maps cannot be had.
        """
        size_bytes = MASKS.size_bytes if self.masks is None else None
        with (
            claim_when_free(self.folder, "label-maps"),
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
        with TransferBar("CTs", plan.size_bytes) as bar:
            return Acquisition(
                folder=self.folder,
                source=source_named(self.source, self.patience, self.endpoint),
                masks=masks,
                patience=self.patience,
                watcher=_Watcher(bar, plan),
                stop=self.stop,
                keep_dicom=self.keep_dicom,
            ).run(plan, jobs=self.jobs)

    def _plan(self, folder: Path) -> Plan:
        table = obtain_table(
            folder, self.table, patience=self.patience, stop=self.stop, on_warning=self.warn
        )
        cases = read_case_table(table)
        return make_plan(cases, self.selection, partial(find_public, index=self.index))


class _Watcher:
    """Moves the bar, and counts cases beside it."""

    def __init__(self, bar: TransferBar, plan: Plan) -> None:
        self._bar = bar
        self._plan = plan
        self._done = 0
        self._failed = 0

    def on_bytes(self, count: int) -> None:
        self._bar.on_bytes(count)

    def on_case(self, outcome: Outcome) -> None:
        self._done += 1
        self._failed += outcome.status == "failed"
        if outcome.status == "kept":
            self._bar.without(self._plan.series[outcome.case_id].size_bytes)
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.describe(f"CTs {self._done}/{len(self._plan.public)}{failed}")
