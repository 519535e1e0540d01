"""The published label maps and case table: found, given or downloaded, and checked."""

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event
from urllib.parse import urlsplit

from ..cases.case import Case
from ..cases.table import TABLE_NAME, find_table, read_case_table, tables_in
from ..errors import MissingFileError, TableError, TransientError, UnreadableFileError
from ..files import sha256, write_atomically
from .http_download import counting, download, ignore, public_url
from .mask_archive import MaskArchive
from .retry import Patience, with_retries

__all__ = ["MASKS", "TABLE", "MaskArchive", "OfficialFile", "obtain_masks", "obtain_table"]

_UPLOADS = "https://www.cancerimagingarchive.net/wp-content/uploads/"
_PLAIN_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class OfficialFile:
    """A file of the SAROS collection at The Cancer Imaging Archive.

    Attributes:
        url: Address of the file.
        size_bytes: Size of the current version.
        sha256: One hex digest, or its beginning, per version in circulation.
    """

    url: str
    size_bytes: int
    sha256: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name in the archive."""
        return PurePosixPath(urlsplit(self.url).path).name

    def is_version(self, digest: str) -> bool:
        """Return whether a SHA-256 is that of a published version."""
        return digest.startswith(self.sha256)


MASKS = OfficialFile(
    url=_UPLOADS + "SAROS-Collection-NIfTI-files-v2_03-70-2024.zip",
    size_bytes=91_193_563,
    sha256=("b509ff70fa69673b0697dac711a92b0e04476780feadf089927a7c8fcd7037e5",),
)
TABLE = OfficialFile(
    url=_UPLOADS + "Segmentation-Info_09-29-2023.csv",
    size_bytes=180_787,
    sha256=("dac6df664279965567b79ff816a23d6f851cd7ab23340e81ff581c9b079c0cb1", "66d932459fbb"),
)


def obtain_table(
    folder: Path,
    given: str | Path | None,
    *,
    patience: Patience,
    stop: Event,
    on_warning: Callable[[str], None],
) -> Path:
    """Return the case table in ``folder``; a missing one is copied or downloaded.

    Args:
        folder: ``DIR`` of ``DIR/case_XXX``; created if missing.
        given: Path or address of a table; ``None`` takes the one in ``folder``, or else the
            published one.
        patience: Time-outs and retries.
        stop: Set to end a download.
        on_warning: Called with a message if the table is not a published one.

    Raises:
        TableError: The table has an invalid column or value, or lists other cases than the one
            in ``folder``.
        MissingFileError: There is no file at ``given``, or more than one table in ``folder``.
        TransferError: The download failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = find_table(folder) if tables_in(folder) else None
    if present is not None and given is None:
        _warn_if_unknown(present, TABLE, len(read_case_table(present)), present, on_warning)
        return present
    source = TABLE.url if given is None else given
    with tempfile.TemporaryDirectory(prefix=".table-", dir=folder) as aside:
        arrived = _copy_table(source, Path(aside), patience, stop)
        cases = _read_table(arrived, source)
        _warn_if_unknown(arrived, TABLE, len(cases), _shown(source), on_warning)
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
    """Return the archive of all label maps, downloaded to ``folder`` if it is missing there.

    Args:
        folder: Folder to search and to download to.
        given: Path of an archive, used at its place, or an address; ``None`` means the
            published one.
        patience: Time-outs and retries.
        stop: Set to end a download.
        on_bytes: Called with the number of new bytes, those of a complete file included.
        on_warning: Called with a message if the archive is not the published one.

    Raises:
        MissingFileError: There is no file at ``given``.
        UnreadableFileError: It is not an intact ZIP of label maps.
        TransferError: The download failed.
    """
    if given is not None and not is_url(given):
        return _checked(Path(given), on_warning)
    path = folder / MASKS.name
    official = given is None or given == MASKS.url
    if official:
        fetch = partial(_download_published, path, patience, stop, on_bytes)
    else:
        fetch = partial(download, str(given), path, patience=patience, stop=stop, on_bytes=on_bytes)
    if _is_published(path) if official else _has_label_maps(path):
        on_bytes(path.stat().st_size)
    else:
        with_retries(fetch, patience=patience, stop=stop)
    if official:
        return MaskArchive(path)
    try:
        return _checked(path, on_warning)
    except UnreadableFileError:
        path.unlink()
        raise


def _copy_table(source: str | Path, aside: Path, patience: Patience, stop: Event) -> Path:
    """Return a copy in ``aside`` with the name of the source."""
    if is_url(source):
        name = PurePosixPath(urlsplit(str(source)).path).name
        path = aside / (name if _PLAIN_NAME.fullmatch(name) else TABLE_NAME)
        fetch = partial(download, str(source), path, patience=patience, stop=stop)
        with_retries(fetch, patience=patience, stop=stop)
        return path
    _refuse_missing(Path(source), "a Segmentation Info CSV")
    return Path(shutil.copyfile(source, aside / Path(source).name))


def _read_table(path: Path, source: str | Path) -> tuple[Case, ...]:
    """Return the cases of a temporary copy; errors name its source."""
    try:
        return read_case_table(path)
    except TableError as error:
        where = error.where.replace(str(path), _shown(source))  # it also has the line number
        raise TableError(where, error.found, error.expected, error.remedy) from error


def _refuse_other_cases(cases: tuple[Case, ...], present: Path, source: str | Path) -> None:
    other = frozenset(cases) ^ frozenset(read_case_table(present))
    if other:
        count = len({case.case_id for case in other})
        raise TableError(
            _shown(source),
            f"{count} cases that differ from those in {present}",
            "the same cases",
            "Leave the option out, or move the table in the folder away.",
        )


def _refuse_missing(path: Path, expected: str) -> None:
    if not path.is_file():
        remedy = "Check the path, or leave the option out to download it."
        raise MissingFileError(path, "no such file", expected, remedy)


def _checked(path: Path, on_warning: Callable[[str], None]) -> MaskArchive:
    _refuse_missing(path, "the .zip of the SAROS label maps")
    archive = MaskArchive(path)
    _warn_if_unknown(path, MASKS, len(archive.case_ids), path, on_warning)
    return archive


def _is_published(path: Path) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == MASKS.size_bytes
        and MASKS.is_version(sha256(path))
    )


def _has_label_maps(path: Path) -> bool:
    try:
        return path.is_file() and bool(MaskArchive(path).case_ids)
    except UnreadableFileError:
        return False


def _download_published(
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


def is_url(source: str | Path) -> bool:
    return isinstance(source, str) and re.match(r"https?://", source, re.IGNORECASE) is not None


def _shown(source: str | Path) -> str:
    """Return a source for messages, an address without its secrets."""
    return public_url(str(source)) if is_url(source) else str(source)


def _warn_if_unknown(
    path: Path,
    official: OfficialFile,
    cases: int,
    where: str | Path,
    on_warning: Callable[[str], None],
) -> None:
    """Warn if a file with valid content is not a published version."""
    digest = sha256(path)
    if not official.is_version(digest):
        on_warning(
            f"{where}: found sha256 {digest}, expected {' or '.join(official.sha256)}; "
            f"its content is valid: {cases} cases"
        )
