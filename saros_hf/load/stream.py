"""Cases fetched one at a time from the archive, without a folder of cases."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ..acquire.assemble import assemble, only_series
from ..archive.idc_index import find_public
from ..archive.mask_archive import MaskArchive, RemoteMaskArchive
from ..archive.obtain_files import MASKS, is_url, obtain_table
from ..archive.retry import Patience, with_retries
from ..archive.series import RemoteSeries
from ..archive.sources import SourceName, source_named
from ..cases.case import Case
from ..cases.files import CaseFiles
from ..cases.table import read_case_table
from ..files import scratch_folder

_PATIENCE = Patience()


@dataclass(frozen=True)
class ArchivedCase:
    """A case that :meth:`open` fetches and converts.

    Attributes:
        series: The case's CT in the archive.
        masks: ZIP of all label maps.
        source: Archive of the CTs.
        endpoint: Mirror of the archive, ``None`` for the archive itself.
    """

    case: Case
    series: RemoteSeries
    masks: MaskArchive
    source: SourceName
    endpoint: str | None

    @contextmanager
    def open(self) -> Iterator[CaseFiles]:
        """Yield the CT and label maps in a folder that is removed afterwards.

        Raises:
            SarosError: The case cannot be fetched or converted; the message names the series.
        """
        source = source_named(self.source, _PATIENCE, self.endpoint)
        stop = Event()
        with scratch_folder("stream") as folder:
            files = CaseFiles(self.case, folder / self.case.case_id)
            dicom = folder / "dicom"
            with_retries(
                lambda: source.fetch(self.series, dicom, on_bytes=lambda _: None, stop=stop),
                patience=_PATIENCE,
                stop=stop,
            )
            assemble(
                only_series(dicom, self.series.series_uid),
                files.folder,
                case=self.case,
                masks=self.masks,
                as_published=True,
            )
            shutil.rmtree(dicom)
            yield files


def archived_cases(
    source: SourceName = "idc",
    table: str | None = None,
    masks: str | None = None,
    index: str | None = None,
    endpoint: str | None = None,
) -> list[ArchivedCase]:
    """Return the cases whose CTs are public, in table order; only the table is fetched.

    Args:
        source: Archive of the CTs.
        table: Path or URL of the case table, ``None`` for the published one.
        masks: Path or URL of the ZIP of label maps, ``None`` for the published one.
        index: Path of an IDC index (.parquet), ``None`` for that of ``idc-index-data``.
        endpoint: Mirror of the archive.

    Raises:
        SarosError: The table or the index cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="saros-table-") as name:
        path = obtain_table(
            Path(name), table, patience=_PATIENCE, stop=Event(), on_warning=lambda _: None
        )
        cases = read_case_table(path)
    zipped = masks or MASKS.url
    archive = RemoteMaskArchive(zipped, _PATIENCE) if is_url(zipped) else MaskArchive(Path(zipped))
    series = find_public(
        (case.series_instance_uid for case in cases), index=Path(index) if index else None
    )
    return [
        ArchivedCase(case, series[case.series_instance_uid], archive, source, endpoint)
        for case in cases
        if case.series_instance_uid in series
    ]
