import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event, Timer
from urllib.error import URLError
from urllib.request import OpenerDirector

import pytest
from helpers.loopback import Loopback, Stall, Status

from saros_hf.archive.http_request import Exchange, RangeError, public_url
from saros_hf.archive.retry import Patience
from saros_hf.errors import TransferError, TransientError

BODY = b"0123456789abcdefghij"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback({"/a.zip": BODY}) as server:
        yield server


def ask(url: str, stall_s: float = 0.2, stop: Event | None = None) -> bytes:
    exchange = Exchange(url, Patience(stall_s=stall_s), stop or Event())
    with exchange.open({}) as response:
        return b"".join(exchange.chunks(response))


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_status_worth_another_try(server: Loopback, code: int) -> None:
    server.fail("/a.zip", Status(code))
    with pytest.raises(TransientError, match=rf"a\.zip: found HTTP {code} \(.*same command again"):
        ask(server.url("/a.zip"))


@pytest.mark.parametrize("code", [302, 400, 401, 403, 404, 410, 418])
def test_status_worth_no_other_try(server: Loopback, code: int) -> None:
    server.fail("/a.zip", Status(code))
    with pytest.raises(TransferError, match=rf"HTTP {code} ") as caught:
        ask(server.url("/a.zip"))
    assert not isinstance(caught.value, TransientError)


def test_missing_file_may_have_moved(server: Loopback) -> None:
    with pytest.raises(TransferError) as caught:
        ask(server.url("/b.zip"))
    assert str(caught.value) == (
        f"{server.url('/b.zip')}: found HTTP 404 (Not Found), expected HTTP 200 (OK). The archive "
        "may have moved it: look for it on the archive's site, or update saros-hf."
    )


@pytest.mark.parametrize(("content_range", "total"), [("bytes */20", 20), ("", None)])
def test_nothing_beyond(server: Loopback, content_range: str, total: int | None) -> None:
    server.fail("/a.zip", Status(416, {"Content-Range": content_range}))
    with pytest.raises(RangeError, match="HTTP 416") as caught:
        ask(server.url("/a.zip"))
    assert caught.value.total_bytes == total


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("Tue, 01 Sep 2020 10:00:00 GMT", 0),
        ("Tue, 01 Sep 2020 10:00:00 -0000", 0),
        ("soon", None),
    ],
)
def test_retry_after(server: Loopback, text: str, seconds: float | None) -> None:
    server.fail("/a.zip", Status(503, {"Retry-After": text}))
    with pytest.raises(TransientError) as caught:
        ask(server.url("/a.zip"))
    assert caught.value.retry_after_s == seconds


def test_retry_after_a_date(server: Loopback) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=900)
    server.fail("/a.zip", Status(503, {"Retry-After": format_datetime(moment, usegmt=True)}))
    with pytest.raises(TransientError) as caught:
        ask(server.url("/a.zip"))
    assert caught.value.retry_after_s == pytest.approx(900, abs=5)


def test_nobody_listens() -> None:
    with Loopback() as gone:
        pass
    with pytest.raises(TransientError, match=r"a lost connection \(ConnectionRefusedError"):
        ask(gone.url("/a.zip"))


def test_name_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TransientError, match=r"gaierror: .* Name or service not known"):
        ask("http://archive.invalid/a")


def test_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError()
        error.verify_message = "certificate has expired"
        raise URLError(error)

    monkeypatch.setattr(OpenerDirector, "open", refuse)
    message = r"\(certificate has expired\), expected one that is valid\. Check the clock"
    with pytest.raises(TransferError, match=message) as caught:
        ask("https://archive.invalid/a")
    assert not isinstance(caught.value, TransientError)


@pytest.mark.parametrize("after", [None, 0, 6])
def test_silence(server: Loopback, after: int | None) -> None:
    server.fail("/a.zip", Stall(after))
    with pytest.raises(TransientError, match=r"found silence for 0\.2 s, expected an answer"):
        ask(server.url("/a.zip"))


@pytest.mark.parametrize("after", [None, 0, 6])
def test_stop_ends_a_wait(server: Loopback, after: int | None) -> None:
    server.fail("/a.zip", Stall(after))
    stop = Event()
    Timer(0.2, stop.set).start()
    start = time.monotonic()
    with pytest.raises(TransferError, match="a transfer that was interrupted") as caught:
        ask(server.url("/a.zip"), stall_s=9, stop=stop)
    assert not isinstance(caught.value, TransientError)
    assert time.monotonic() - start < 8


def test_stop_set_before(server: Loopback) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(TransferError, match="interrupted"):
        ask(server.url("/a.zip"), stop=stop)
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.zip",
        "file:///etc/passwd",
        "ftp://h/a",
        "http://",
        "http://[",
        "http://h:x/?token=s3",
        "http://h/a b?token=s3",
        "http://h/\u00e4",
    ],
)
def test_bad_address(url: str) -> None:
    with pytest.raises(TransferError, match=r"found no usable address, expected http://") as caught:
        ask(url)
    assert not isinstance(caught.value, TransientError)
    assert "s3" not in str(caught.value)


def test_secrets_are_sent_but_not_told(server: Loopback) -> None:
    url = server.url("/a.zip?token=s3cret&Uid=1.2.3").replace("http://", "http://me:p%40ss@")
    server.fail("/a.zip", Status(403))
    with pytest.raises(TransferError) as caught:
        ask(url)
    assert str(caught.value).startswith(f"{server.url('/a.zip')}?token=...&Uid=1.2.3: found")
    assert server.requests[0].query == "token=s3cret&Uid=1.2.3"
    assert server.requests[0].headers["Authorization"] == "Basic bWU6cEBzcw=="


def test_public_url() -> None:
    assert public_url("https://me:pw@h:8/a?x=1&UID=1.2.3&abc#f") == (
        "https://h:8/a?x=...&UID=1.2.3&abc=..."
    )
    assert public_url("http://[") == "the address"


def test_redirect(server: Loopback) -> None:
    server.fail("/old.zip", Status(302, {"Location": "/a.zip"}))
    assert ask(server.url("/old.zip")) == BODY


def test_login_is_not_sent_to_another_host(server: Loopback) -> None:
    with Loopback({"/a.zip": BODY}) as other:
        server.fail("/old.zip", Status(302, {"Location": other.url("/a.zip")}))
        assert ask(server.url("/old.zip").replace("http://", "http://me:pw@")) == BODY
    assert "Authorization" in server.requests[0].headers
    assert "Authorization" not in other.requests[0].headers


def test_redirect_to_a_file_of_this_machine(server: Loopback) -> None:
    server.fail("/a.zip", Status(302, {"Location": "file:///etc/passwd"}))
    with pytest.raises(TransferError, match="HTTP 302"):
        ask(server.url("/a.zip"))
