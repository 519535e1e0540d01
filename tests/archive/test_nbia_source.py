import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from types import SimpleNamespace

import pytest
from helpers.loopback import (
    ABSOLUTE_PATH,
    BOMB,
    GARBAGE,
    GET_IMAGE,
    GET_SERIES,
    MISSING_INSTANCE,
    NBIA,
    NO_MANIFEST,
    PARENT_PATH,
    SHORT_ZIP,
    SYMLINK,
    WRONG_MD5,
    Body,
    Cut,
    Fault,
    Loopback,
    Stall,
    Status,
    Zip,
)

from saros_hf.archive.nbia_source import NbiaSource
from saros_hf.archive.retry import Patience, with_retries
from saros_hf.archive.series import RemoteSeries
from saros_hf.errors import SarosError, TransferError, TransientError, UnreadableFileError

UID = "1.3.6.1.4.1.14519.5.2.1.7"
INSTANCES = [bytes([number]) * 1000 for number in (1, 2, 3)]
SERIES = RemoteSeries(UID, 3, 3000, "CC BY 3.0", "")
NAMES = ["00000001.dcm", "00000002.dcm", "00000003.dcm"]
PATIENCE = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.002, stall_s=0.3)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(series={UID: INSTANCES}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "work" / "dicom"


def fetch(
    server: Loopback,
    folder: Path,
    series: RemoteSeries = SERIES,
    *,
    stop: Event | None = None,
    stall_s: float = 0.3,
) -> int:
    """Return how many bytes were counted in all."""
    arrived: list[int] = []
    source = NbiaSource(Patience(stall_s=stall_s), base_url=server.url(NBIA))
    try:
        source.fetch(series, folder, on_bytes=arrived.append, stop=stop or Event())
    except (SarosError, OSError):
        assert sum(arrived) == 0
        raise
    return sum(arrived)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetch(server: Loopback, folder: Path) -> None:
    assert fetch(server, folder) == 3000
    assert names(folder) == NAMES
    assert [(folder / name).read_bytes() for name in NAMES] == INSTANCES
    assert names(folder.parent) == ["dicom", "dicom.md5.csv"]
    assert [(one.path, one.query) for one in server.requests] == [
        (GET_SERIES, f"SeriesInstanceUID={UID}"),
        (GET_IMAGE, f"SeriesInstanceUID={UID}&IncludeMD5=yes"),
    ]


def test_nothing_is_asked_for_twice(server: Loopback, folder: Path) -> None:
    fetch(server, folder)
    assert fetch(server, folder) == 3000
    assert len(server.requests) == 2


@pytest.mark.parametrize("damage", ["changed", "gone", "added", "folder gone", "manifest gone"])
def test_damage_since_then(server: Loopback, folder: Path, damage: str) -> None:
    fetch(server, folder)
    if damage == "changed":
        (folder / NAMES[1]).write_bytes(INSTANCES[0])
    elif damage == "gone":
        (folder / NAMES[1]).unlink()
    elif damage == "added":
        (folder / "x.dcm").write_bytes(b"x")
    elif damage == "folder gone":
        shutil.rmtree(folder)
    else:
        folder.with_name("dicom.md5.csv").unlink()
    assert fetch(server, folder) == 3000
    assert len(server.requests) == 4
    assert names(folder) == NAMES
    assert (folder / NAMES[1]).read_bytes() == INSTANCES[1]


FAULTS: dict[str, tuple[Fault, str]] = {
    "short": (SHORT_ZIP, r"no whole \.zip .*or with --source idc"),
    "missing": (MISSING_INSTANCE, r"found 2 of 3 files, expected all in the ZIP"),
    "wrong MD5": (WRONG_MD5, r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 [0-9a-f]{32}\."),
    "no list": (NO_MANIFEST, r"found no md5hashes\.csv, expected one in the ZIP"),
    "not listed": (
        Zip(lambda members: members.update({"md5hashes.csv": b"Filename,MD5Hash\n"})),
        r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 listed",
    ),
    "other columns": (
        Zip(lambda members: members.update({"md5hashes.csv": b"a,b\n\xff,2\n"})),
        r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 listed",
    ),
    "listed only": (
        Zip(
            lambda members: members.update(
                {"md5hashes.csv": members["md5hashes.csv"] + b"x.dcm,abc\n"}
            )
        ),
        r"x\.dcm with MD5 no such file, expected MD5 abc",
    ),
    "page": (GARBAGE, r"no whole \.zip \(BadZipFile"),
    "nothing": (Body(b"", chunked=True), r"no whole \.zip \(BadZipFile"),
    "cut": (Cut(100), r"getImage.*a lost connection \(IncompleteRead"),
    "silent": (Stall(100), r"getImage.*silence for 0\.3 s"),
    "busy": (Status(503), r"getImage\?SeriesInstanceUID=1\.3\.6.*&IncludeMD5=\.\.\.: .*HTTP 503"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_worth_another_try(server: Loopback, folder: Path, fault: str) -> None:
    kind, message = FAULTS[fault]
    server.fail(GET_IMAGE, kind)
    with pytest.raises(TransientError, match=message):
        fetch(server, folder)
    assert names(folder.parent) == []
    assert fetch(server, folder) == 3000
    assert names(folder) == NAMES


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (PARENT_PATH, r"a member outside the archive, '\.\./x\.dcm'"),
        (ABSOLUTE_PATH, r"a member outside the archive, '/tmp/x\.dcm'"),
        (SYMLINK, r"a link or special file, 'link'"),
        (BOMB, r"found 2\.0 GiB packed into \d+ bytes"),
    ],
)
def test_archive_not_to_be_trusted(
    server: Loopback, folder: Path, fault: Fault, message: str
) -> None:
    server.fail(GET_IMAGE, fault)
    with pytest.raises(UnreadableFileError, match=message) as caught:
        fetch(server, folder)
    assert not isinstance(caught.value, TransferError)
    assert names(folder.parent) == []
    assert names(folder.parent.parent) == ["work"]


def test_far_larger_than_listed(server: Loopback, folder: Path) -> None:
    server.fail(GET_IMAGE, Zip(lambda members: members.update({"x": bytes((64 << 20) + 1)})))
    with pytest.raises(UnreadableFileError, match=r"expected at most 67108864 bytes"):
        fetch(server, folder)


def test_full_disk(server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
    with pytest.raises(OSError, match="No space left on device") as caught:
        fetch(server, folder)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("answer", [b"[]", b""])
def test_series_that_is_not_public(server: Loopback, folder: Path, answer: bytes) -> None:
    server.fail(GET_SERIES, Body(answer))
    message = rf"series {UID} from NBIA: found nothing, expected a public series.* --source idc"
    with pytest.raises(TransferError, match=message) as caught:
        fetch(server, folder)
    assert not isinstance(caught.value, TransientError)
    assert server.asked(GET_IMAGE) == []


def test_series_revised_since(server: Loopback, folder: Path) -> None:
    server.image_count = 4
    message = r"found 4 files, expected 3 as listed in the index\. .* --source idc"
    with pytest.raises(TransferError, match=message) as caught:
        fetch(server, folder)
    assert not isinstance(caught.value, TransientError)
    assert server.asked(GET_IMAGE) == []


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b'[{"ImageCount": null}]', b'{"error": 1}'])
def test_answer_without_a_count(server: Loopback, folder: Path, answer: bytes) -> None:
    server.fail(GET_SERIES, Body(answer))
    with pytest.raises(TransferError):
        fetch(server, folder)
    assert server.asked(GET_IMAGE) == []


def test_what_was_there_before_is_replaced(server: Loopback, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "half.dcm").write_bytes(b"x")
    left = folder.with_name("dicom.nbia") / "series.zip"
    left.parent.mkdir()
    left.write_bytes(b"x")
    fetch(server, folder)
    assert names(folder) == NAMES
    assert names(folder.parent) == ["dicom", "dicom.md5.csv"]


def test_with_retries(server: Loopback, folder: Path) -> None:
    server.fail(GET_IMAGE, MISSING_INSTANCE, Status(503))
    with_retries(lambda: fetch(server, folder), patience=PATIENCE, stop=Event())
    assert names(folder) == NAMES
    assert len(server.asked(GET_IMAGE)) == 3


def test_stop(server: Loopback, folder: Path) -> None:
    server.fail(GET_IMAGE, Stall(100))
    stop = Event()
    Timer(0.2, stop.set).start()
    start = time.monotonic()
    with pytest.raises(TransferError, match="interrupted"):
        fetch(server, folder, stop=stop, stall_s=9)
    assert time.monotonic() - start < 8
    assert names(folder.parent) == []
