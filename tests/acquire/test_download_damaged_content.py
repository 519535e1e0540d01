"""Downloads of damaged or unusual files."""

import re
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from helpers.archive_world import AFFINE, CASE_IDS, World, finished, pack_masks
from helpers.archives import MASKS, TABLE, Archives
from helpers.dicom_files import write_slice
from helpers.loopback import (
    GARBAGE,
    Fault,
    Status,
)

from saros_hf.errors import SarosError
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume


def repair_masks(archives: Archives) -> None:
    """Publish intact label maps, and remove the downloaded ones."""
    pack_masks(archives.world)
    archives.publish()
    for path in archives.folder.glob("SAROS-*.zip"):
        path.unlink()


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        (TABLE, Status(404), r"Segmentation-Info\.csv: found HTTP 404"),
        (TABLE, GARBAGE, r"Segmentation-Info\.csv: found no column id"),
        (MASKS, Status(503), r"masks\.zip: found HTTP 503"),
        (MASKS, GARBAGE, r"SAROS-.*\.zip: found an invalid or incomplete \.zip"),
    ],
)
def test_faulty_label_maps_or_table_stop_the_download(
    archives: Archives, path: str, fault: Fault, message: str
) -> None:
    archives.web.fail(path, *[fault] * archives.patience.attempts)
    with pytest.raises(SarosError, match=message):
        archives.download("idc")
    assert finished(archives.folder) == []
    assert archives.s3.fetched() == []
    archives.web.faults.clear()
    archives.recover("idc")


def test_unsafe_zip_of_label_maps_is_refused(archives: Archives) -> None:
    with zipfile.ZipFile(archives.world.masks, "a") as packed:
        packed.writestr("../case_000/body-regions.nii.gz", "x")
    archives.publish()
    with pytest.raises(SarosError, match="a member outside"):
        archives.download("idc")
    repair_masks(archives)
    archives.recover("idc")


def test_damaged_label_map_fails_its_case(archives: Archives) -> None:
    content = bytearray(archives.world.masks.read_bytes())
    content[content.index(b"\x1f\x8b") + 30] ^= 0xFF
    archives.world.masks.write_bytes(content)
    archives.publish()
    assert "Bad CRC-32" in archives.one_failure("idc")
    repair_masks(archives)
    archives.recover("idc")


def test_label_maps_on_another_grid_are_refused(archives: Archives) -> None:
    pack_masks(archives.world, shape=(4, 3, 3))
    archives.publish()
    outcomes = archives.download("idc")
    assert {one.status for one in outcomes} == {"failed"}
    assert re.search(r"shape \(4, 3, 3\).*expected the grid of its image", outcomes[0].reason)
    assert finished(archives.folder) == []
    repair_masks(archives)
    archives.s3.fetched()
    archives.recover("idc")
    assert archives.s3.fetched() == []


def remove_label_maps(world: World) -> None:
    pack_masks(world, case_ids=("case_000", "case_002"))


def truncate_slice(world: World) -> None:
    path = world.series("case_001")[0]
    path.write_bytes(path.read_bytes()[:-10])


def replace_series(world: World) -> None:
    for k, path in enumerate(world.series("case_001")):
        write_slice(path, np.zeros((3, 4), np.int16), (0, 0, 2.0 * k), SeriesInstanceUID="1.9.9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_label_maps, "found no body regions of case_001"),
        (truncate_slice, "found 1 damaged files|cut short or damaged"),
        (replace_series, r"found 0 damaged files and CT series 1\.9\.9, expected that"),
    ],
)
def test_unusable_case_fails(
    archives: Archives, change: Callable[[World], None], message: str
) -> None:
    change(archives.world)
    archives.publish()
    assert re.search(message, archives.one_failure("idc"))


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


def test_label_maps_are_added_to_an_existing_ct(archives: Archives) -> None:
    write_volume(
        archives.folder / "case_001" / "image.nii.gz", Volume(np.zeros((4, 3, 2), np.int16), AFFINE)
    )
    outcomes = archives.download("idc")
    assert outcomes[1].reason == "body-regions and body-parts added to the CT that was there"
    uid = archives.world.cases[1].series_instance_uid
    assert not [one for one in archives.s3.fetched() if uid in one]
