"""All archives of a download on loopback, and a folder to download to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from helpers.archive_world import CASE_IDS, IMPATIENT, World, finished, leftovers
from helpers.loopback import NBIA, Loopback
from helpers.s3_server import S3Server, write_index

from saros_hf.acquire.download import Download, SourceName
from saros_hf.acquire.outcomes import Outcome
from saros_hf.acquire.plan import Selection
from saros_hf.acquire.workspace import WORK_NAME
from saros_hf.archive.retry import Patience

MASKS = "/uploads/masks.zip"
TABLE = "/uploads/Segmentation-Info.csv"


@dataclass
class Archives:
    """Runs while its context lasts.

    Attributes:
        endpoint: Address of the archive of the CTs, ``None`` for the right one.
    """

    world: World
    folder: Path
    jobs: int = 2
    patience: Patience = IMPATIENT
    endpoint: str | None = None
    selection: Selection = field(default_factory=Selection)
    keep_dicom: bool = False
    web: Loopback = field(default_factory=Loopback)
    s3: S3Server = field(default_factory=S3Server)

    def __enter__(self) -> Self:
        self.web.__enter__()
        self.s3.__enter__()
        self.publish()
        return self

    def __exit__(self, *_: object) -> None:
        self.s3.__exit__()
        self.web.__exit__()

    def publish(self) -> None:
        """Serve the files of the world."""
        self.web.files[MASKS] = self.world.masks.read_bytes()
        self.web.files[TABLE] = self.world.table.read_bytes()
        self.web.series = dict(self._series())
        for uid, bodies in self._series().items():
            self.s3.put(uid, bodies)
        self.write_index()

    def write_index(self, *, more: int = 0, without: Sequence[str] = ()) -> None:
        """Write the index, with ``more`` instances per series, or without some cases."""
        withheld = [one.series_instance_uid for one in self.world.cases if one.case_id in without]
        series = {
            uid: [*bodies, *[b""] * more]
            for uid, bodies in self._series().items()
            if uid not in withheld
        }
        write_index(self.index, series)

    @property
    def index(self) -> Path:
        return self.world.root / "index.parquet"

    def _series(self) -> Mapping[str, Sequence[bytes]]:
        return {
            one.series_instance_uid: [p.read_bytes() for p in self.world.series(one.case_id)]
            for one in self.world.cases
        }

    def download(self, source: SourceName) -> list[Outcome]:
        endpoint = {"idc": self.s3.url, "nbia": self.web.url(NBIA)}[source]
        download = Download(
            folder=self.folder,
            selection=self.selection,
            keep_dicom=self.keep_dicom,
            source=source,
            endpoint=self.endpoint or endpoint,
            table=self.web.url(TABLE),
            masks=self.web.url(MASKS),
            index=self.index,
            jobs=self.jobs,
            patience=self.patience,
        )
        return download.run(download.plan(dry_run=False))

    def arguments(self) -> list[str]:
        """Return the command line arguments for the same download from IDC."""
        options = {
            "--endpoint": self.s3.url,
            "--table": self.web.url(TABLE),
            "--masks": self.web.url(MASKS),
            "--index": str(self.index),
            "--jobs": str(self.jobs),
        }
        return [str(self.folder), *(word for option in options.items() for word in option)]

    def one_failure(self, source: SourceName) -> str:
        """Download, and return the reason of the only failure; the other cases must be complete."""
        (failed,) = (one for one in self.download(source) if one.status == "failed")
        assert failed.path is None
        assert finished(self.folder) == [one for one in CASE_IDS if one != failed.case_id]
        assert leftovers(self.folder) == []
        return failed.reason

    def recover(self, source: SourceName) -> None:
        """Check that the same command finishes the missing cases and keeps the others."""
        before = {path: path.stat().st_ino for path in self.folder.glob("case_*/*")}
        failed = [one.reason for one in self.download(source) if one.status == "failed"]
        assert failed == []
        assert finished(self.folder) == list(CASE_IDS)
        assert all(path.stat().st_ino == inode for path, inode in before.items())
        assert not (self.folder / WORK_NAME).exists()
        assert leftovers(self.folder) == []
