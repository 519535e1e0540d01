import gzip
import struct
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its users write it
from helpers.case_folders import LPS
from numpy.typing import NDArray

from saros_hf.errors import MissingFileError, UnknownLabelError, UnreadableFileError
from saros_hf.nifti import (
    read_grid,
    read_image,
    read_labels,
    read_mask,
    refuse_cut_short,
    write_volume,
)
from saros_hf.volume import Volume


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.nii.gz"


def noise(shape: tuple[int, int, int] = (40, 30, 20)) -> Volume:
    array = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(array, LPS)


def edit(path: Path, offset: int, form: str, *values: float | bytes) -> None:
    """Change fields of a header."""
    packed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(content) if packed else content)


def truncate(path: Path, fraction: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def test_written_volume_is_the_same_in_simpleitk(path: Path) -> None:
    write_volume(path, noise(), description="a test")
    back = read_image(path)
    assert np.array_equal(back.array, noise().array)
    assert back.same_grid(noise())
    other = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(other).T, noise().array)
    assert other.GetSpacing() == (2.0, 2.0, 5.0)
    assert other.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)  # identity is LPS there
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_float_hu_are_rounded_and_clipped_to_int16(path: Path, kind: type) -> None:
    array = np.array([-29.6, 0.4, 99999.0, -1e30, np.nan], kind).reshape(5, 1, 1)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    assert read_image(path).array.ravel().tolist() == [-30, 0, 32767, -32768, -1024]
    for infinite in (np.inf, -np.inf):
        array[0] = infinite
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
        with pytest.raises(UnreadableFileError, match="found infinite voxels"):
            read_image(path)


def test_scaled_voxels_need_little_extra_memory(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 3000, (200, 200, 40)).astype(np.int16)
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_slope_inter(1.0, -1024.0)
    path = tmp_path / "scaled.nii"
    path.write_bytes(image.to_bytes())
    tracemalloc.start()
    hounsfield = read_image(path).array
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(hounsfield, array - 1024)
    # The file, nibabel's copy of it and the result; float64 alone would take four times the size.
    assert peak < 3.5 * array.nbytes
    truncate(path, 0.9)
    with pytest.raises(UnreadableFileError, match="is cut short"):
        read_image(path)


def test_read_grid_holds_no_voxels(path: Path) -> None:
    write_volume(path, noise())
    grid = read_grid(path)
    assert grid.same_grid(noise())
    assert grid.array.strides == (0, 0, 0)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.99])
def test_truncated_file_is_refused(path: Path, fraction: float) -> None:
    write_volume(path, noise())
    refuse_cut_short(path)
    truncate(path, fraction)
    for read in (read_image, refuse_cut_short):
        with pytest.raises(
            UnreadableFileError, match=r"image\.nii\.gz: found a file that is cut short"
        ):
            read(path)


def test_file_of_several_gzip_members_is_complete(path: Path) -> None:
    write_volume(path.with_name("image.nii"), noise())
    raw = path.with_name("image.nii").read_bytes()
    path.write_bytes(gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]) + gzip.compress(b""))
    refuse_cut_short(path)
    assert np.array_equal(read_image(path).array, noise().array)


def test_other_formats_and_missing_files_are_refused(path: Path) -> None:
    with pytest.raises(MissingFileError, match="found no such file"):
        read_image(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UnreadableFileError, match="expected a complete NIfTI file"):
        read_image(path)


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [
        ((2, 2, 2, 3), np.eye(3, 4), r"4 dimensions \(2, 2, 2, 3\), expected 3"),
        ((2, 2), np.eye(3, 4), r"2 dimensions \(2, 2\), expected 3"),
        ((2, 2, 0), np.eye(3, 4), r"3 dimensions \(2, 2, 0\), expected 3"),
        ((2, 2, 2), np.zeros((3, 4)), "a singular affine"),
        ((2, 2, 2), np.diag([1.0, 1.0, 0.0, 1.0])[:3], "a singular affine"),
        ((2, 2, 2), np.full((3, 4), np.nan), "an affine with NaN"),
    ],
)
def test_images_that_are_not_3d_or_lack_an_affine_are_refused(
    tmp_path: Path, shape: tuple[int, ...], rows: NDArray[np.float64], message: str
) -> None:
    path = tmp_path / "image.nii"
    content = bytearray(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)).to_bytes())
    # nibabel refuses to write such headers: set qform_code, sform_code and the rows of the sform.
    struct.pack_into("<hh", content, 252, 0, 1)
    struct.pack_into("<12f", content, 280, *rows.ravel())
    path.write_bytes(content)
    for read in (read_image, read_grid):
        with pytest.raises(UnreadableFileError, match=message):
            read(path)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_trailing_axes_of_length_one_are_dropped(path: Path, kind: type) -> None:
    array = noise((4, 3, 2)).array
    nib.save(nib.Nifti1Image(array[..., None].astype(kind), LPS), path)
    back = read_image(path)
    assert np.array_equal(back.array, array)
    assert back.same_grid(read_grid(path))


