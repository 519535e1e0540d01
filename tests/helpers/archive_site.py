"""A web site with label maps and case table, on loopback."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from helpers.case_folders import case
from helpers.loopback import Loopback
from helpers.mask_zip import write_masks

from saros_hf.archive import obtain_files
from saros_hf.archive.obtain_files import MaskArchive, OfficialFile
from saros_hf.archive.retry import Patience
from saros_hf.cases.table import write_case_table

PATIENCE = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.002, stall_s=1)
TABLE_PATH = "/uploads/Segmentation-Info_09-29-2023.csv"
MASKS_PATH = "/uploads/SAROS-v2.zip"


def table_bytes(folder: Path, *case_ids: str) -> bytes:
    path = folder / "table-for-the-server"
    write_case_table(path, [case(case_id) for case_id in case_ids])
    content = path.read_bytes()
    path.unlink()
    return content


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """The archive's web site, and a folder to download to."""

    server: Loopback
    folder: Path
    table: bytes
    zipped: bytes
    warnings: list[str] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)

    def obtain_table(self, given: str | Path | None = None) -> Path:
        return obtain_files.obtain_table(
            self.folder, given, patience=PATIENCE, stop=Event(), on_warning=self.warnings.append
        )

    def obtain_masks(self, given: str | Path | None = None) -> MaskArchive:
        return obtain_files.obtain_masks(
            self.folder,
            given,
            patience=PATIENCE,
            stop=Event(),
            on_bytes=self.arrived.append,
            on_warning=self.warnings.append,
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@contextmanager
def open_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield a site with two cases; its first files are the published ones."""
    table = table_bytes(folder, "case_000", "case_001")
    zipped = write_masks(folder / "made" / "masks.zip").read_bytes()
    with Loopback({TABLE_PATH: table, MASKS_PATH: zipped}) as server:
        official = OfficialFile(server.url(TABLE_PATH), len(table), ("0" * 64, sha256(table)[:12]))
        monkeypatch.setattr(obtain_files, "TABLE", official)
        official = OfficialFile(server.url(MASKS_PATH), len(zipped), (sha256(zipped),))
        monkeypatch.setattr(obtain_files, "MASKS", official)
        yield Site(server, folder / "data", table, zipped)
