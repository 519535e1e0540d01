import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Literal

import pytest
from helpers.loopback import GARBAGE, Body, Cut, Loopback, Stall, Status
from huggingface_hub.utils import httpx

from saros_hf.archive.http_download import download, get_json, public_url
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


def fetch(server: Loopback, path: Path, expected_bytes: int | None = None) -> list[int]:
    """Download /a.zip and return the counted bytes."""
    arrived: list[int] = []
    download(
        server.url("/a.zip"),
        path,
        patience=PATIENCE,
        stop=Event(),
        on_bytes=arrived.append,
        expected_bytes=expected_bytes,
    )
    return arrived


def ask(url: str) -> object:
    return get_json(url, patience=PATIENCE)


def names_beside(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir()]


def break_off(server: Loopback, path: Path) -> None:
    """Leave the first 5 of 20 bytes."""
    server.fail("/a.zip", Cut(5))
    with pytest.raises(TransientError, match=r"a lost connection .*received 5 bytes, expected 20"):
        fetch(server, path)
    assert path.with_name("a.zip.part").read_bytes() == BODY[:5]
    assert not path.exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_download(server: Loopback, path: Path, chunked: bool) -> None:
    server.chunked = chunked
    assert sum(fetch(server, path)) == 20
    assert path.read_bytes() == BODY
    assert names_beside(path) == ["a.zip"]
    assert server.requests[0].headers["user-agent"].startswith("saros-hf")
    assert "range" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("version", "if_range"), [("etag", '"'), ("date", "Tue, 01 Sep 2026 10:00:00 GMT")]
)
def test_interrupted_download_is_resumed(
    server: Loopback, path: Path, version: Literal["etag", "date"], if_range: str
) -> None:
    server.version = version
    break_off(server, path)
    assert fetch(server, path) == [5, 0, 15]
    assert path.read_bytes() == BODY
    assert names_beside(path) == ["a.zip"]
    assert server.requests[1].headers["range"] == "bytes=5-"
    assert server.requests[1].headers["if-range"].startswith(if_range)


@pytest.mark.parametrize("version", ["none", "weak"])
def test_file_without_version_is_not_resumed(
    server: Loopback, path: Path, version: Literal["none", "weak"]
) -> None:
    server.version = version
    break_off(server, path)
    assert sum(fetch(server, path)) == 20
    assert "range" not in server.requests[1].headers


def test_failed_download_subtracts_its_bytes(server: Loopback, path: Path) -> None:
    arrived: list[int] = []
    server.fail("/a.zip", Cut(5), Cut(3))
    for _ in range(2):
        with suppress(TransientError):
            download(
                server.url("/a.zip"), path, patience=PATIENCE, stop=Event(), on_bytes=arrived.append
            )
    assert arrived == [0, 0, 5, -5, 5, 0, 3, -8]


@pytest.mark.parametrize(("body", "ranges"), [(BODY.upper(), True), (BODY, False)])
def test_changed_file_or_server_without_ranges_restarts_the_download(
    server: Loopback, path: Path, body: bytes, ranges: bool
) -> None:
    break_off(server, path)
    server.files["/a.zip"], server.ranges = body, ranges
    assert fetch(server, path) == [5, -5, 20]
    assert path.read_bytes() == body


def test_wrong_range_is_refused(server: Loopback, path: Path) -> None:
    break_off(server, path)
    server.fail("/a.zip", Status(206, {"Content-Range": "bytes 4-9/20"}))
    with pytest.raises(TransientError, match=r"Content-Range 'bytes 4-9/20', expected .* from 5"):
        fetch(server, path)
    assert fetch(server, path) == [0, 0, 20]


def test_complete_part_needs_no_request(server: Loopback, path: Path) -> None:
    break_off(server, path)
    path.with_name("a.zip.part").write_bytes(BODY)
    assert fetch(server, path, expected_bytes=20) == [20]
    assert len(server.requests) == 1
    assert path.read_bytes() == BODY


def test_part_longer_than_the_file_is_discarded(server: Loopback, path: Path) -> None:
    break_off(server, path)
    path.with_name("a.zip.part").write_bytes(BODY + BODY)
    with pytest.raises(TransientError, match="HTTP 416"):
        fetch(server, path)
    assert names_beside(path) == []
    assert sum(fetch(server, path)) == 20


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("expected_bytes", "transient"), [(21, True), (19, False)])
def test_unexpected_size_is_refused(
    server: Loopback, path: Path, chunked: bool, expected_bytes: int, transient: bool
) -> None:
    server.chunked = chunked
    message = f"found 20 bytes, expected {expected_bytes} bytes"
    with pytest.raises(TransferError, match=message) as caught:
        fetch(server, path, expected_bytes)
    assert isinstance(caught.value, TransientError) == transient
    assert not path.exists()


def test_truncated_chunked_body_is_kept(server: Loopback, path: Path) -> None:
    server.chunked = True
    server.fail("/a.zip", Cut(6))
    with pytest.raises(TransientError, match=r"a lost connection \(RemoteProtocolError"):
        fetch(server, path)
    assert path.with_name("a.zip.part").read_bytes() == BODY[:6]


