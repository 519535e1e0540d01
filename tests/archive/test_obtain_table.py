from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.archive_site import TABLE_PATH, Site, open_site, sha256
from helpers.case_folders import case
from helpers.loopback import GARBAGE, Body, Cut, Status

from saros_hf.archive import obtain_files as masks
from saros_hf.cases.table import read_case_table, write_case_table
from saros_hf.errors import MissingFileError, TableError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with open_site(tmp_path, monkeypatch) as site:
        yield site


def test_official_table(site: Site) -> None:
    path = site.obtain_table()
    assert path == site.folder / "Segmentation-Info_09-29-2023.csv"
    assert path.read_bytes() == site.table
    assert site.names() == [path.name]
    assert site.warnings == []


def test_table_is_asked_for_once(site: Site) -> None:
    first = site.obtain_table()
    assert site.obtain_table() == first
    assert len(site.server.requests) == 1


def test_table_download_is_tried_again(site: Site) -> None:
    site.server.fail(TABLE_PATH, Status(503), Cut(9))
    assert site.obtain_table().read_bytes() == site.table
    assert len(site.server.requests) == 3


def test_page_in_place_of_the_table(site: Site) -> None:
    header = site.table.splitlines()[0]
    long_field = Body(header + b'\n"' + b"x" * 200_000)
    site.server.fail(TABLE_PATH, GARBAGE, Body(header), long_field)
    with pytest.raises(TableError, match=rf"{TABLE_PATH}: found no column id, .*TCIA"):
        site.obtain_table()
    with pytest.raises(TableError, match=rf"{TABLE_PATH}: found no case, expected one row"):
        site.obtain_table()
    with pytest.raises(
        TableError, match=rf"{TABLE_PATH}: found a file that is not CSV text \(field larger"
    ):
        site.obtain_table()
    assert site.names() == []


def test_unknown_version_of_the_table(site: Site) -> None:
    site.server.files[TABLE_PATH] += b"\n"
    site.obtain_table()
    site.obtain_table()
    digest = sha256(site.table + b"\n")
    assert site.warnings == [
        f"{where}: found sha256 {digest}, expected {'0' * 64} or {sha256(site.table)[:12]}; "
        "its content is valid: 2 cases"
        for where in (masks.TABLE.url, site.folder / "Segmentation-Info_09-29-2023.csv")
    ]


@pytest.mark.parametrize(
    ("name", "kept"),
    [("segmentation_info_mine.csv", "segmentation_info_mine.csv"), ("x.txt", None)],
)
def test_given_table(site: Site, tmp_path: Path, name: str, kept: str | None) -> None:
    (tmp_path / name).write_bytes(site.table)
    path = site.obtain_table(tmp_path / name)
    assert path == site.folder / (kept or "Segmentation-Info.csv")
    assert path.read_bytes() == site.table
    assert site.server.requests == []
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/Segmentation-Info-v3.csv", "Segmentation-Info-v3.csv"),
        ("/table?token=1", "Segmentation-Info.csv"),
        ("/..", "Segmentation-Info.csv"),
        ("/", "Segmentation-Info.csv"),
    ],
)
def test_given_address_of_a_table(site: Site, path: str, name: str) -> None:
    site.server.files[path.partition("?")[0]] = site.table
    assert site.obtain_table(site.server.url(path)) == site.folder / name
    assert site.names() == [name]


def test_given_table_with_the_cases_that_are_there(site: Site, tmp_path: Path) -> None:
    present = site.obtain_table()
    write_case_table(tmp_path / "mine.csv", reversed(read_case_table(present)))
    assert site.obtain_table(tmp_path / "mine.csv") == present
    assert site.obtain_table(present) == present
    assert site.names() == [present.name]


def test_given_table_with_other_cases(site: Site, tmp_path: Path) -> None:
    present = site.obtain_table()
    write_case_table(tmp_path / "mine.csv", [case("case_000"), case("case_001", "test")])
    message = rf"mine\.csv: found 1 cases that differ from those in {present}, expected the same"
    with pytest.raises(TableError, match=message):
        site.obtain_table(tmp_path / "mine.csv")
    assert present.read_bytes() == site.table


def test_given_table_that_is_wrong(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(site.table.replace(b"female", b"woman", 1))
    with pytest.raises(TableError, match=rf"{path}, line 2: found gender = 'woman'"):
        site.obtain_table(path)
    with pytest.raises(MissingFileError, match=r"nowhere\.csv: found no such file"):
        site.obtain_table(tmp_path / "nowhere.csv")
    assert site.names() == []
