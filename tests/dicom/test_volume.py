import os
import shutil
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import process_time

import numpy as np
import pytest
from helpers.dicom_files import authors_array, flat_slices, read_all, write_series, write_slice
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from saros_hf.archive.local_files import open_source
from saros_hf.dicom import Stacking, find_series, read_series
from saros_hf.errors import DicomError

DATA = Path(__file__).parents[3] / "shared" / "data"


def noise(*shape: int) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1024, 2000, shape).astype(np.int16)


def test_resampling_by_hand(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2, 4, 7, 9), spacing_mm=2)
    volume = read_all(tmp_path, spacing_mm=5)
    # 5 slices of 2 mm make 2 of 5 mm: at 0 mm, and at 5 mm half way between 4 and 7.
    # The authors' filter cuts 5.5 to 5.
    assert volume.array[0, 0].tolist() == [1, 5]
    assert volume.array.dtype == np.int16
    assert volume.spacing_mm == (1, 1, 5)


@pytest.mark.parametrize("spacing_mm", [0.625, 1.25, 2.5, 3, 4.9, 7])
def test_resampling_gives_the_authors_voxels(tmp_path: Path, spacing_mm: float) -> None:
    write_series(tmp_path, noise(17, 5, 6), spacing_mm)
    np.testing.assert_array_equal(read_all(tmp_path, 5).array, authors_array(tmp_path))


def test_last_slice_past_the_input_repeats_it_instead_of_water(tmp_path: Path) -> None:
    # 5 slices of 8 mm make 8 of 5 mm; the last lies at 35 mm, the last input slice at 32 mm
    # covers up to 36 mm. 3 of 8 mm make 5; the last lies at 20 mm, the input ends there.
    write_series(tmp_path / "inside", flat_slices(-900, -800, -700, -600, -500), spacing_mm=8)
    write_series(tmp_path / "past", flat_slices(-900, -800, -700), spacing_mm=8)
    inside, past = tmp_path / "inside", tmp_path / "past"
    np.testing.assert_array_equal(read_all(inside, 5).array, authors_array(inside))
    assert authors_array(past)[0, 0].tolist() == [-900, -837, -775, -712, 0]
    assert read_all(past, 5).array[0, 0].tolist() == [-900, -837, -775, -712, -700]


@pytest.mark.parametrize("start_mm", [0, -376.440002, 0.1])
@pytest.mark.parametrize("spacing_mm", [0.7, 1, 1.25, 2.5, 5])
def test_skipping_slices_without_weight_changes_no_voxel(
    tmp_path: Path, spacing_mm: float, start_mm: float
) -> None:
    # At 1 mm four of five slices have no weight, or next to none where 5 k - start is rounded.
    for k, slice_ in enumerate(noise(23, 5, 6)):
        position = (-171.3, -0.7, start_mm + spacing_mm * k)
        write_slice(tmp_path / f"{k}.dcm", slice_, position, PixelSpacing=[0.742188, 0.742188])
    np.testing.assert_array_equal(read_all(tmp_path, 5).array, authors_array(tmp_path))


def test_oblique_series_give_the_authors_voxels(tmp_path: Path) -> None:
    angle = np.radians(20)
    rows, columns = (1, 0, 0), (0, np.cos(angle), np.sin(angle))
    normal = np.cross(rows, columns)
    for k, slice_ in enumerate(noise(17, 5, 6)):
        position = (1.3 * k * normal + (-171.3, -0.7, 12.9)).round(6).tolist()
        orientation = np.round([*rows, *columns], 6).tolist()
        path = tmp_path / f"{k}.dcm"
        write_slice(path, slice_, position, ImageOrientationPatient=orientation)
    np.testing.assert_array_equal(read_all(tmp_path, 5).array, authors_array(tmp_path))


