import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from helpers.case_folders import case
from helpers.loopback import GARBAGE, Body, Cut, Loopback, Status
from helpers.mask_zip import write_masks

from saros_hf.archive import obtain_files
from saros_hf.archive.obtain_files import MASKS, TABLE, MaskArchive, OfficialFile
from saros_hf.archive.retry import Patience
from saros_hf.cases.table import read_case_table, write_case_table
from saros_hf.errors import (
    MissingFileError,
    TableError,
    TransferError,
    TransientError,
    UnreadableFileError,
)

PATIENCE = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.002, stall_s=1)
TABLE_PATH = "/uploads/Segmentation-Info_09-29-2023.csv"
MASKS_PATH = "/uploads/SAROS-v2.zip"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """The web site with label maps and case table, and a folder to download to."""

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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with two cases; its first files are the published ones."""
    write_case_table(tmp_path / "made.csv", [case("case_000"), case("case_001")])
    table = (tmp_path / "made.csv").read_bytes()
    zipped = write_masks(tmp_path / "made.zip").read_bytes()
    with Loopback({TABLE_PATH: table, MASKS_PATH: zipped}) as server:
        official = OfficialFile(server.url(TABLE_PATH), len(table), ("0" * 64, sha256(table)[:12]))
        monkeypatch.setattr(obtain_files, "TABLE", official)
        official = OfficialFile(server.url(MASKS_PATH), len(zipped), (sha256(zipped),))
        monkeypatch.setattr(obtain_files, "MASKS", official)
        yield Site(server, tmp_path / "data", table, zipped)


def test_official_names() -> None:
    assert MASKS.name == "SAROS-Collection-NIfTI-files-v2_03-70-2024.zip"
    assert TABLE.name == "Segmentation-Info_09-29-2023.csv"
    assert TABLE.is_version("66d932459fbb" + "0" * 52)
    assert not TABLE.is_version("66d932459fbc" + "0" * 52)


def test_official_table_is_downloaded_once(site: Site) -> None:
    path = site.obtain_table()
    assert path == site.folder / "Segmentation-Info_09-29-2023.csv"
    assert path.read_bytes() == site.table
    assert site.obtain_table() == path
    assert len(site.server.requests) == 1
    assert site.names() == [path.name]
    assert site.warnings == []


def test_table_download_is_retried(site: Site) -> None:
    site.server.fail(TABLE_PATH, Status(503), Cut(9))
    assert site.obtain_table().read_bytes() == site.table
    assert len(site.server.requests) == 3


def test_invalid_table_from_the_server_is_refused(site: Site) -> None:
    header = site.table.splitlines()[0]
    long_field = Body(header + b'\n"' + b"x" * 200_000)
    site.server.fail(TABLE_PATH, GARBAGE, Body(header), long_field)
    for message in (
        "found no column id, .*TCIA",
        "found no case, expected one row",
        r"found a file that is not CSV text \(field larger",
    ):
        with pytest.raises(TableError, match=rf"{TABLE_PATH}: {message}"):
            site.obtain_table()
    assert site.names() == []


def test_unknown_version_of_the_table_warns(site: Site) -> None:
    site.server.files[TABLE_PATH] += b"\n"
    site.obtain_table()
    site.obtain_table()
    digest = sha256(site.table + b"\n")
    assert site.warnings == [
        f"{where}: found sha256 {digest}, expected {'0' * 64} or {sha256(site.table)[:12]}; "
        "its content is valid: 2 cases"
        for where in (obtain_files.TABLE.url, site.folder / "Segmentation-Info_09-29-2023.csv")
    ]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("segmentation_info_mine.csv", "segmentation_info_mine.csv"),
        ("x.txt", "Segmentation-Info.csv"),
    ],
)
def test_given_table_is_copied(site: Site, tmp_path: Path, name: str, kept: str) -> None:
    (tmp_path / name).write_bytes(site.table)
    path = site.obtain_table(tmp_path / name)
    assert path == site.folder / kept
    assert path.read_bytes() == site.table
    assert site.server.requests == []
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/Segmentation-Info-v3.csv", "Segmentation-Info-v3.csv"),
        ("/table?token=1", "Segmentation-Info.csv"),
        ("/%2E%2E", "Segmentation-Info.csv"),
        ("/", "Segmentation-Info.csv"),
    ],
)
def test_table_from_a_given_address(site: Site, path: str, name: str) -> None:
    site.server.files[path.partition("?")[0]] = site.table
    assert site.obtain_table(site.server.url(path)) == site.folder / name
    assert site.names() == [name]


def test_given_table_with_the_same_cases_is_accepted(site: Site, tmp_path: Path) -> None:
    present = site.obtain_table()
    write_case_table(tmp_path / "mine.csv", reversed(read_case_table(present)))
    assert site.obtain_table(tmp_path / "mine.csv") == present
    assert site.obtain_table(present) == present
    assert site.names() == [present.name]


def test_given_table_with_other_cases_is_refused(site: Site, tmp_path: Path) -> None:
    present = site.obtain_table()
    write_case_table(tmp_path / "mine.csv", [case("case_000"), case("case_001", "test")])
    message = rf"mine\.csv: found 1 cases that differ from those in {present}, expected the same"
    with pytest.raises(TableError, match=message):
        site.obtain_table(tmp_path / "mine.csv")
    assert present.read_bytes() == site.table


def test_invalid_given_table_is_refused(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(site.table.replace(b"female", b"woman", 1))
    with pytest.raises(TableError, match=rf"{path}, line 2: found gender = 'woman'"):
        site.obtain_table(path)
    with pytest.raises(MissingFileError, match=r"nowhere\.csv: found no such file"):
        site.obtain_table(tmp_path / "nowhere.csv")
    assert site.names() == []


def test_official_masks_are_downloaded_once(site: Site) -> None:
    archive = site.obtain_masks()
    assert archive.path == site.folder / "SAROS-v2.zip"
    assert archive.path.read_bytes() == site.zipped
    assert site.names() == ["SAROS-v2.zip"]
    assert sum(site.arrived) == len(site.zipped)
    assert site.warnings == []
    site.obtain_masks()
    assert len(site.server.requests) == 1
    assert sum(site.arrived) == 2 * len(site.zipped)


def test_interrupted_download_of_masks_is_resumed(site: Site) -> None:
    site.server.fail(MASKS_PATH, Cut(700), Status(502))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    ranges = [one.headers.get("range") for one in site.server.requests]
    assert ranges == [None, "bytes=700-", "bytes=700-"]
    assert sum(site.arrived) == len(site.zipped)


def spoilt(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 0xFF]) + content[101:]


def test_other_masks_than_published_are_downloaded_again(site: Site) -> None:
    site.server.fail(MASKS_PATH, Body(spoilt(site.zipped)))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    assert len(site.server.requests) == 2
    assert sum(site.arrived) == len(site.zipped)


def test_other_masks_than_published_are_refused(site: Site) -> None:
    site.server.files[MASKS_PATH] = spoilt(site.zipped)
    with pytest.raises(TransientError, match=r"another file than the published one, expected sha"):
        site.obtain_masks()
    assert len(site.server.requests) == 3
    assert site.names() == []
    assert sum(site.arrived) == 0
    site.server.files[MASKS_PATH] += b"x"
    with pytest.raises(TransferError, match=r"bytes, expected \d+ bytes\. The file may have been"):
        site.obtain_masks()
    assert len(site.server.requests) == 4
    assert site.names() == []


def test_damaged_masks_in_the_folder_are_replaced(site: Site) -> None:
    path = site.obtain_masks().path
    path.write_bytes(spoilt(site.zipped))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    assert site.warnings == []


def test_given_masks_are_used_with_a_warning(site: Site, tmp_path: Path) -> None:
    path = write_masks(tmp_path / "mine.zip", ["case_007"])
    archive = site.obtain_masks(str(path))
    assert archive.path == path
    assert archive.case_ids == {"case_007"}
    digests = f"sha256 {sha256(path.read_bytes())}, expected {sha256(site.zipped)}"
    assert site.warnings == [f"{path}: found {digests}; its content is valid: 1 cases"]
    assert not site.folder.exists()
    assert site.server.requests == []


def test_invalid_given_masks_are_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.zip: found no such file"):
        site.obtain_masks(tmp_path / "nowhere.zip")
    (tmp_path / "cut.zip").write_bytes(site.zipped[:99])
    with pytest.raises(UnreadableFileError, match=r"cut\.zip: found an invalid or incomplete"):
        site.obtain_masks(tmp_path / "cut.zip")
    assert (tmp_path / "cut.zip").exists()


def test_masks_from_a_given_address(site: Site, tmp_path: Path) -> None:
    site.server.fail("/mirror.zip", GARBAGE)
    with pytest.raises(UnreadableFileError, match=r"invalid or incomplete \.zip"):
        site.obtain_masks(site.server.url("/mirror.zip"))
    assert site.names() == []
    mine = write_masks(tmp_path / "mine.zip", ["case_007"]).read_bytes()
    site.server.files["/mirror.zip"] = mine
    for _ in range(2):
        archive = site.obtain_masks(site.server.url("/mirror.zip"))
    assert archive.path == site.folder / "SAROS-v2.zip"
    assert archive.case_ids == {"case_007"}
    assert len(site.warnings) == 2
    assert len(site.server.requests) == 2
    assert site.obtain_masks().case_ids == {"case_000", "case_001"}
