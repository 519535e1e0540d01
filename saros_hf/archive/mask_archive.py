"""The ZIP of all label maps, read case by case."""

import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Event
from typing import IO, cast
from zipfile import ZipFile, ZipInfo

from ..errors import MissingFileError, UnreadableFileError
from ..files import write_atomically
from ..labels import TASKS, Task
from .http_request import public_url
from .remote_file import RemoteFile
from .retry import Patience
from .unzip import file_members, open_zip, refuse_unsafe

_MEMBER_LIMIT_BYTES = 512 << 20
_CASE = re.compile(r"case_\d{3,}")
_TASK_OF: Mapping[str, Task] = {f"{task}.nii.gz": task for task in TASKS}
_EXPECTED = "the SAROS label maps, <stem>/case_XXX/body-regions.nii.gz"
_REMEDY = "Delete it and run the same command again, or fetch it anew."


class MaskArchive:
    """Label maps in a ZIP with ``case_XXX/body-{regions,parts}.nii.gz`` at any depth.

    Nothing is opened before it is asked for, and every call opens the ZIP for itself, so that
    threads and worker processes can share one.

    Args:
        path: The ZIP.

    Raises:
        UnreadableFileError: From every method, if it is no whole ZIP, holds a member that is
            unsafe or unduly large, or no case or the same label map twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    @property
    def case_ids(self) -> frozenset[str]:
        """Cases with at least one label map."""
        return frozenset(self._members)

    def tasks_of(self, case_id: str) -> tuple[Task, ...]:
        """Return which label maps of a case there are, none for an unknown case."""
        return tuple(self._members.get(case_id, {}))

    def extract_case(self, case_id: str, folder: Path) -> dict[Task, Path]:
        """Write the label maps of a case into ``folder``, byte by byte as they are.

        Returns:
            ``body-regions`` and, where the case has them, ``body-parts``.

        Raises:
            MissingFileError: There are no body regions of that case.
        """
        members = self._members.get(case_id, {})
        if "body-regions" not in members:
            raise MissingFileError(
                self.path,
                f"no body regions of {case_id}",
                f"{case_id}/body-regions.nii.gz",
                "Check the case id, or use the published archive.",
            )
        paths: dict[Task, Path] = {}
        with self._open() as archive:
            for task, member in members.items():
                paths[task] = folder / f"{task}.nii.gz"
                with (
                    archive.open(member) as packed,
                    write_atomically(paths[task]) as aside,
                    aside.open("wb") as file,
                ):
                    shutil.copyfileobj(packed, file, 1 << 20)
        return paths

    def holds(self, case_id: str, task: Task, path: Path) -> bool:
        """Return whether a file is the label map of a case, byte by byte as far as a CRC tells."""
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
            *_, folder, name = ("", *PurePosixPath(member.filename).parts)
            if name not in _TASK_OF or not _CASE.fullmatch(folder) or _is_by_macos(member):
                continue
            tasks = cases.setdefault(folder, {})
            if _TASK_OF[name] in tasks:
                raise self._unreadable(f"{name} of {folder} twice")
            if member.file_size > _MEMBER_LIMIT_BYTES:
                raise self._unreadable(f"{member.filename} of {member.file_size} bytes")
            tasks[_TASK_OF[name]] = member
        if not cases:
            raise self._unreadable(f"no label map among {len(members)} files")
        return {case_id: _in_order(tasks) for case_id, tasks in cases.items()}

    def _open(self) -> AbstractContextManager[ZipFile]:
        return open_zip(self.path, _EXPECTED, _REMEDY)

    def _unreadable(self, found: str) -> UnreadableFileError:
        return UnreadableFileError(self.path, found, _EXPECTED, _REMEDY)


class RemoteMaskArchive(MaskArchive):
    """The ZIP on its web server: of each case only its own bytes are asked for.

    Args:
        url: An http or https address.
        patience: With the server.

    Raises:
        TransferError: From every method, if the server cannot be read from in parts.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        super().__init__(public_url(url))
        self._url = url
        self._patience = patience
        self._file: RemoteFile | None = None

    def __getstate__(self) -> dict[str, object]:
        """Leave out what has been read, so that workers receive a few words only."""
        return {"path": self.path, "_url": self._url, "_patience": self._patience, "_file": None}

    @contextmanager
    def _open(self) -> Iterator[ZipFile]:
        # Kept open: its table of contents is read once.
        if self._file is None:
            self._file = RemoteFile(self._url, patience=self._patience, stop=Event())
        file = cast(IO[bytes], self._file)
        with open_zip(self.path, _EXPECTED, _REMEDY, file=file) as archive:
            yield archive


def _is_by_macos(member: ZipInfo) -> bool:
    return "__MACOSX" in PurePosixPath(member.filename).parts


def _in_order(tasks: Mapping[Task, ZipInfo]) -> dict[Task, ZipInfo]:
    return {task: tasks[task] for task in TASKS if task in tasks}
