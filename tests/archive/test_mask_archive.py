import pickle
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.archive_world import IMPATIENT
from helpers.loopback import Loopback, Stall, Status
from helpers.mask_zip import label_map, write_masks, write_members

from saros_hf.archive.mask_archive import MaskArchive, RemoteMaskArchive
from saros_hf.errors import MissingFileError, TransferError, TransientError, UnreadableFileError
from saros_hf.nifti import read_mask
from saros_hf.volume import annotated_slices

REGIONS = "case_000/body-regions.nii.gz"


@pytest.mark.parametrize("stem", ["", "SAROS-v2_03-70-2024/", "a/b/"])
def test_cases_and_tasks(tmp_path: Path, stem: str) -> None:
    archive = MaskArchive(write_masks(tmp_path / "m.zip", stem=stem))
    assert archive.case_ids == {"case_000", "case_001"}
    assert archive.tasks_of("case_000") == ("body-regions", "body-parts")
    assert archive.tasks_of("case_001") == ("body-regions",)
    assert archive.tasks_of("case_002") == ()


def test_extract_case(tmp_path: Path) -> None:
    archive = MaskArchive(write_masks(tmp_path / "m.zip"))
    folder = tmp_path / "new" / "case_000"
    paths = archive.extract_case("case_000", folder)
    assert paths == {
        "body-regions": folder / "body-regions.nii.gz",
        "body-parts": folder / "body-parts.nii.gz",
    }
    assert paths["body-regions"].read_bytes() == label_map(1, 5)
    assert annotated_slices(read_mask(paths["body-parts"], "body-parts").array).tolist() == [3]
    assert sorted(path.name for path in folder.iterdir()) == [
        "body-parts.nii.gz",
        "body-regions.nii.gz",
    ]


def test_case_without_parts(tmp_path: Path) -> None:
    archive = MaskArchive(write_masks(tmp_path / "m.zip"))
    assert list(archive.extract_case("case_001", tmp_path / "x")) == ["body-regions"]


@pytest.mark.parametrize("case_id", ["case_002", "case_003"])
def test_missing_case_is_refused(tmp_path: Path, case_id: str) -> None:
    path = write_members(
        tmp_path / "m.zip", (REGIONS, b"x"), ("case_003/body-parts.nii.gz", b"only parts")
    )
    message = rf"m\.zip: found no body regions of {case_id}, expected {case_id}/body-regions"
    with pytest.raises(MissingFileError, match=message):
        MaskArchive(path).extract_case(case_id, tmp_path)


def test_shared_by_threads_and_processes(tmp_path: Path) -> None:
    case_ids = [f"case_{number:03d}" for number in range(40)]
    archive = MaskArchive(write_masks(tmp_path / "m.zip", case_ids, without_parts=()))
    assert archive.case_ids == set(case_ids)
    copy = pickle.loads(pickle.dumps(archive))
    with ThreadPoolExecutor(8) as pool:
        many = [pool.submit(copy.extract_case, one, tmp_path / one) for one in case_ids]
        sizes = {len(path.read_bytes()) for one in many for path in one.result().values()}
    assert sizes == {len(label_map(1, 5)), len(label_map(3))}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s/case_000/body-regions.nii.gz", r"found body-regions\.nii\.gz of case_000 twice"),
        ("../case_001/body-regions.nii.gz", r"outside the archive"),
    ],
)
def test_unsafe_or_ambiguous_zip_is_refused(tmp_path: Path, name: str, message: str) -> None:
    path = write_members(tmp_path / "m.zip", (REGIONS, b"x"), (name, b"y"))
    with pytest.raises(UnreadableFileError, match=message):
        MaskArchive(path).tasks_of("case_000")


def test_too_large_label_map_is_refused(tmp_path: Path) -> None:
    path = write_members(tmp_path / "m.zip", (REGIONS, b"x"))
    packed = bytearray(path.read_bytes())
    struct.pack_into("<I", packed, packed.index(b"PK\1\2") + 24, (512 << 20) + 1)
    path.write_bytes(packed)
    with pytest.raises(UnreadableFileError, match=r"body-regions\.nii\.gz of 536870913 bytes"):
        MaskArchive(path).tasks_of("case_000")