def test_full_disk(server: Loopback, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.zip\.part'") as caught:
        fetch(server, path)
    assert not isinstance(caught.value, SarosError)
    assert caught.value.errno == errno.ENOSPC


def test_stop_ends_a_download(server: Loopback, path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(TransferError, match="an interruption") as caught:
        download(server.url("/a.zip"), path, patience=PATIENCE, stop=stop)
    assert not isinstance(caught.value, TransientError)
    assert path.with_name("a.zip.part").read_bytes() == BODY


def test_json(server: Loopback) -> None:
    server.fail("/a.zip", Body(b'[{"ImageCount": 3}]'), Body(b" "))
    assert ask(server.url("/a.zip")) == [{"ImageCount": 3}]
    assert ask(server.url("/a.zip")) is None


def test_invalid_json_is_refused(server: Loopback) -> None:
    server.fail("/a.zip", GARBAGE, Cut(4))
    with pytest.raises(TransientError, match=r"found no JSON but '<!DOCTYPE html>.*', expected"):
        ask(server.url("/a.zip"))
    with pytest.raises(TransientError, match="received 4 bytes, expected 20"):
        ask(server.url("/a.zip"))


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_transient_status(server: Loopback, code: int) -> None:
    server.fail("/a.zip", Status(code))
    with pytest.raises(TransientError, match=rf"a\.zip: found HTTP {code} \(.*same command again"):
        ask(server.url("/a.zip"))


@pytest.mark.parametrize("code", [302, 400, 401, 403, 404, 410, 418])
def test_final_status(server: Loopback, code: int) -> None:
    server.fail("/a.zip", Status(code))
    message = rf"a\.zip: found HTTP {code} \(.*\), expected HTTP 200 \(OK\)\. The archive may have"
    with pytest.raises(TransferError, match=message) as caught:
        ask(server.url("/a.zip"))
    assert not isinstance(caught.value, TransientError)


@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("soon", None)])
def test_retry_after(server: Loopback, text: str, seconds: float | None) -> None:
    server.fail("/a.zip", Status(503, {"Retry-After": text}))
    with pytest.raises(TransientError) as caught:
        ask(server.url("/a.zip"))
    assert caught.value.retry_after_s == seconds


def test_refused_connection() -> None:
    with Loopback() as gone:
        pass
    with pytest.raises(TransientError, match=r"a lost connection \(ConnectError: .*refused"):
        ask(gone.url("/a.zip"))


def test_invalid_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError()
        error.verify_message = "certificate has expired"
        raise httpx.ConnectError("") from error

    monkeypatch.setattr(httpx.Client, "send", refuse)
    message = r"\(certificate has expired\), expected a valid one\. Check the clock"
    with pytest.raises(TransferError, match=message) as caught:
        ask("https://archive.invalid/a")
    assert not isinstance(caught.value, TransientError)


@pytest.mark.parametrize("after", [None, 0, 6])
def test_silent_server(server: Loopback, after: int | None) -> None:
    server.fail("/a.zip", Stall(after))
    with pytest.raises(TransientError, match=r"found silence for 0\.2 s, expected an answer"):
        ask(server.url("/a.zip"))


@pytest.mark.parametrize(
    "url",
    ["", "a.zip", "file:///etc/passwd", "ftp://h/a", "http://", "http://h:x/?t=s3"],
)
def test_invalid_address(url: str) -> None:
    with pytest.raises(TransferError, match=r"found no usable address, expected http://") as caught:
        ask(url)
    assert not isinstance(caught.value, TransientError)
    assert "s3" not in str(caught.value)


def test_secrets_are_sent_but_not_shown(server: Loopback) -> None:
    url = server.url("/a.zip?token=s3cret&Uid=1.2.3").replace("http://", "http://me:p%40ss@")
    server.fail("/a.zip", Status(403))
    with pytest.raises(TransferError) as caught:
        ask(url)
    assert str(caught.value).startswith(f"{server.url('/a.zip')}?token=...&Uid=1.2.3: found")
    assert server.requests[0].query == "token=s3cret&Uid=1.2.3"
    assert server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


def test_public_url() -> None:
    assert public_url("https://me:pw@h:8/a?x=1&UID=1.2.3&abc#f") == (
        "https://h:8/a?x=...&UID=1.2.3&abc=..."
    )
    assert public_url("http://[") == "the address"


def test_login_is_not_sent_to_another_host(server: Loopback, path: Path) -> None:
    with Loopback({"/b.zip": BODY}) as other:
        server.fail("/a.zip", Status(302, {"Location": other.url("/b.zip")}))
        url = server.url("/a.zip").replace("http://", "http://me:pw@")
        download(url, path, patience=PATIENCE, stop=Event())
    assert path.read_bytes() == BODY
    assert "authorization" in server.requests[0].headers
    assert "authorization" not in other.requests[0].headers


def test_redirect_to_a_local_file_is_refused(server: Loopback) -> None:
    server.fail("/a.zip", Status(302, {"Location": "file:///etc/passwd"}))
    with pytest.raises(TransferError, match="no usable address"):
        ask(server.url("/a.zip"))
