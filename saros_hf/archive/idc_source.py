"""Series from NCI Imaging Data Commons: anonymous S3, one file per instance."""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event

from ..errors import TransferError, TransientError
from ..files import md5
from .http_download import RETRY, counting
from .retry import Patience
from .s5cmd import S5cmd
from .series import RemoteSeries

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class _RemoteFile:
    """A file at ``s3://bucket/key``; its ETag is its MD5 unless it was uploaded in parts."""

    address: str
    size_bytes: int
    etag: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.address).name

    def is_whole(self, path: Path) -> bool:
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        return _MD5.fullmatch(self.etag) is None or md5(path) == self.etag


@dataclass(frozen=True)
class IdcSource:
    """The archive's buckets, read with s5cmd.

    Attributes:
        patience: ``stall_s`` is the longest time without any progress.
        endpoint: Address of another S3 server than Amazon's.
        workers: Number of simultaneous transfers per series.
    """

    patience: Patience
    endpoint: str | None = None
    workers: int = 8

    def fetch(
        self,
        series: RemoteSeries,
        folder: Path,
        *,
        on_bytes: Callable[[int], None],
        stop: Event,
    ) -> None:
        """Download every file of ``series`` into ``folder`` and check size and MD5 of each.

        One call is one attempt; intact files of an earlier call are kept.

        Args:
            series: Series to download.
            folder: Folder of this series; any other files in it are removed.
            on_bytes: Called with the number of new bytes, those of intact files included. A call
                that fails subtracts everything that it has counted.
            stop: Set to end the transfer within a second.

        Raises:
            TransientError: A retry may help.
            TransferError: A retry will not help: the series is not public, gone, or has another
                number of files than in the index; or ``stop`` was set.
            OSError: The disk is full or cannot be written to.
        """
        s5cmd = S5cmd(f"series {series.series_uid}", self.endpoint, self.patience, stop)
        with counting(on_bytes) as count:
            remote = _list(s5cmd, series)
            folder.mkdir(parents=True, exist_ok=True)
            _remove_others(folder, {file.name for file in remote})
            missing = [file for file in remote if not file.is_whole(folder / file.name)]
            count(sum(file.size_bytes for file in remote if file not in missing))
            if missing:
                sources = [file.address for file in missing]
                # One pattern for all files spares the server a question about each.
                if len(missing) == len(remote):
                    sources = [f"{series.location}*"]
                self._copy(s5cmd, sources, folder, count)
                _refuse_damaged(s5cmd.where, missing, folder)

    def _copy(
        self, s5cmd: S5cmd, sources: Iterable[str], folder: Path, count: Callable[[int], None]
    ) -> None:
        lines = "".join(f"cp --flatten {source} ./\n" for source in sources)
        options = ("--numworkers", str(self.workers), "run")
        for answer in s5cmd.run(*options, commands=lines, folder=folder):
            if answer.get("success"):
                count(int(answer["object"].get("size", 0)))


def _list(s5cmd: S5cmd, series: RemoteSeries) -> list[_RemoteFile]:
    files = [
        _RemoteFile(answer["key"], int(answer.get("size", 0)), answer.get("etag", "").strip('"'))
        for answer in s5cmd.run("ls", "--etag", f"{series.location}*")
        if answer.get("type") == "file"
    ]
    if len(files) != series.instances:
        raise TransferError(
            s5cmd.where,
            f"{len(files)} files",
            f"{series.instances} as listed in the index",
            "The archive has revised it: update idc-index-data, or try --source nbia.",
        )
    # Other names could lead out of the folder, or be patterns to s5cmd.
    for file in files:
        if file.address != series.location + file.name or not _PLAIN_NAME.fullmatch(file.name):
            expected = "letters, digits, dots and dashes, and no folders"
            raise TransferError(s5cmd.where, f"a file named {file.address!r}", expected)
    return files


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove everything but the files of the series, e.g. unfinished files of a killed run."""
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _refuse_damaged(where: str, files: list[_RemoteFile], folder: Path) -> None:
    damaged = [file.name for file in files if not file.is_whole(folder / file.name)]
    for name in damaged:
        (folder / name).unlink(missing_ok=True)
    if damaged:
        found = f"wrong size or MD5 in {len(damaged)} of {len(files)} files ({damaged[0]})"
        raise TransientError(where, found, "sizes and MD5 as listed by the archive", RETRY)
