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
    """Fetches into a folder whose name a shell would stumble over, and counts bytes."""

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


def test_fetched_once_and_only_what_is_not_whole(server: S3Server, fetch: Fetch) -> None:
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
def test_faults_are_told_and_the_next_call_goes_on(
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


def test_listing_that_does_not_match_the_index(server: S3Server, fetch: Fetch) -> None:
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
def test_files_that_do_not_lie_in_the_folder_are_refused(
    server: S3Server, fetch: Fetch, tmp_path: Path, uuid: str, beside: str
) -> None:
    server.put(uuid, BODIES[:1])
    server.put(beside, BODIES[:1])
    strange = RemoteSeries(UID, 2, 6000, "CC BY 3.0", f"s3://{BUCKET}/{uuid}/")
    with pytest.raises(TransferError, match="expected letters, digits, dots and dashes") as caught:
        fetch(strange)
    assert type(caught.value) is TransferError
    assert list(tmp_path.rglob("*.dcm")) == []


def test_an_empty_file_and_things_in_the_way(
    server: S3Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.put("u4", [b"", *BODIES[1:]])
    fetch.folder.mkdir()
    (fetch.folder / "1.dcm").mkdir()
    (fetch.folder / "2.dcm").symlink_to(tmp_path / "2.dcm")
    (fetch.folder / "link").symlink_to(tmp_path)
    fetch(RemoteSeries(UID, 6, 15000, "CC BY 3.0", f"s3://{BUCKET}/u4/"))
    assert fetch.bytes == 15000
    assert sorted(path.name for path in fetch.folder.iterdir()) == [f"{n}.dcm" for n in range(6)]
    assert [path.name for path in tmp_path.iterdir()] == [fetch.folder.name]


def test_the_users_own_s3_account_does_not_matter(
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
    # Nor do they send a request for the archive to their server, nor to their region's.
    monkeypatch.setenv("S3_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", "own.pem")
    child = _environment()
    assert "S3_ENDPOINT_URL" not in child
    assert (child["AWS_REGION"], child["AWS_CA_BUNDLE"]) == ("us-east-1", "own.pem")


@pytest.mark.parametrize(
    ("text", "number"),
    [("no space left on device", errno.ENOSPC), ("disk quota exceeded", errno.EDQUOT)],
)
def test_a_full_disk_is_told_as_such(
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


def test_plain_words_are_told_as_they_are(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, r"printf 'ERROR open \377: too many open files\n'; exit 1")
    with pytest.raises(TransientError, match=r"found ERROR open .: too many open files, expected"):
        fetch()


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script in the place of s5cmd."""
    path = folder / "s5cmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr("saros_hf.archive.s5cmd._program", lambda: path)


def test_two_refusals_cost_no_more_than_time(server: S3Server, fetch: Fetch) -> None:
    fetch.source = IdcSource(Patience(stall_s=10), endpoint=server.url)
    server.fail("u1/4.dcm", SLOW_DOWN, SLOW_DOWN)
    fetch()
    assert fetch.is_whole()
    assert server.fetched().count(f"/{BUCKET}/u1/4.dcm") == 3


def test_no_server_is_worth_another_try(tmp_path: Path) -> None:
    with S3Server() as server:
        fetch = Fetch(server, tmp_path)
    with pytest.raises(TransientError, match="connection refused"):
        fetch()


def test_stop_ends_the_program_before_it_counts_as_stalled(server: S3Server, fetch: Fetch) -> None:
    fetch.source = IdcSource(Patience(stall_s=30), endpoint=server.url)
    server.fail("u1/4.dcm", Hang(1000))
    Timer(0.5, fetch.stop.set).start()
    start = monotonic()
    with pytest.raises(TransferError, match="a transfer that was interrupted"):
        fetch()
    assert monotonic() - start < 25
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert server.url not in running.stdout
