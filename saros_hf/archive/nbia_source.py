"""Series from The Cancer Imaging Archive through NBIA's REST API."""

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import urlencode

from ..errors import TransferError, TransientError
from ..files import ASIDE_PREFIX, md5
from .http_download import counting, download, get_json
from .retry import Patience
from .series import RemoteSeries
from .unzip import BrokenZipError, extract

NBIA_V4 = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4/"


@dataclass(frozen=True)
class NbiaSource:
    """The NBIA server, which needs no account for public series.

    The server packs a series into one ZIP while sending it, and conceals its own errors: a ZIP
    with HTTP 200 may lack files. Therefore files are counted and compared with the server's MD5.

    Attributes:
        patience: ``stall_s`` is the longest time to wait for the server to send anything.
        base_url: Address of the API, up to ``v4``.
    """

    patience: Patience
    base_url: str = NBIA_V4

    def fetch(
        self,
        series: RemoteSeries,
        folder: Path,
        *,
        on_bytes: Callable[[int], None],
        stop: Event,
    ) -> None:
        """Download every file of ``series`` into ``folder`` and check the MD5 of each.

        One call is one attempt. A folder with all files is kept, any other one is replaced.

        Args:
            series: Series to download.
            folder: Folder of this series.
            on_bytes: Called with the number of new bytes, those of a complete folder included. A
                call that fails subtracts everything that it has counted.
            stop: Set to end the transfer at the next bytes that arrive.

        Raises:
            TransientError: A retry may help: the server is busy, or the ZIP is incomplete.
            TransferError: A retry will not help: the series is not public, or was revised; or
                ``stop`` was set.
            UnreadableFileError: The ZIP is not safe to extract.
            OSError: The disk is full or cannot be written to.
        """
        with counting(on_bytes) as count:
            if len(list(folder.glob("*.dcm"))) != series.instances:
                self._refuse_revised(series)
                folder.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix=ASIDE_PREFIX, dir=folder.parent) as aside:
                    packed = Path(aside) / "series.zip"
                    url = self._url("getImage", series, IncludeMD5="yes")
                    download(url, packed, patience=self.patience, stop=stop, on_bytes=count)
                    dicom = _unpack(packed, series)
                    count(-packed.stat().st_size)
                    shutil.rmtree(folder, ignore_errors=True)
                    dicom.replace(folder)
            count(sum(path.stat().st_size for path in folder.iterdir()))

    def _url(self, endpoint: str, series: RemoteSeries, **options: str) -> str:
        query = urlencode({"SeriesInstanceUID": series.series_uid, **options})
        return f"{self.base_url.rstrip('/')}/{endpoint}?{query}"

    def _refuse_revised(self, series: RemoteSeries) -> None:
        rows = get_json(self._url("getSeries", series), patience=self.patience)
        remedy = "Run the same command with --source idc."
        if not rows:
            raise TransferError(_where(series), "nothing", "a public series", remedy)
        try:
            images = int(rows[0]["ImageCount"])
        except (TypeError, ValueError, LookupError) as error:
            found = f"an answer without ImageCount, {str(rows)[:80]!r}"
            raise _incomplete(series, found, "it") from error
        if images != series.instances:
            expected = f"{series.instances} as listed in the index"
            raise TransferError(_where(series), f"{images} files", expected, remedy)


def _unpack(packed: Path, series: RemoteSeries) -> Path:
    """Extract a ZIP and return a folder with its DICOM files if all are there and intact."""
    members = packed.with_name("members")
    members.mkdir()
    try:
        extract(packed, members)
    except BrokenZipError as error:
        raise _incomplete(series, error.found, "a ZIP") from error
    paths = sorted(members.rglob("*.dcm"))
    if len(paths) != series.instances:
        raise _incomplete(series, f"{len(paths)} of {series.instances} files", "all in the ZIP")
    hashes = _read_hashes(members / "md5hashes.csv")
    dicom = packed.with_name("dicom")
    dicom.mkdir()
    for path in paths:
        digest, expected = md5(path), hashes.get(path.name, "in md5hashes.csv")
        if digest != expected:
            raise _incomplete(series, f"{path.name} with MD5 {digest}", f"MD5 {expected}")
        path.rename(dicom / path.name)
    return dicom


def _read_hashes(path: Path) -> dict[str, str]:
    """Return MD5 by file name, empty without a file with these columns."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [(row.get("Filename"), row.get("MD5Hash")) for row in csv.DictReader(file)]
    return {name: digest.strip().lower() for name, digest in rows if name and digest}


def _where(series: RemoteSeries) -> str:
    return f"series {series.series_uid} from NBIA"


def _incomplete(series: RemoteSeries, found: str, expected: str) -> TransientError:
    remedy = "Run the same command again, or with --source idc."
    return TransientError(_where(series), found, expected, remedy)
