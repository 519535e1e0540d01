"""The real s5cmd against a real S3 server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from time import monotonic

import numpy as np
import pytest
from s3_server import (
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

from saros_hf.archive.idc import IdcSource
from saros_hf.archive.retry import Patience
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


def test_no_server_is_worth_another_try(tmp_path: Path) -> None:
    with S3Server() as server:
        fetch = Fetch(server, tmp_path)
    with pytest.raises(TransientError, match="connection refused"):
        fetch()


def test_stop_ends_the_program_within_a_second(server: S3Server, fetch: Fetch) -> None:
    fetch.source = IdcSource(Patience(stall_s=30), endpoint=server.url)
    server.fail("u1/4.dcm", Hang(1000))
    Timer(0.5, fetch.stop.set).start()
    start = monotonic()
    with pytest.raises(TransferError, match="a transfer that was interrupted"):
        fetch()
    assert monotonic() - start < 2
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert server.url not in running.stdout
