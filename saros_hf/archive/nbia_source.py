"""Series from The Cancer Imaging Archive through NBIA's REST API."""

import csv
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
from urllib.parse import urlencode

from ..errors import TransferError, TransientError, UsageError
from ..files import md5, write_atomically
from .http_download import counting, download, get_json
from .retry import Patience
from .series import RemoteSeries
from .unzip import BrokenZipError, extract

NBIA_V4 = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4/"

_LEAST_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class NbiaSource:
    """NBIA, which asks for no account where a series is public.

    The server packs a series into one ZIP as it sends it, and hides its own errors: HTTP 200 may
    bring a ZIP with too few files. So files are counted and compared with the server's MD5.

    Attributes:
        patience: Its ``stall_s`` is how long the server may be silent.
        base_url: Of the API, up to ``v4``.
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
        """Bring every file of ``series`` into ``folder`` and check that they are whole.

        One call is one try. ``folder`` appears when all of it is there, beside it
        ``<folder>.md5.csv``, by which a further call knows that nothing is left to do.

        Args:
            series: What to fetch.
            folder: Belongs to this series alone; what is in it but not whole is replaced.
            on_bytes: Called with the number of bytes that have just arrived, those of files
                that were there included. A call that fails takes back all that it has counted.
            stop: Set to give up within a second.

        Raises:
            TransientError: Worth another call: the server is busy, or the ZIP is not whole.
            TransferError: Not worth another call: the series is not public, or was revised.
            UnreadableFileError: The ZIP is not safe to extract.
            OSError: The disk is full or cannot be written to.
        """
        manifest = folder.with_name(folder.name + ".md5.csv")
        with counting(on_bytes) as count:
            if _is_whole(folder, manifest, series):
                count(_size_bytes(folder))
                return
            self._refuse_revised(series, stop)
            with _empty_folder(folder.with_name(folder.name + ".nbia")) as aside:
                packed, dicom = aside / "series.zip", aside / "dicom"
                url = self._url("getImage", series, IncludeMD5="yes")
                download(url, packed, patience=self.patience, stop=stop, on_bytes=count)
                hashes = _unpack(packed, dicom, series)
                count(_size_bytes(dicom) - packed.stat().st_size)
                manifest.unlink(missing_ok=True)
                if folder.exists():
                    shutil.rmtree(folder)
                dicom.replace(folder)
            _write_hashes(manifest, hashes)

    def _url(self, endpoint: str, series: RemoteSeries, **options: str) -> str:
        query = urlencode({"SeriesInstanceUID": series.series_uid, **options})
        return f"{self.base_url.rstrip('/')}/{endpoint}?{query}"

    def _refuse_revised(self, series: RemoteSeries, stop: Event) -> None:
        rows = get_json(self._url("getSeries", series), patience=self.patience, stop=stop)
        if not rows:
            raise TransferError(
                _where(series),
                "nothing",
                "a public series",
                "Run the same command with --source idc.",
            )
        row = rows[0] if isinstance(rows, list) else None
        images = str(row.get("ImageCount")) if isinstance(row, dict) else ""
        if not images.isdecimal():
            raise _not_whole(series, f"an answer without ImageCount, {str(rows)[:80]!r}", "it")
        if int(images) != series.instances:
            raise TransferError(
                _where(series),
                f"{images} files",
                f"{series.instances} as listed in the index",
                "The archive has revised it; run the same command with --source idc.",
            )


@contextmanager
def _empty_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that is gone afterwards; an earlier run may have left it behind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(packed: Path, dicom: Path, series: RemoteSeries) -> dict[str, str]:
    """Put the DICOM files of a ZIP into ``dicom``, and return their MD5 if all are as listed."""
    members = packed.with_name("members")
    members.mkdir()
    try:
        extract(packed, members, limit_bytes=max(4 * series.size_bytes, _LEAST_LIMIT_BYTES))
    except BrokenZipError as error:
        raise _not_whole(series, error.found, "a ZIP") from error
    except UsageError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(members)) from error
    paths = {path.name: path for path in members.rglob("*") if path.is_file()}
    names = sorted(name for name in paths if name.lower().endswith(".dcm"))
    if len(names) != series.instances:
        raise _not_whole(series, f"{len(names)} of {series.instances} files", "all in the ZIP")
    if "md5hashes.csv" not in paths:
        raise _not_whole(series, "no md5hashes.csv", "one in the ZIP")
    hashes = _read_hashes(paths["md5hashes.csv"])
    for name in sorted({*hashes, *names}):
        found = md5(paths[name]) if name in paths else "no such file"
        if found != hashes.get(name):
            expected = f"MD5 {hashes.get(name, 'listed')}"
            raise _not_whole(series, f"{name} with MD5 {found}", expected)
    dicom.mkdir()
    for name in names:
        paths[name].replace(dicom / name)
    return {name: hashes[name] for name in names}


def _is_whole(folder: Path, manifest: Path, series: RemoteSeries) -> bool:
    if not manifest.is_file() or not folder.is_dir():
        return False
    hashes = _read_hashes(manifest)
    return (
        len(hashes) == series.instances
        and {path.name for path in folder.iterdir()} == set(hashes)
        and all(md5(folder / name) == digest for name, digest in hashes.items())
    )


def _read_hashes(path: Path) -> dict[str, str]:
    """Return MD5 by file name; empty if the columns are not as NBIA names them."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [(row.get("Filename"), row.get("MD5Hash")) for row in csv.DictReader(file)]
    return {PurePosixPath(name).name: told.strip().lower() for name, told in rows if name and told}


def _write_hashes(path: Path, hashes: Mapping[str, str]) -> None:
    with write_atomically(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Filename", "MD5Hash"), *hashes.items()])


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _where(series: RemoteSeries) -> str:
    return f"series {series.series_uid} from NBIA"


def _not_whole(series: RemoteSeries, found: str, expected: str) -> TransientError:
    remedy = "Run the same command again, or with --source idc."
    return TransientError(_where(series), found, expected, remedy)
