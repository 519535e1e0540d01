import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Literal

import pytest
from helpers.loopback import GARBAGE, Body, Cut, Loopback, Status

from saros_hf.archive import http_download as http
from saros_hf.archive.http_download import download, get_json
from saros_hf.archive.retry import Patience
from saros_hf.errors import SarosError, TransferError, TransientError

BODY = b"0123456789abcdefghij"
PATIENCE = Patience(stall_s=0.2)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback({"/a.zip": BODY}) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a.zip"


class Arrived(list[int]):
    """What ``on_bytes`` was told."""

    def __call__(self, count: int) -> None:
        self.append(count)


def bring(
    server: Loopback, path: Path, expected_bytes: int | None = None, stop: Event | None = None
) -> Arrived:
    arrived = Arrived()
    download(
        server.url("/a.zip"),
        path,
        patience=PATIENCE,
        stop=stop or Event(),
        on_bytes=arrived,
        expected_bytes=expected_bytes,
    )
    return arrived


def names_beside(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir()]


def break_off(server: Loopback, path: Path) -> None:
    """Leave the first 5 of 20 bytes."""
    server.fail("/a.zip", Cut(5))
    with pytest.raises(TransientError, match=r"found 5 of 20 bytes, expected all of them"):
        bring(server, path)
    assert path.with_name("a.zip.part").read_bytes() == BODY[:5]
    assert not path.exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_download(server: Loopback, path: Path, chunked: bool) -> None:
    server.chunked = chunked
    arrived = bring(server, path)
    assert path.read_bytes() == BODY
    assert names_beside(path) == ["a.zip"]
    assert sum(arrived) == 20
    assert server.requests[0].headers["User-Agent"].startswith("saros-hf")
    assert "Range" not in server.requests[0].headers


def test_goes_on_where_it_broke_off(server: Loopback, path: Path) -> None:
    break_off(server, path)
    assert list(bring(server, path)) == [5, 0, 15]
    assert path.read_bytes() == BODY
    assert names_beside(path) == ["a.zip"]
    again = server.requests[1].headers
    assert again["Range"] == "bytes=5-"
    assert again["If-Range"].startswith('"')


def test_failure_takes_back_what_it_counted(server: Loopback, path: Path) -> None:
    arrived = Arrived()
    server.fail("/a.zip", Cut(5), Cut(3))
    for _ in range(2):
        with suppress(TransientError):
            download(server.url("/a.zip"), path, patience=PATIENCE, stop=Event(), on_bytes=arrived)
    assert list(arrived) == [0, 0, 5, -5, 5, 0, 3, -8]


def test_goes_on_where_the_server_names_a_date(server: Loopback, path: Path) -> None:
    server.version = "date"
    break_off(server, path)
    assert list(bring(server, path)) == [5, 0, 15]
    assert server.requests[1].headers["If-Range"] == "Tue, 01 Sep 2026 10:00:00 GMT"


@pytest.mark.parametrize("version", ["none", "weak"])
def test_starts_anew_where_the_server_names_no_version(
    server: Loopback, path: Path, version: Literal["none", "weak"]
) -> None:
    server.version = version
    break_off(server, path)
    assert sum(bring(server, path)) == 20
    assert "Range" not in server.requests[1].headers


def test_starts_anew_where_the_file_has_changed(server: Loopback, path: Path) -> None:
    break_off(server, path)
    server.files["/a.zip"] = BODY.upper()
    assert list(bring(server, path)) == [5, -5, 20]
    assert path.read_bytes() == BODY.upper()


def test_starts_anew_where_the_server_knows_no_ranges(server: Loopback, path: Path) -> None:
    break_off(server, path)
    server.ranges = False
    assert list(bring(server, path)) == [5, -5, 20]
    assert path.read_bytes() == BODY


def test_starts_anew_after_another_range(server: Loopback, path: Path) -> None:
    break_off(server, path)
    server.fail("/a.zip", Status(206, {"Content-Range": "bytes 4-9/20"}))
    with pytest.raises(TransientError, match=r"Content-Range 'bytes 4-9/20', expected .* from 5"):
        bring(server, path)
    assert list(bring(server, path)) == [0, 0, 20]


def test_all_there_but_the_name(server: Loopback, path: Path) -> None:
    break_off(server, path)
    path.with_name("a.zip.part").write_bytes(BODY)
    assert list(bring(server, path, expected_bytes=20)) == [20]
    assert len(server.requests) == 1
    assert path.read_bytes() == BODY


def test_all_there_as_the_server_says(server: Loopback, path: Path) -> None:
    break_off(server, path)
    path.with_name("a.zip.part").write_bytes(BODY)
    assert list(bring(server, path)) == [20]
    assert server.requests[1].headers["Range"] == "bytes=20-"
    assert path.read_bytes() == BODY


def test_more_there_than_the_server_has(server: Loopback, path: Path) -> None:
    break_off(server, path)
    path.with_name("a.zip.part").write_bytes(BODY + BODY)
    with pytest.raises(TransientError, match="HTTP 416"):
        bring(server, path)
    assert names_beside(path) == []
    assert sum(bring(server, path)) == 20


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("expected_bytes", "transient", "message"),
    [(21, True, r"20 (of 21 )?bytes"), (19, False, r"20 bytes or more, expected 19 bytes")],
)
def test_other_size_than_expected(
    server: Loopback, path: Path, chunked: bool, expected_bytes: int, transient: bool, message: str
) -> None:
    server.chunked = chunked
    with pytest.raises(TransferError, match=message) as caught:
        bring(server, path, expected_bytes)
    assert isinstance(caught.value, TransientError) == transient
    assert not path.exists()


def test_chunked_body_cut(server: Loopback, path: Path) -> None:
    server.chunked = True
    server.fail("/a.zip", Cut(6))
    with pytest.raises(TransientError, match=r"a lost connection \(IncompleteRead"):
        bring(server, path)
    assert path.with_name("a.zip.part").read_bytes() == BODY[:6]


def test_full_disk(server: Loopback, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.zip\.part'") as caught:
        bring(server, path)
    assert not isinstance(caught.value, SarosError)
    assert caught.value.errno == errno.ENOSPC


def ask(server: Loopback) -> object:
    return get_json(server.url("/a.zip"), patience=PATIENCE, stop=Event())


def test_json(server: Loopback) -> None:
    server.fail("/a.zip", Body(b'[{"ImageCount": 3}]'), Body(b" "))
    assert ask(server) == [{"ImageCount": 3}]
    assert ask(server) is None


def test_json_that_is_none(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    server.fail("/a.zip", GARBAGE, Cut(4), Body(b"[" * 100_000))
    with pytest.raises(TransientError, match=r"found no JSON but '<!DOCTYPE html>.*', expected"):
        ask(server)
    with pytest.raises(TransientError, match="4 of 20 bytes"):
        ask(server)
    with pytest.raises(TransientError, match="no JSON"):
        ask(server)
    monkeypatch.setattr(http, "_JSON_LIMIT_BYTES", 19)
    with pytest.raises(TransferError, match="more than 64 MiB"):
        ask(server)