def test_copies_of_a_slice_are_one_slice(tmp_path: Path) -> None:
    write_series(tmp_path / "first", flat_slices(1, 2, 3))
    shutil.copytree(tmp_path / "first", tmp_path / "again")
    assert read_all(tmp_path).array[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    voxels = noise(3, 64, 70)
    for path in write_series(tmp_path, voxels):
        data = dcmread(path)
        data.compress(syntax)
        data.save_as(path)
    np.testing.assert_array_equal(read_all(tmp_path).array, voxels.T)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_with_nested_pixel_data(tmp_path: Path, syntax: str, *, cut: bool) -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.PixelData = bytes(8)
    icon["PixelData"].VR = "OW"
    voxels = noise(3, 8, 8)
    for path in write_series(tmp_path, voxels, IconImageSequence=[icon]):
        data = dcmread(path)
        data.PixelData = data.PixelData[: 100 if cut else None]
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    if cut:
        with pytest.raises(DicomError, match="100 bytes of pixel data in"):
            read_all(tmp_path)
    else:
        np.testing.assert_array_equal(read_all(tmp_path).array, voxels.T)


def test_films_are_refused_without_addresses_in_memory(tmp_path: Path) -> None:
    for path in write_series(tmp_path, noise(3, 8, 8)):
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = MPEG2MPML
        data.PixelData = encapsulate([b"film"])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    with pytest.raises(DicomError, match=r"cannot be decoded \(Failed to change"):
        read_all(tmp_path)


def test_length_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    *_, last = write_series(tmp_path, flat_slices(1, 2, 3), DataSetTrailingPadding=bytes(10))
    private = b"\x09\x00\x10\x10OB\x00\x00\xff\xff\xff\x7f"
    content = last.read_bytes()
    at = content.index(b"\x10\x00\x20\x00LO")  # PatientID
    last.write_bytes(content[:at] + private + content[at:])
    before = getrusage(RUSAGE_SELF).ru_maxrss
    with pytest.raises(DicomError, match=r"1 file\(s\) cut short or damaged"):
        read_all(tmp_path)
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_file_of_zeros_takes_no_time(tmp_path: Path) -> None:
    write_series(tmp_path / "series", flat_slices(1, 2))
    with (tmp_path / "zeros.dcm").open("wb") as file:
        file.truncate(1 << 30)
    begin = process_time()
    assert find_series(sorted(tmp_path.rglob("*.dcm"))).broken == (tmp_path / "zeros.dcm",)
    assert process_time() - begin < 10


@pytest.mark.parametrize("stacking", ["along-normal", "published"])
def test_names_that_are_not_utf8(tmp_path: Path, stacking: Stacking) -> None:
    write_series(tmp_path / os.fsdecode(b"J\xf6rg"), flat_slices(1, 2, 3))
    assert read_all(tmp_path, stacking=stacking).array[0, 0].tolist() == [1, 2, 3]


def test_published_stacking_accepts_uneven_slices(tmp_path: Path) -> None:
    uneven = [0, 2, 4, 7, 9, 11]
    for k, (slice_, z) in enumerate(zip(noise(6, 5, 6), uneven, strict=True)):
        write_slice(tmp_path / f"{k}.dcm", slice_, (0, 0, z))
    with pytest.raises(DicomError, match="a gap of 3 mm"):
        read_all(tmp_path)
    # 11 mm in 5 steps are 2.2 mm each: 6 slices of 2.2 mm make 3 of 5 mm.
    volume = read_all(tmp_path, 5, "published")
    assert volume.shape == (6, 5, 3)
    np.testing.assert_array_equal(volume.array, authors_array(tmp_path))


def test_published_stacking_refuses_slices_without_position(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2, 3, 4), ImagePositionPatient=None)
    with pytest.raises(DicomError, match="no ImagePositionPatient"):
        read_all(tmp_path, 5, "published")


def test_stacking_against_the_normal_starts_at_the_head(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2, 4, 7, 9), spacing_mm=2)
    volume = read_all(tmp_path, 5, "against-normal")
    # 9 at the top, and 5 mm below it half way between 4 and 2.
    assert volume.array[0, 0].tolist() == [9, 3]
    assert volume.orientation == "LPI"
    np.testing.assert_allclose(volume.affine[:3, 3], (30, 40, -12))


def test_series_thinner_than_a_slice_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2), spacing_mm=1)
    with pytest.raises(DicomError, match=r"found 2 slices over 2 mm, expected more than 2\.5 mm"):
        read_all(tmp_path, 5)


def test_affine_leads_from_voxels_to_ras_millimetres(tmp_path: Path) -> None:
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    write_series(tmp_path, voxels, spacing_mm=4, PixelSpacing=[0.5, 0.8])
    volume = read_all(tmp_path)
    assert volume.orientation == "LPS"
    assert volume.array[3, 1, 1] == voxels[1, 1, 3]
    # LPS (-30 + 3 * 0.8, -40 + 1 * 0.5, -20 + 1 * 4), then the signs of x and y turned.
    np.testing.assert_allclose(volume.affine @ (3, 1, 1, 1), (27.6, 39.5, -16, 1))


