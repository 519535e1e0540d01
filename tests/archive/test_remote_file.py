import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from helpers.archive_world import AFFINE, IMPATIENT
from helpers.loopback import Loopback, Stall, Status
from hypothesis import given, settings
from hypothesis import strategies as st

from saros_hf.archive.mask_archive import RemoteMaskArchive
from saros_hf.archive.remote_file import RemoteFile
from saros_hf.errors import TransferError, UnreadableFileError
from saros_hf.nifti import read_mask, write_volume
from saros_hf.volume import Volume

CONTENT = np.random.default_rng(0).bytes(900_000)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(files={"/file": CONTENT}) as server:
        yield server


def remote(server: Loopback, path: str = "/file") -> RemoteFile:
    return RemoteFile(server.url(path), patience=IMPATIENT, stop=Event())


@settings(max_examples=40, deadline=None)
@given(
    reads=st.lists(
        st.tuples(st.integers(0, 950_000), st.integers(0, 600_000)), min_size=1, max_size=5
    )
)
def test_any_read_is_that_of_a_file_on_the_disk(
    server: Loopback, reads: list[tuple[int, int]]
) -> None:
    with remote(server) as file:
        for start, count in reads:
            assert file.seek(start) == start
            assert file.read(count) == CONTENT[start : start + count]
            assert file.tell() == max(start, min(start + count, len(CONTENT)))


def test_what_was_read_is_not_asked_for_again(server: Loopback) -> None:
    server.requests.clear()
    with remote(server) as file:
        for _ in range(3):
            file.seek(1000)
            file.read(100)
            file.seek(-100, 2)
            assert file.read() == CONTENT[-100:]
    assert [one.headers["Range"] for one in server.requests] == ["bytes=-262144", "bytes=0-262143"]


def test_busy_and_silent_servers_are_asked_again(server: Loopback) -> None:
    server.fail("/file", Status(503), Stall(100))
    with remote(server) as file:
        assert file.read(10) == CONTENT[:10]


def test_file_that_changes_is_told(server: Loopback) -> None:
    with remote(server) as file:
        server.files["/file"] = CONTENT[1:]
        try:
            with pytest.raises(TransferError, match="found another version than a moment ago"):
                file.read(10)
        finally:
            server.files["/file"] = CONTENT


def test_server_without_ranges_is_told() -> None:
    with (
        Loopback(files={"/file": CONTENT}, ranges=False) as server,
        pytest.raises(TransferError, match=r"does not hand out parts.*saros download DIR"),
    ):
        remote(server)


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ZIP of 600 cases of 50 kB each, case n holding label n % 7."""
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(folder / "masks.zip", "w") as packed:
        for n in range(600):
            if n % 100 == 50:
                write_volume(
                    folder / "m.nii.gz", Volume(np.full((4, 3, 2), n % 7, np.uint8), AFFINE)
                )
                packed.write(folder / "m.nii.gz", f"S/case_{n:03d}/body-regions.nii.gz")
            else:
                packed.writestr(f"S/case_{n:03d}/body-regions.nii.gz", CONTENT[n : n + 50_000])
    return (folder / "masks.zip").read_bytes()


def test_one_case_out_of_a_large_zip_costs_its_own_bytes(zipped: bytes, tmp_path: Path) -> None:
    with Loopback(files={"/masks.zip": zipped}) as server:
        archive = RemoteMaskArchive(server.url("/masks.zip"), IMPATIENT)
        assert len(archive.case_ids) == 600
        assert len(server.requests) == 1
        (path,) = archive.extract_case("case_050", tmp_path).values()
        assert (read_mask(path, "body-regions").array == 1).all()
        assert len(server.requests) <= 3
        for request in server.requests:
            assert request.headers["Range"].startswith("bytes=")
        again = pickle.loads(pickle.dumps(archive))
        assert len(pickle.dumps(archive)) < 1000
        assert again.tasks_of("case_150") == ("body-regions",)


def test_damaged_member_and_no_zip_are_told(zipped: bytes, tmp_path: Path) -> None:
    at = zipped.index(b"S/case_050/") + 60
    damaged = zipped[:at] + bytes([zipped[at] ^ 0xFF]) + zipped[at + 1 :]
    with Loopback(files={"/masks.zip": damaged, "/page": b"<html>" * 100}) as server:
        with pytest.raises(UnreadableFileError, match="Bad CRC-32"):
            RemoteMaskArchive(server.url("/masks.zip"), IMPATIENT).extract_case(
                "case_050", tmp_path
            )
        with pytest.raises(UnreadableFileError, match=r"/page: found a file that is no whole"):
            _ = RemoteMaskArchive(server.url("/page"), IMPATIENT).case_ids
    assert list(tmp_path.glob("*.nii.gz")) == []
