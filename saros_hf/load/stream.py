"""Cases one at a time from the archive itself, without a folder of cases."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event

from ..acquire.assemble import assemble, only_series
from ..archive.idc_index import find_public
from ..archive.mask_archive import MaskArchive, RemoteMaskArchive
from ..archive.obtain_files import MASKS, obtain_table
from ..archive.retry import Patience, with_retries
from ..archive.series import RemoteSeries
from ..archive.sources import SourceName, source_named
from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.table import read_case_table


@dataclass(frozen=True)
class ArchiveStream:
    """Where cases are streamed from; it goes to worker processes by pickling.

    Attributes:
        source: Archive of the CTs.
        table: Path or URL of the case table, ``None`` for the published one.
        masks: Path or URL of the ZIP of label maps, ``None`` for the published one.
        index: Another IDC index (.parquet) than that of the package ``idc-index-data``.
        endpoint: A mirror that speaks the protocol of ``source``.
    """

    source: SourceName = "idc"
    table: str | None = None
    masks: str | None = None
    index: Path | None = None
    endpoint: str | None = None
    patience: Patience = field(default_factory=Patience)

    def cases(self) -> tuple["ArchivedCase", ...]:
        """Return the cases whose CTs are public, in table order; only the table is fetched.

        Raises:
            SarosError: The table or the index cannot be had.
        """
        with tempfile.TemporaryDirectory(prefix="saros-table-") as folder:
            table = obtain_table(
                Path(folder),
                self.table,
                patience=self.patience,
                stop=Event(),
                on_warning=lambda _: None,
            )
            cases = read_case_table(table)
        found = find_public((case.series_instance_uid for case in cases), index=self.index)
        return tuple(
            ArchivedCase(case, found[case.series_instance_uid], self)
            for case in cases
            if case.series_instance_uid in found
        )

    @cached_property
    def mask_archive(self) -> MaskArchive:
        """The label maps, of which only those of the cases in hand are read."""
        source = self.masks or MASKS.url
        if source.lower().startswith(("http://", "https://")):
            return RemoteMaskArchive(source, self.patience)
        return MaskArchive(Path(source))


@dataclass(frozen=True)
class ArchivedCase:
    """A case that is fetched and converted when its turn comes."""

    case: Case
    series: RemoteSeries
    stream: ArchiveStream

    @property
    def stays(self) -> bool:
        """Whether the files are still there after :meth:`open`."""
        return False

    @contextmanager
    def open(self) -> Iterator[CaseFiles]:
        """Yield CT and label maps in a folder that is gone afterwards.

        Raises:
            SarosError: The case cannot be fetched or converted; the message names the series.
        """
        with tempfile.TemporaryDirectory(prefix="saros-stream-") as name:
            files = CaseFiles(self.case, Path(name) / self.case.case_id)
            dicom = Path(name) / "dicom"
            self._fetch(dicom)
            assemble(
                only_series(dicom, self.series.series_uid),
                files.folder,
                case=self.case,
                masks=self.stream.mask_archive,
                as_published=True,
            )
            shutil.rmtree(dicom)
            yield files

    def _fetch(self, folder: Path) -> None:
        stop = Event()
        stream = self.stream
        source = source_named(stream.source, stream.patience, stream.endpoint)
        with_retries(
            lambda: source.fetch(self.series, folder, on_bytes=lambda _: None, stop=stop),
            patience=stream.patience,
            stop=stop,
        )
