"""The ZIP of all label maps, read case by case."""

import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from threading import Event
from zipfile import ZipFile, ZipInfo

import aiohttp
import fsspec

from ..errors import MissingFileError, TransferError, TransientError, UnreadableFileError, causes
from ..files import write_atomically
from ..labels import TASKS, Task
from .http_download import RETRY, public_url, status_error
from .retry import Patience, with_retries
from .unzip import file_members, open_zip, refuse_unsafe

_MEMBER_LIMIT_BYTES = 512 << 20
_BLOCK_BYTES = 256 << 10
_CASE = re.compile(r"case_\d{3,}")
_TASK_OF: Mapping[str, Task] = {f"{task}.nii.gz": task for task in TASKS}
_EXPECTED = "the SAROS label maps, <stem>/case_XXX/body-regions.nii.gz"
_REMEDY = "Delete it and run the same command again, or download it again."


class MaskArchive:
    """Label maps in a ZIP with ``case_XXX/body-{regions,parts}.nii.gz`` at any depth.

    Every method opens the ZIP again, so that threads and worker processes can share one
    instance.

    Args:
        path: The ZIP.

    Raises:
        UnreadableFileError: From every method, if the file is not an intact ZIP, has an unsafe
            or too large member, no case, or the same label map twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    @property
    def case_ids(self) -> frozenset[str]:
        """Cases with at least one label map."""
        return frozenset(self._members)

    def tasks_of(self, case_id: str) -> tuple[Task, ...]:
        """Return the tasks with a label map of a case, none for an unknown case."""
        return tuple(self._members.get(case_id, {}))

    def extract_case(self, case_id: str, folder: Path) -> dict[Task, Path]:
        """Write the label maps of a case into ``folder``, byte by byte as they are.

        Returns:
            Paths of ``body-regions`` and, if the case has them, ``body-parts``.

        Raises:
            MissingFileError: There are no body regions of that case.
        """
        members = self._members.get(case_id, {})
        if "body-regions" not in members:
            expected = f"{case_id}/body-regions.nii.gz"
            raise MissingFileError(self.path, f"no body regions of {case_id}", expected)
        paths = {task: folder / f"{task}.nii.gz" for task in members}
        with self._open() as archive:
            for task, member in members.items():
                with (
                    archive.open(member) as packed,
                    write_atomically(paths[task]) as aside,
                    aside.open("wb") as file,
                ):
                    shutil.copyfileobj(packed, file, 1 << 20)
        return paths

    def holds(self, case_id: str, task: Task, path: Path) -> bool:
        """Return whether a file has size and CRC of the label map of a case."""
        member = self._members.get(case_id, {}).get(task)
        if member is None or member.file_size != path.stat().st_size:
            return False
        return zlib.crc32(path.read_bytes()) == member.CRC

    @cached_property
    def _members(self) -> Mapping[str, Mapping[Task, ZipInfo]]:
        cases: dict[str, dict[Task, ZipInfo]] = {}
        with self._open() as archive:
            members = file_members(archive)
        for member in members:
            refuse_unsafe(member, self.path)
            parts = PurePosixPath(member.filename).parts
            *_, folder, name = ("", *parts)
            if name not in _TASK_OF or not _CASE.fullmatch(folder) or "__MACOSX" in parts:
                continue
            tasks = cases.setdefault(folder, {})
            if _TASK_OF[name] in tasks:
                raise self._unreadable(f"{name} of {folder} twice")
            if member.file_size > _MEMBER_LIMIT_BYTES:
                raise self._unreadable(f"{member.filename} of {member.file_size} bytes")
            tasks[_TASK_OF[name]] = member
        if not cases:
            raise self._unreadable(f"no label map among {len(members)} files")
        return {
            case_id: {task: tasks[task] for task in TASKS if task in tasks}
            for case_id, tasks in cases.items()
        }

    def _open(self) -> AbstractContextManager[ZipFile]:
        return open_zip(self.path, _EXPECTED, _REMEDY)

    def _unreadable(self, found: str) -> UnreadableFileError:
        return UnreadableFileError(self.path, found, _EXPECTED, _REMEDY)


class RemoteMaskArchive(MaskArchive):
    """The ZIP on its web server, read by HTTP ranges: the table of contents and one case.

    Args:
        url: An http or https address.
        patience: Time-outs and retries.

    Raises:
        TransferError: From every method, if the server does not support ranges or fails.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        super().__init__(public_url(url))
        self._url = url
        self._patience = patience

    def __getstate__(self) -> dict[str, object]:
        """Leave the table of contents out, so that little is sent to worker processes."""
        return {"path": self.path, "_url": self._url, "_patience": self._patience}

    def extract_case(self, case_id: str, folder: Path) -> dict[Task, Path]:
        """Write the label maps of a case into ``folder``, with retries."""
        action = partial(super().extract_case, case_id, folder)
        return with_retries(action, patience=self._patience, stop=Event())

    @contextmanager
    def _open(self) -> Iterator[ZipFile]:
        stall_s = self._patience.stall_s
        timeout = aiohttp.ClientTimeout(sock_connect=stall_s, sock_read=stall_s)
        server = fsspec.filesystem("http", client_kwargs={"timeout": timeout, "trust_env": True})
        try:
            with (
                server.open(self._url, block_size=_BLOCK_BYTES, cache_type="blockcache") as file,
                open_zip(self.path, _EXPECTED, _REMEDY, file=file) as archive,
            ):
                yield archive
        except (aiohttp.ClientError, TimeoutError, FileNotFoundError, ValueError) as error:
            raise _transfer_error(self._url, error) from error


def _transfer_error(url: str, error: Exception) -> TransferError:
    """Return the error for an exception of fsspec, whose own text may contain secrets."""
    *_, root = chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, aiohttp.ClientResponseError):
            return status_error(url, cause.status)
    if isinstance(root, ValueError):
        found, remedy = "a server without byte ranges", "Fetch the whole file: saros download DIR"
        return TransferError(public_url(url), found, "HTTP 206 (Partial Content)", remedy)
    found = f"a lost connection ({type(root).__name__})"
    return TransientError(public_url(url), found, "an answer", RETRY)