def test_slices_follow_their_positions_not_names_or_numbers(tmp_path: Path) -> None:
    for name, number, z in [("b", 1, 10), ("c", 3, 0), ("a", 2, 5)]:
        path = tmp_path / f"deep-{z}" / f"{name}.dcm"
        write_slice(path, flat_slices(z)[0], (0, 0, z), InstanceNumber=number)
    assert read_all(tmp_path).array[0, 0].tolist() == [0, 5, 10]


def test_upside_down_rows_stack_downwards(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2, 3), ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    volume = read_all(tmp_path)
    assert volume.orientation == "LAI"
    assert volume.array[0, 0].tolist() == [3, 2, 1]
    np.testing.assert_allclose(volume.affine[:3, 3], (30, 40, -10))


def test_every_slice_has_its_own_rescale(tmp_path: Path) -> None:
    for k, (slope, intercept) in enumerate([(1, -1024), (2, -1000), (0.5, 0.25)]):
        rescale = {"RescaleSlope": slope, "RescaleIntercept": intercept}
        write_slice(tmp_path / f"{k}.dcm", flat_slices(101)[0], (0, 0, 5 * k), **rescale)
    # 101 - 1024, 202 - 1000, and 50.75 rounded.
    assert read_all(tmp_path).array[0, 0].tolist() == [-923, -798, 51]


def test_padding_is_kept_and_values_beyond_int16_are_clipped(tmp_path: Path) -> None:
    stored = flat_slices(0, 1).astype(np.uint16)
    stored[:, 0, 0] = 60000
    write_series(tmp_path, stored, RescaleIntercept=-3024)  # type: ignore[arg-type]
    volume = read_all(tmp_path, 5)
    assert volume.array[1, 1].tolist() == [-3024, -3023]
    assert volume.array[0, 0].tolist() == [32767, 32767]


def test_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    write_series(tmp_path, flat_slices(1, 2, 3))
    no_image = {"PixelData": None, "Rows": None, "Columns": None}
    others: dict[str, dict[str, object]] = {
        "scout": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "mr.dcm": {"Modality": "MR", "SeriesInstanceUID": "1.2.3"},
        "report": {"SOPClassUID": SecondaryCaptureImageStorage},
        "contours.dcm": {"SOPClassUID": RTStructureSetStorage, "Modality": "RTSTRUCT", **no_image},
    }
    for name, elements in others.items():
        write_slice(tmp_path / name, flat_slices(7)[0], (0, 0, 3), **elements)
    (tmp_path / "notes.txt").write_text("no DICOM")
    contents = find_series(path for path in tmp_path.iterdir() if path.is_file())
    assert [len(series.slices) for series in contents.series] == [3]
    assert contents.broken == ()
    assert contents.left_out == {
        "localizer": 1,
        "MR": 1,
        "secondary capture": 1,
        "DICOM without image": 1,
        "no DICOM": 1,
    }


def test_emptied_uids_make_one_reproducible_series_per_folder(tmp_path: Path) -> None:
    for name, value in [("first", 1), ("second", 2)]:
        write_series(tmp_path / name, flat_slices(value, 3), SeriesInstanceUID="", SOPClassUID="")
    shutil.copytree(tmp_path / "first", tmp_path / "third")
    uids = [series.uid for series in find_series(sorted(tmp_path.rglob("*.dcm"))).series]
    assert uids[0] == uids[2] != uids[1]
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "spacing_mm"),
    [
        ("dicom-abdomen-2mm", (512, 512, 20), 2.0),
        ("dicom-chest-3mm.zip", (512, 512, 102), 3.0),
        ("dicom-liver-5mm.zip", (512, 512, 51), 5.0),
    ],
)
def test_real_series(name: str, shape: tuple[int, int, int], spacing_mm: float) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not here")
    with open_source(DATA / name) as files:
        (series,) = find_series(files.paths).series
        original = read_series(series)
        resampled = read_series(series, spacing_mm=5).array
        expected = authors_array(files.root)
    assert original.shape == shape
    assert original.spacing_mm[2] == spacing_mm
    assert original.orientation == "LPS"
    np.testing.assert_array_equal(resampled, expected)