def test_unknown_label_is_named(path: Path) -> None:
    mask = np.full((2, 2, 2), 255, np.uint8)
    mask[..., 0] = 6
    write_volume(path, Volume(mask, LPS))
    assert read_mask(path, "body-parts").array.dtype == np.uint8
    mask[0, 0, 0] = 7  # a body region, but no body part
    write_volume(path, Volume(mask, LPS))
    assert read_mask(path, "body-regions").array.max() == 255
    with pytest.raises(UnknownLabelError, match=r"image\.nii\.gz: found label 7, expected"):
        read_mask(path, "body-parts")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_are_read_as_integers(path: Path, kind: type) -> None:
    nib.save(nib.Nifti1Image(np.array([[[0, 13, 200]]], kind), LPS), path)
    back = read_labels(path).array
    assert back.dtype.kind in "iu"
    assert back.tolist() == [[[0, 13, 200]]]


@pytest.mark.parametrize("value", [0.5, 1.01, np.nan, np.inf, 1e30])
def test_probabilities_are_refused_as_labels(path: Path, value: float) -> None:
    array = np.ones((2, 2, 2))
    array[0] = value
    nib.save(nib.Nifti1Image(array, LPS), path)
    for read in (read_labels, partial(read_mask, task="body-regions")):
        with pytest.raises(UnknownLabelError, match="float64 that are not integers"):
            read(path)


def test_labels_scaled_by_nearly_one_are_whole(path: Path) -> None:
    write_volume(path, Volume(np.full((2, 2, 2), 13, np.uint8), LPS))
    edit(path, 112, "<2f", 1.0000001, 0)
    assert read_mask(path, "body-regions").array.max() == 13
    assert read_labels(path).array.dtype.kind == "i"


@pytest.mark.parametrize("kind", [[("R", "u1"), ("G", "u1"), ("B", "u1")], np.complex64])
def test_colours_and_complex_numbers_are_refused(path: Path, kind: Any) -> None:  # noqa: ANN401
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), kind), LPS), path)
    for read in (read_image, read_labels):
        with pytest.raises(UnreadableFileError, match="found voxels of type"):
            read(path)


@pytest.mark.parametrize(
    ("code", "factor"), [(0, 1), (1, 1e-3), (2, 1), (3, 1e3), (0b10_001, 1e-3)]
)
def test_units_of_length(path: Path, code: int, factor: float) -> None:
    write_volume(path, Volume(noise().array, np.diag([factor] * 3 + [1]) @ LPS))
    edit(path, 123, "B", code)
    np.testing.assert_allclose(read_image(path).affine, LPS, rtol=1e-6)
    np.testing.assert_allclose(sitk.ReadImage(str(path)).GetSpacing(), (2, 2, 5), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("offset", "form", "values", "message"),
    [
        (108, "<f", (0,), "voxels at byte 0, inside the header"),
        (108, "<f", (np.nan,), "voxels at byte nan"),
        (108, "<f", (1e9,), "cut short"),
        (42, "<h", (-40,), r"3 dimensions \(-40, 30, 20\)"),
        (42, "<h", (32767,), "cut short"),
        (70, "<h", (3,), "HeaderDataError"),
        (252, "<hh", (0, 0), "no orientation"),
        (280, "<f", (0.0005,), "voxels of 0.0005, 2, 5 mm, expected 0.01 to 100 mm"),
        (284, "<f", (0.1,), "a sheared affine"),
        (344, "<4s", (b"ni1",), "the header of another format"),
        (116, "<f", (np.inf,), "HeaderDataError"),
    ],
)
def test_headers_that_cannot_be_right_are_refused(
    tmp_path: Path, suffix: str, offset: int, form: str, values: tuple[Any, ...], message: str
) -> None:
    path = tmp_path / f"image{suffix}"
    write_volume(path, noise())
    edit(path, offset, form, *values)
    for read in (read_image, read_labels, refuse_cut_short):
        with pytest.raises(UnreadableFileError, match=message):
            read(path)


def test_memory_is_bounded_by_the_volume(path: Path) -> None:
    write_volume(path, noise())
    voxels = path.read_bytes()
    path.write_bytes(voxels + gzip.compress(bytes(200 << 20), 1))
    tracemalloc.start()
    assert np.array_equal(read_image(path).array, noise().array)
    path.write_bytes(voxels)
    edit(path, 42, "<3h", 300, 300, 300)
    with pytest.raises(UnreadableFileError, match="54000352 bytes by its header"):
        read_image(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


def test_extensions_are_not_read(path: Path) -> None:
    image = nib.Nifti2Image(noise().array, LPS)
    image.header.set_intent(3001)
    content = bytearray(image.to_bytes())
    extension = struct.pack("<ii", 2**31 - 1, 32) + b"<CIFTI".ljust(8)  # a size it cannot have
    content[540] = 1
    content[544:544] = extension
    struct.pack_into("<q", content, 168, 544 + len(extension))
    path.write_bytes(gzip.compress(content))
    assert np.array_equal(read_image(path).array, noise().array)
