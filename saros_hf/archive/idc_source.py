"""Series from NCI Imaging Data Commons: anonymous S3, one file an instance."""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event

from ..errors import TransferError, TransientError
from ..files import md5
from .http_download import counting
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
        patience: Its ``stall_s`` is how long a connection may be silent.
        endpoint: Address of another S3 server than Amazon's.
        workers: Files at once, of one series.
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
        """Bring every file of ``series`` into ``folder`` and check size and MD5 of each.

        One call is one try; files that are there and whole are not fetched again.

        Args:
            series: What to fetch.
            folder: Belongs to this series alone; strangers in it are removed.
            on_bytes: Called with the number of bytes that have just arrived, those of files
                that were there included. A call that fails takes back all that it has counted.
            stop: Set to give up within a second.

        Raises:
            TransientError: Worth another call.
            TransferError: Not worth another call: forbidden, gone, or revised since the index was
                made, so that the number of files is another one.
            OSError: The disk is full or cannot be written to.
        """
        s5cmd = S5cmd(f"series {series.series_uid}", self.endpoint, self.patience, stop)
        with counting(on_bytes) as count:
            remote = self._list(s5cmd, series)
            folder.mkdir(parents=True, exist_ok=True)
            _remove_strangers(folder, {file.name for file in remote})
            missing = [file for file in remote if not file.is_whole(folder / file.name)]
            count(sum(file.size_bytes for file in remote) - _size_bytes(missing))
            if missing:
                sources = [file.address for file in missing]
                # One address for all of them spares the server a question about each.
                if len(missing) == len(remote):
                    sources = [f"{series.location}*"]
                self._copy(s5cmd, sources, folder, count)
                _refuse_damaged(s5cmd.where, missing, folder)

    def _list(self, s5cmd: S5cmd, series: RemoteSeries) -> list[_RemoteFile]:
        answers = s5cmd.run("ls", "--etag", f"{series.location}*")
        files = [
            _RemoteFile(
                answer["key"], int(answer.get("size", 0)), answer.get("etag", "").strip('"')
            )
            for answer in answers
            if answer.get("type") == "file"
        ]
        if len(files) != series.instances:
            raise TransferError(
                s5cmd.where,
                f"{len(files)} files",
                f"{series.instances} as listed in the index",
                "The archive has revised it: update idc-index-data, or try --source nbia.",
            )
        # Anything else could leave the folder, or be a pattern to s5cmd, which lists once more.
        odd = [
            file.address
            for file in files
            if file.address != series.location + file.name or not _PLAIN_NAME.fullmatch(file.name)
        ]
        if odd:
            raise TransferError(
                s5cmd.where,
                f"a file named {odd[0]!r}",
                "letters, digits, dots and dashes, and no folders",
                "Do not trust this archive; nothing was fetched.",
            )
        return files

    def _copy(
        self, s5cmd: S5cmd, sources: Iterable[str], folder: Path, count: Callable[[int], None]
    ) -> None:
        lines = "".join(f"cp --flatten {source} ./\n" for source in sources)
        options = ("--numworkers", str(self.workers), "run")
        for answer in s5cmd.run(*options, commands=lines, folder=folder):
            if answer.get("success"):
                count(int(answer["object"].get("size", 0)))


def _remove_strangers(folder: Path, names: set[str]) -> None:
    """Remove what is no file of the series, such as half files of a killed run."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in names or path.is_symlink():
            path.unlink()


def _refuse_damaged(where: str, files: list[_RemoteFile], folder: Path) -> None:
    damaged = [file.name for file in files if not file.is_whole(folder / file.name)]
    for name in damaged:
        (folder / name).unlink(missing_ok=True)
    if damaged:
        raise TransientError(
            where,
            f"wrong size or MD5 in {len(damaged)} of {len(files)} files ({damaged[0]})",
            "what the archive lists",
            "Run the same command again; what has arrived whole is kept.",
        )


def _size_bytes(files: Iterable[_RemoteFile]) -> int:
    return sum(file.size_bytes for file in files)
