"""Downloads of damaged or unusual files."""

import re
import zipfile

import numpy as np
import pytest
from helpers.archive_world import AFFINE, CASE_IDS, finished, pack_masks
from helpers.archives import MASKS, TABLE, Archives
from helpers.dicom_files import write_slice
from helpers.loopback import (
    GARBAGE,
    Cut,
    Fault,
    Stall,
    Status,
)

from saros_hf.errors import SarosError
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume

ZEROS = Volume(np.zeros((4, 3, 2), np.int16), AFFINE)


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        (TABLE, Status(404), r"Segmentation-Info\.csv: found HTTP 404"),
        (TABLE, GARBAGE, r"Segmentation-Info\.csv: found no column id"),
        (MASKS, Status(503), r"masks\.zip: found HTTP 503"),
        (MASKS, GARBAGE, r"SAROS-.*\.zip: found a file that is no whole \.zip"),
        (MASKS, Cut(100), r"masks\.zip: found a lost connection"),
    ],
)
def test_faulty_label_maps_or_table_stop_the_download(
    archives: Archives, path: str, fault: Fault, message: str
) -> None:
    archives.web.fail(path, *[fault] * archives.patience.attempts)
    if fault == Cut(100):  # otherwise every attempt resumes and gets 100 bytes more
        archives.web.ranges = False
    with pytest.raises(SarosError, match=message):
        archives.download("idc")
    assert finished(archives.folder) == []
    assert archives.s3.fetched() == []
    archives.web.faults.clear()
    archives.recover("idc")


def test_download_of_label_maps_is_resumed(archives: Archives) -> None:
    archives.web.fail(MASKS, Cut(100), Stall(200))
    assert [one.status for one in archives.download("idc")] == ["written"] * 3
    ranges = [request.headers.get("range") for request in archives.web.asked(MASKS)]
    assert ranges == [None, "bytes=100-", "bytes=300-"]


@pytest.mark.parametrize("what", ["outside", "link", "crc"])
def test_unsafe_or_damaged_zip_of_label_maps(archives: Archives, what: str) -> None:
    masks = archives.world.masks
    if what == "crc":
        content = bytearray(masks.read_bytes())
        content[content.index(b"\x1f\x8b") + 30] ^= 0xFF
        masks.write_bytes(content)
    else:
        member = zipfile.ZipInfo("../case_000/body-regions.nii.gz")
        if what == "link":
            member = zipfile.ZipInfo("SAROS/case_009/body-regions.nii.gz")
            member.external_attr = 0o120777 << 16
        with zipfile.ZipFile(masks, "a") as packed:
            packed.writestr(member, "x")
    archives.publish()
    if what == "crc":
        assert "Bad CRC-32" in archives.one_failure("idc")
    else:
        with pytest.raises(SarosError, match=r"a member outside|a link or special file"):
            archives.download("idc")
    assert not (archives.folder / "case_009").exists()
    pack_masks(archives.world)
    archives.publish()
    for stale in archives.folder.glob("SAROS-*.zip"):
        stale.unlink()
    archives.recover("idc")


def test_label_maps_on_another_grid_are_refused(archives: Archives) -> None:
    pack_masks(archives.world, shape=(4, 3, 3))
    archives.publish()
    outcomes = archives.download("idc")
    assert {one.status for one in outcomes} == {"failed"}
    assert re.search(r"shape \(4, 3, 3\).*expected the grid of its image", outcomes[0].reason)
    assert finished(archives.folder) == []
    pack_masks(archives.world)
    archives.publish()
    for stale in archives.folder.glob("SAROS-*.zip"):
        stale.unlink()
    archives.s3.fetched()
    archives.recover("idc")
    assert archives.s3.fetched() == []


def test_case_without_label_maps_fails(archives: Archives) -> None:
    pack_masks(archives.world, case_ids=("case_000", "case_002"))
    archives.publish()
    assert "found no body regions of case_001" in archives.one_failure("idc")


def test_truncated_slice_is_refused(archives: Archives) -> None:
    path = archives.world.series("case_001")[0]
    path.write_bytes(path.read_bytes()[:-10])
    archives.publish()
    assert re.search(r"found 1 damaged files|cut short or damaged", archives.one_failure("idc"))


def test_other_series_is_refused(archives: Archives) -> None:
    for k, path in enumerate(archives.world.series("case_001")):
        write_slice(path, np.zeros((3, 4), np.int16), (0, 0, 2.0 * k), SeriesInstanceUID="1.9.9")
    archives.publish()
    assert "found 0 damaged files and CT series 1.9.9, expected that" in archives.one_failure("idc")


def test_uneven_series_is_read_as_published(archives: Archives) -> None:
    uid = archives.world.cases[1].series_instance_uid
    for k, (path, z) in enumerate(
        zip(archives.world.series("case_001"), [-20, -18, -16, -13, -12], strict=True)
    ):
        stored = np.full((3, 4), 10 + k, np.int16)
        write_slice(path, stored, (-30, -40, z), SeriesInstanceUID=uid)
    archives.publish()
    outcomes = archives.download("idc")
    assert outcomes[1].status == "written"
    assert outcomes[1].reason.startswith("stacked as published although a gap of")
    assert finished(archives.folder) == list(CASE_IDS)


def test_truncated_image_is_fetched_again(archives: Archives) -> None:
    archives.download("idc")
    image = archives.folder / "case_001" / "image.nii.gz"
    image.write_bytes(image.read_bytes()[:-20])
    assert [one.status for one in archives.download("idc")] == ["kept", "written", "kept"]
    assert finished(archives.folder) == list(CASE_IDS)


def test_ct_of_another_series_is_not_overwritten(archives: Archives) -> None:
    archives.download("idc")
    source = archives.folder / "case_001" / "source.json"
    source.write_text(source.read_text().replace(archives.world.cases[1].series_instance_uid, "1"))
    before = (archives.folder / "case_001" / "image.nii.gz").stat().st_mtime_ns
    (failed,) = (one for one in archives.download("idc") if one.status == "failed")
    assert "case_001 made from series 1, expected an empty place or the same" in failed.reason
    assert (archives.folder / "case_001" / "image.nii.gz").stat().st_mtime_ns == before


def test_label_maps_are_added_to_an_existing_ct(archives: Archives) -> None:
    write_volume(archives.folder / "case_001" / "image.nii.gz", ZEROS)
    outcomes = archives.download("idc")
    assert outcomes[1].reason == "body-regions and body-parts added to the CT that was there"
    uid = archives.world.cases[1].series_instance_uid
    assert not [one for one in archives.s3.fetched() if uid in one]
