from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from helpers.loopback import (
    BOMB,
    GARBAGE,
    GET_IMAGE,
    GET_SERIES,
    MISSING_INSTANCE,
    NBIA,
    NO_MANIFEST,
    PARENT_PATH,
    SHORT_ZIP,
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
from saros_hf.archive.retry import Patience
from saros_hf.archive.series import RemoteSeries
from saros_hf.errors import TransferError, TransientError, UnreadableFileError

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


def fetch(server: Loopback, folder: Path) -> int:
    """Fetch the series and return the sum of the counted bytes."""
    arrived: list[int] = []
    source = NbiaSource(PATIENCE, base_url=server.url(NBIA))
    try:
        source.fetch(SERIES, folder, on_bytes=arrived.append, stop=Event())
    except OSError:
        assert sum(arrived) == 0
        assert names(folder.parent) == []
        raise
    return sum(arrived)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_complete_series_is_fetched_once(server: Loopback, folder: Path) -> None:
    for _ in range(2):
        assert fetch(server, folder) == 3000
        assert names(folder) == NAMES
        assert [(folder / name).read_bytes() for name in NAMES] == INSTANCES
        assert names(folder.parent) == ["dicom"]
    assert [(one.path, one.query) for one in server.requests] == [
        (GET_SERIES, f"SeriesInstanceUID={UID}"),
        (GET_IMAGE, f"SeriesInstanceUID={UID}&IncludeMD5=yes"),
    ]


def test_incomplete_folder_is_replaced(server: Loopback, folder: Path) -> None:
    fetch(server, folder)
    (folder / NAMES[1]).rename(folder / "half.dcm1234")
    assert fetch(server, folder) == 3000
    assert len(server.requests) == 4
    assert names(folder) == NAMES


FAULTS: dict[str, tuple[Fault, str]] = {
    "short": (SHORT_ZIP, r"invalid or incomplete \.zip .*or with --source idc"),
    "missing": (MISSING_INSTANCE, r"found 2 of 3 files, expected all in the ZIP"),
    "wrong MD5": (WRONG_MD5, r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 [0-9a-f]{32}\."),
    "no list": (NO_MANIFEST, r"MD5 [0-9a-f]{32}, expected MD5 in md5hashes\.csv"),
    "not listed": (
        Zip(lambda members: members.update({"md5hashes.csv": b"Filename,MD5Hash\n"})),
        r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 in md5hashes\.csv",
    ),
    "other columns": (
        Zip(lambda members: members.update({"md5hashes.csv": b"a,b\n\xff,2\n"})),
        r"00000001\.dcm with MD5 [0-9a-f]{32}, expected MD5 in md5hashes\.csv",
    ),
    "page": (GARBAGE, r"invalid or incomplete \.zip \(BadZipFile"),
    "nothing": (Body(b"", chunked=True), r"invalid or incomplete \.zip \(BadZipFile"),
    "cut": (Cut(100), r"getImage.*a lost connection \(RemoteProtocolError"),
    "silent": (Stall(100), r"getImage.*silence for 0\.3 s"),
    "busy": (Status(503), r"getImage\?SeriesInstanceUID=1\.3\.6.*&IncludeMD5=\.\.\.: .*HTTP 503"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_transient_fault(server: Loopback, folder: Path, fault: str) -> None:
    kind, message = FAULTS[fault]
    server.fail(GET_IMAGE, kind)
    with pytest.raises(TransientError, match=message):
        fetch(server, folder)
    assert fetch(server, folder) == 3000
    assert names(folder) == NAMES


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (PARENT_PATH, r"a member outside the archive, '\.\./x\.dcm'"),
        (BOMB, r"found 2\.0 GiB packed into \d+ bytes"),
    ],
)
def test_unsafe_zip_is_refused(server: Loopback, folder: Path, fault: Fault, message: str) -> None:
    server.fail(GET_IMAGE, fault)
    with pytest.raises(UnreadableFileError, match=message) as caught:
        fetch(server, folder)
    assert not isinstance(caught.value, TransferError)
    assert names(folder.parent.parent) == ["work"]


REVISED = r"found 4 files, expected 3 as listed in the index\. .* --source idc"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (b"[]", TransferError, rf"series {UID} from NBIA: found nothing, expected a public series"),
        (b"", TransferError, r"found nothing, expected a public series.* --source idc"),
        (b'[{"ImageCount": 4}]', TransferError, REVISED),
        (b'{"error": 1}', TransientError, "an answer without ImageCount"),
        (b"[1]", TransientError, "an answer without ImageCount"),
        (b'[{"ImageCount": null}]', TransientError, "an answer without ImageCount"),
    ],
)
def test_series_not_as_in_the_index_is_refused(
    server: Loopback, folder: Path, answer: bytes, kind: type[TransferError], message: str
) -> None:
    server.fail(GET_SERIES, Body(answer))
    with pytest.raises(TransferError, match=message) as caught:
        fetch(server, folder)
    assert type(caught.value) is kind
    assert server.asked(GET_IMAGE) == []
