"""What the archive has published: addresses, sizes and hashes to know it by."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ..files import sha256
from .http_request import public_url

_UPLOADS = "https://www.cancerimagingarchive.net/wp-content/uploads/"


@dataclass(frozen=True)
class OfficialFile:
    """A file of the SAROS collection at The Cancer Imaging Archive.

    Attributes:
        sha256: One hex digest, or its beginning, per version in circulation.
    """

    url: str
    size_bytes: int
    sha256: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name that the archive gives it."""
        return PurePosixPath(urlsplit(self.url).path).name

    def is_version(self, digest: str) -> bool:
        """Return whether a file with this SHA-256 is a published one."""
        return any(digest.startswith(known) for known in self.sha256)


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


def is_url(source: str | Path) -> bool:
    """Return whether a file is meant that lies on a web server."""
    return isinstance(source, str) and re.match(r"https?://", source, re.IGNORECASE) is not None


def shown(source: str | Path) -> str:
    """Return how messages name a source, an address without its secrets."""
    return public_url(str(source)) if is_url(source) else str(source)


def warn_if_unknown(
    path: Path, official: OfficialFile, cases: int, where: str, on_warning: Callable[[str], None]
) -> None:
    """Tell ``on_warning`` that a file with valid content is not as it was published."""
    digest = sha256(path)
    if not official.is_version(digest):
        on_warning(
            f"{where}: found sha256 {digest}, expected {' or '.join(official.sha256)}; "
            f"its content is valid: {cases} cases"
        )