def test_zip_without_label_maps_is_refused(tmp_path: Path) -> None:
    path = write_members(tmp_path / "m.zip", ("a/1.dcm", b"x"), ("case_1/body-parts.nii.gz", b""))
    message = r"no label map among 2 files, expected the SAROS label maps, <stem>/case_XXX"
    with pytest.raises(UnreadableFileError, match=message):
        MaskArchive(path).tasks_of("case_000")


def test_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = write_masks(tmp_path / "m.zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(
        UnreadableFileError, match=r"invalid or incomplete \.zip .* Delete it and run the same"
    ):
        MaskArchive(path).tasks_of("case_000")


def test_damaged_label_map_is_refused(tmp_path: Path) -> None:
    path = write_masks(tmp_path / "m.zip")
    packed = bytearray(path.read_bytes())
    packed[packed.index(label_map(1, 5)) + 20] ^= 0xFF
    path.write_bytes(packed)
    archive = MaskArchive(path)
    with pytest.raises(UnreadableFileError, match=r"Bad CRC-32 .* Delete it and run the same"):
        archive.extract_case("case_000", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Loopback]:
    """The label maps of two cases, and 2 MB of other files before them."""
    filler = np.random.default_rng(0).bytes(1 << 21)
    maps = [(f"case_{n:03d}/body-regions.nii.gz", label_map(n)) for n in range(2)]
    path = write_members(tmp_path / "m.zip", ("filler", filler), *maps)
    with Loopback({"/m.zip": path.read_bytes(), "/page": b"<html>" * 100}) as server:
        yield server


def test_remote_zip_is_read_by_ranges(server: Loopback, tmp_path: Path) -> None:
    archive = RemoteMaskArchive(server.url("/m.zip?token=s3cret"), IMPATIENT)
    assert archive.path == server.url("/m.zip?token=...")
    assert archive.case_ids == {"case_000", "case_001"}
    archive = pickle.loads(pickle.dumps(archive))
    assert len(pickle.dumps(archive)) < 1000
    (path,) = archive.extract_case("case_001", tmp_path / "out").values()
    assert path.read_bytes() == label_map(1)
    ranges = [one.headers["range"] for one in server.asked("/m.zip")]
    spans = [one.removeprefix("bytes=").split("-") for one in ranges]
    assert sum(int(last) - int(first) + 1 for first, last in spans) < 1 << 20


def test_remote_zip_is_retried(server: Loopback, tmp_path: Path) -> None:
    server.fail("/m.zip", Status(503), Status(503), Stall(100), Status(503))
    archive = RemoteMaskArchive(server.url("/m.zip"), IMPATIENT)
    (path,) = archive.extract_case("case_001", tmp_path).values()
    assert path.read_bytes() == label_map(1)


@pytest.mark.parametrize(
    ("address", "ranges", "kind", "message"),
    [
        ("/m.zip", False, TransferError, "a server without byte ranges.*saros download DIR"),
        ("/none?key=s3", True, TransferError, r"/none\?key=\.\.\.: found HTTP 404"),
        ("/page", True, UnreadableFileError, r"/page: found an invalid or incomplete"),
    ],
)
def test_remote_file_other_than_a_zip_with_ranges_is_refused(
    server: Loopback, address: str, ranges: bool, kind: type[Exception], message: str
) -> None:
    server.ranges = ranges
    with pytest.raises(kind, match=message) as caught:
        _ = RemoteMaskArchive(server.url(address), IMPATIENT).case_ids
    assert not isinstance(caught.value, TransientError)
    assert "\n" not in str(caught.value)


def test_unreachable_server(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="a lost connection \\(ConnectionRefusedError"):
        RemoteMaskArchive("http://127.0.0.1:9/m.zip", IMPATIENT).extract_case("case_000", tmp_path)
