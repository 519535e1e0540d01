from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.archive_site import MASKS_PATH, Site, open_site, sha256
from helpers.loopback import GARBAGE, Body, Cut, Status
from helpers.mask_zip import write_masks

from saros_hf.archive.obtain_files import MASKS, TABLE
from saros_hf.errors import MissingFileError, TransferError, TransientError, UnreadableFileError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with open_site(tmp_path, monkeypatch) as site:
        yield site


def test_official_names() -> None:
    assert MASKS.name == "SAROS-Collection-NIfTI-files-v2_03-70-2024.zip"
    assert TABLE.name == "Segmentation-Info_09-29-2023.csv"
    assert TABLE.is_version("66d932459fbb" + "0" * 52)
    assert not TABLE.is_version("66d932459fbc" + "0" * 52)


def test_official_masks(site: Site) -> None:
    archive = site.obtain_masks()
    assert archive.path == site.folder / "SAROS-v2.zip"
    assert archive.path.read_bytes() == site.zipped
    assert site.names() == ["SAROS-v2.zip"]
    assert sum(site.arrived) == len(site.zipped)
    assert site.warnings == []


def test_masks_are_asked_for_once(site: Site) -> None:
    site.obtain_masks()
    site.obtain_masks()
    assert len(site.server.requests) == 1
    assert sum(site.arrived) == 2 * len(site.zipped)


def test_masks_go_on_where_they_broke_off(site: Site) -> None:
    site.server.fail(MASKS_PATH, Cut(700), Status(502))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    assert [one.headers.get("Range") for one in site.server.requests] == [
        None,
        "bytes=700-",
        "bytes=700-",
    ]
    assert sum(site.arrived) == len(site.zipped)


def spoilt(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 0xFF]) + content[101:]


def test_other_masks_than_published_are_fetched_again(site: Site) -> None:
    site.server.fail(MASKS_PATH, Body(spoilt(site.zipped)))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    assert len(site.server.requests) == 2
    assert sum(site.arrived) == len(site.zipped)


def test_other_masks_than_published_each_time(site: Site) -> None:
    site.server.files[MASKS_PATH] = spoilt(site.zipped)
    with pytest.raises(TransientError, match=r"another file than the published one, expected sha"):
        site.obtain_masks()
    assert len(site.server.requests) == 3
    assert site.names() == []
    assert sum(site.arrived) == 0


def test_larger_masks_than_published(site: Site) -> None:
    site.server.files[MASKS_PATH] += b"x"
    with pytest.raises(TransferError, match=r"bytes or more, expected \d+ bytes\. The archive may"):
        site.obtain_masks()
    assert len(site.server.requests) == 1
    assert site.names() == []


def test_damaged_masks_in_the_folder(site: Site) -> None:
    path = site.obtain_masks().path
    path.write_bytes(spoilt(site.zipped))
    assert site.obtain_masks().path.read_bytes() == site.zipped
    assert site.warnings == []


def test_given_masks(site: Site, tmp_path: Path) -> None:
    path = write_masks(tmp_path / "mine.zip", ["case_007"])
    archive = site.obtain_masks(str(path))
    assert archive.path == path
    assert archive.case_ids == {"case_007"}
    digest = sha256(path.read_bytes())
    (warning,) = site.warnings
    assert warning == (
        f"{path}: found sha256 {digest}, expected {sha256(site.zipped)}; "
        "its content is valid: 1 cases"
    )
    assert not site.folder.exists()
    assert site.server.requests == []


def test_given_masks_that_are_none(site: Site, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.zip: found no such file"):
        site.obtain_masks(tmp_path / "nowhere.zip")
    (tmp_path / "cut.zip").write_bytes(site.zipped[:99])
    with pytest.raises(UnreadableFileError, match=r"cut\.zip: found a file that is no whole"):
        site.obtain_masks(tmp_path / "cut.zip")
    assert (tmp_path / "cut.zip").exists()


def test_given_address_of_masks(site: Site, tmp_path: Path) -> None:
    mine = write_masks(tmp_path / "mine.zip", ["case_007"]).read_bytes()
    site.server.files["/mirror.zip"] = mine
    for _ in range(2):
        archive = site.obtain_masks(site.server.url("/mirror.zip"))
    assert archive.path == site.folder / "SAROS-v2.zip"
    assert archive.case_ids == {"case_007"}
    assert len(site.warnings) == 2
    assert len(site.server.requests) == 1
    assert site.obtain_masks().case_ids == {"case_000", "case_001"}


def test_page_in_place_of_masks(site: Site) -> None:
    site.server.fail("/mirror.zip", GARBAGE)
    with pytest.raises(UnreadableFileError, match=r"no whole \.zip"):
        site.obtain_masks(site.server.url("/mirror.zip"))
    assert site.names() == []
