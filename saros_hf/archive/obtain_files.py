"""The published label maps and case table: found, given or downloaded, and checked."""

import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event
from urllib.parse import urlsplit

from ..cases.case import Case
from ..cases.table import TABLE_NAME, find_table, read_case_table, tables_in
from ..errors import MissingFileError, TableError, TransientError, UnreadableFileError
from ..files import sha256, write_atomically
from .http_download import counting, download, ignore
from .mask_archive import MaskArchive
from .official_files import MASKS, TABLE, OfficialFile, is_url, shown, warn_if_unknown
from .retry import Patience, with_retries

__all__ = ["MASKS", "TABLE", "MaskArchive", "OfficialFile", "obtain_masks", "obtain_table"]

_PLAIN_NAME = re.compile(r"\w[\w.-]*")


def obtain_table(
    folder: Path,
    given: str | Path | None,
    *,
    patience: Patience,
    stop: Event,
    on_warning: Callable[[str], None],
) -> Path:
    """Return the case table in ``folder``, put there if it was not.

    Args:
        folder: ``DIR`` of ``DIR/case_XXX``; made if need be.
        given: Path or address of a table; ``None`` takes the one in ``folder``, or else the
            published one.
        patience: With the archive.
        stop: Set to give up a download within a second.
        on_warning: Told if the table is none of the published ones.

    Raises:
        TableError: The table has a column or value that cannot be right, or it lists other
            cases than the one in ``folder``.
        MissingFileError: There is no file at ``given``, or more than one table in ``folder``.
        TransferError: It cannot be downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = find_table(folder) if tables_in(folder) else None
    if present is not None and given is None:
        count = len(_read_table(present, present))
        warn_if_unknown(present, TABLE, count, str(present), on_warning)
        return present
    source = TABLE.url if given is None else given
    with tempfile.TemporaryDirectory(prefix=".table-", dir=folder) as aside:
        arrived = _bring_table(source, Path(aside), patience=patience, stop=stop)
        cases = _read_table(arrived, source)
        warn_if_unknown(arrived, TABLE, len(cases), shown(source), on_warning)
        if present is not None:
            _refuse_other_cases(cases, present, source)
            return present
        name = arrived.name if tables_in(arrived.parent) else TABLE_NAME
        with write_atomically(folder / name) as written:
            shutil.copyfile(arrived, written)
    return folder / name


def obtain_masks(
    folder: Path,
    given: str | Path | None,
    *,
    patience: Patience,
    stop: Event,
    on_bytes: Callable[[int], None] = ignore,
    on_warning: Callable[[str], None],
) -> MaskArchive:
    """Return the archive of all label maps, downloaded to ``folder`` if need be.

    Args:
        folder: Where the archive is looked for and downloaded to.
        given: Path of an archive, used where it is, or an address; ``None`` means the
            published one.
        patience: With the archive.
        stop: Set to give up a download within a second.
        on_bytes: Called with bytes that have arrived in ``folder`` or were there.
        on_warning: Told if the archive is not the published one.

    Raises:
        MissingFileError: There is no file at ``given``.
        UnreadableFileError: It is no whole ZIP of label maps.
        TransferError: It cannot be downloaded.
    """
    if given is not None and not is_url(given):
        return _checked(Path(given), on_warning)
    path = folder / MASKS.name
    if given is None or given == MASKS.url:
        if _is_published(path):
            on_bytes(MASKS.size_bytes)
        else:
            bring = partial(_bring_published, path, patience, stop, on_bytes)
            with_retries(bring, patience=patience, stop=stop)
        return MaskArchive(path)
    if _is_whole(path):
        on_bytes(path.stat().st_size)
    else:
        bring = partial(download, str(given), path, patience=patience, stop=stop, on_bytes=on_bytes)
        with_retries(bring, patience=patience, stop=stop)
    try:
        return _checked(path, on_warning)
    except UnreadableFileError:
        path.unlink()
        raise


def _bring_table(source: str | Path, aside: Path, *, patience: Patience, stop: Event) -> Path:
    """Return a copy in ``aside``, named as the source is."""
    if is_url(source):
        name = PurePosixPath(urlsplit(str(source)).path).name
        path = aside / (name if _PLAIN_NAME.fullmatch(name) else TABLE_NAME)
        bring = partial(download, str(source), path, patience=patience, stop=stop)
        with_retries(bring, patience=patience, stop=stop)
        return path
    _refuse_missing(Path(source), "a Segmentation Info CSV")
    return Path(shutil.copyfile(source, aside / Path(source).name))


def _read_table(path: Path, source: str | Path) -> tuple[Case, ...]:
    """Return the cases of a table that came from ``source``, which errors then name."""
    try:
        return read_case_table(path)
    except TableError as error:
        raise TableError(
            error.where.replace(str(path), shown(source)),  # it also says which line
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def _refuse_other_cases(cases: tuple[Case, ...], present: Path, source: str | Path) -> None:
    other = frozenset(cases) ^ frozenset(_read_table(present, present))
    if other:
        count = len({case.case_id for case in other})
        raise TableError(
            shown(source),
            f"{count} cases that differ from those in {present}",
            "the same cases",
            "Leave the option out, or move the table in the folder away.",
        )


def _refuse_missing(path: Path, expected: str) -> None:
    if not path.is_file():
        raise MissingFileError(
            path,
            "no such file",
            expected,
            "Check the path, or leave the option out to download it.",
        )


def _checked(path: Path, on_warning: Callable[[str], None]) -> MaskArchive:
    _refuse_missing(path, "the .zip of the SAROS label maps")
    archive = MaskArchive(path)
    warn_if_unknown(path, MASKS, len(archive.case_ids), str(path), on_warning)
    return archive


def _is_published(path: Path) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == MASKS.size_bytes
        and MASKS.is_version(sha256(path))
    )


def _is_whole(path: Path) -> bool:
    try:
        return path.is_file() and bool(MaskArchive(path).case_ids)
    except UnreadableFileError:
        return False


def _bring_published(
    path: Path, patience: Patience, stop: Event, on_bytes: Callable[[int], None]
) -> None:
    with counting(on_bytes) as count:
        download(
            MASKS.url,
            path,
            patience=patience,
            stop=stop,
            on_bytes=count,
            expected_bytes=MASKS.size_bytes,
        )
        digest = sha256(path)
        if not MASKS.is_version(digest):
            path.unlink()
            raise TransientError(
                MASKS.url,
                f"sha256 {digest}, another file than the published one",
                f"sha256 {' or '.join(MASKS.sha256)}",
                "Fetch it with a browser and give that file.",
            )
