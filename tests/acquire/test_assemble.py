"""CTs with the label maps that were drawn on them."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.case_folders import case
from helpers.dicom_files import SERIES_UID, flat_slices, good_series, write_series, write_slice
from numpy.typing import NDArray

from saros_hf.acquire.assemble import add_masks, assemble
from saros_hf.archive.obtain_files import MaskArchive
from saros_hf.cases.pairing import TOP_DOWN_SERIES
from saros_hf.dicom import CtSeries, find_series, read_series
from saros_hf.errors import DicomError, GridMismatchError
from saros_hf.nifti import read_grid, read_image, read_mask, write_volume
from saros_hf.volume import Volume

(TOP_DOWN_UID,) = TOP_DOWN_SERIES

# Five slices at 2 mm from z = -20 on: two at 5 mm.
UP = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 40], [0, 0, 5, -20], [0, 0, 0, 1]])
# The same from the top, z = -12, and the wrong affine of the label maps of case_647.
DOWN = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 40], [0, 0, -5, -12], [0, 0, 0, 1]])
WRONG = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 40], [0, 0, 5, -12], [0, 0, 0, 1]])


def series_in(folder: Path) -> CtSeries:
    (series,) = find_series(sorted(folder.rglob("*.dcm"))).series
    return series


def archive(
    folder: Path,
    case_id: str,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int] = (4, 3, 2),
    parts: bool = True,
) -> MaskArchive:
    """Write a ZIP with label maps of one case: slice k holds label k (of 0 to 6)."""
    mask = np.broadcast_to(np.arange(shape[2], dtype=np.uint8) % 7, shape)
    with zipfile.ZipFile(folder / "masks.zip", "w") as packed:
        for task in ("body-regions", "body-parts") if parts else ("body-regions",):
            path = folder / f"{task}.nii.gz"
            write_volume(path, Volume(mask, affine))
            packed.write(path, f"SAROS/{case_id}/{task}.nii.gz")
    return MaskArchive(folder / "masks.zip")


def test_image_and_label_maps_have_the_same_affine(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    nearly = UP + np.diag([0, 0, 1e-6, 0])
    masks = archive(tmp_path, "case_001", nearly)
    out = tmp_path / "cases" / "case_001"
    assert assemble(series_in(tmp_path / "dicom"), out, case=case("case_001"), masks=masks) == ""
    names = ["body-parts.nii.gz", "body-regions.nii.gz", "image.nii.gz", "source.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    image = read_image(out / "image.nii.gz")
    assert image.array[0, 0].tolist() == [1, 5]
    for name in names[:2]:
        np.testing.assert_array_equal(read_grid(out / name).affine, image.affine)
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes()


def test_ct_is_stored_in_the_directions_of_its_label_maps(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    expected = read_series(series_in(tmp_path / "dicom"), spacing_mm=5).to_ras()
    masks = archive(tmp_path, "case_001", expected.affine)
    out = tmp_path / "cases" / "case_001"
    assemble(series_in(tmp_path / "dicom"), out, case=case("case_001"), masks=masks)
    image = read_image(out / "image.nii.gz")
    np.testing.assert_array_equal(image.array, expected.array)
    assert image.same_grid(read_grid(out / "body-regions.nii.gz"))


def test_head_first_label_maps_get_the_affine_of_the_ct(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom", TOP_DOWN_UID)
    masks = archive(tmp_path, "case_647", WRONG)
    out = tmp_path / "cases" / "case_647"
    note = assemble(series_in(tmp_path / "dicom"), out, case=case("case_647"), masks=masks)
    assert note == "stacked from head to foot, as its label maps are"
    image = read_image(out / "image.nii.gz")
    assert image.orientation == "LPI"
    # 9 HU at the top, half way between 4 and 2 five millimetres below.
    assert image.array[0, 0].tolist() == [9, 3]
    np.testing.assert_allclose(image.affine, DOWN)
    for task in ("body-regions", "body-parts"):
        mask = read_mask(out / f"{task}.nii.gz", task)
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert mask.array[0, 0].tolist() == [0, 1]
    assert json.loads((out / "source.json").read_text())["stacking"] == "against-normal"


def test_label_maps_with_the_wrong_direction_are_known_by_series(tmp_path: Path) -> None:
    # Ten slices at 5 mm: the grids counted from foot and from head hold the same places.
    write_series(
        tmp_path / "dicom",
        flat_slices(*range(10)),
        spacing_mm=5,
        SeriesInstanceUID=TOP_DOWN_UID,
    )
    masks = archive(tmp_path, "case_647", UP, (4, 3, 10))
    out = tmp_path / "cases" / "case_647"
    assemble(series_in(tmp_path / "dicom"), out, case=case("case_647"), masks=masks)
    assert read_image(out / "image.nii.gz").array[0, 0].tolist() == list(range(9, -1, -1))
    assert read_mask(out / "body-regions.nii.gz", "body-regions").orientation == "LPI"


def test_other_grid_is_refused(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    masks = archive(tmp_path, "case_001", UP, (4, 3, 3))
    out = tmp_path / "cases" / "case_001"
    with pytest.raises(
        GridMismatchError, match=r"shape \(4, 3, 3\).* expected the grid of its image"
    ):
        assemble(series_in(tmp_path / "dicom"), out, case=case("case_001"), masks=masks)
    assert list((tmp_path / "cases").iterdir()) == []


def test_uneven_series_is_read_as_published_only_if_complete_and_fitting(
    tmp_path: Path,
) -> None:
    for k, z in enumerate([-20, -18, -16, -13, -12]):
        write_slice(tmp_path / "dicom" / f"{k}.dcm", flat_slices(k)[0], (-30, -40, z))
    series = series_in(tmp_path / "dicom")
    # 8 mm in 4 steps are 2 mm each: 5 slices of 2 mm make 2 of 5 mm.
    masks = archive(tmp_path, "case_001", UP)
    out = tmp_path / "cases" / "case_001"
    with pytest.raises(DicomError, match="a gap of"):
        assemble(series, out, case=case("case_001"), masks=masks)
    with pytest.raises(DicomError, match="a gap of"):
        assemble(series, out, as_published=True)
    note = assemble(series, out, case=case("case_001"), masks=masks, as_published=True)
    assert note.startswith("stacked as published although a gap of")
    # Half way between slices 2 and 3, cut to an integer.
    assert read_image(out / "image.nii.gz").array[0, 0].tolist() == [0, 2]


def test_label_maps_are_added_to_an_existing_ct(tmp_path: Path) -> None:
    out = tmp_path / "cases" / "case_001"
    write_volume(out / "image.nii.gz", Volume(np.zeros((4, 3, 2), np.int16), UP))
    masks = archive(tmp_path, "case_001", UP)
    note = add_masks(out, case("case_001"), masks)
    assert note == "body-regions and body-parts added to the CT that was there"
    assert add_masks(out, case("case_001"), masks) is None
    (out / "body-parts.nii.gz").unlink()
    assert add_masks(out, case("case_001"), masks) == "body-parts added to the CT that was there"
    write_volume(out / "image.nii.gz", Volume(np.zeros((4, 3, 5), np.int16), UP))
    (out / "body-parts.nii.gz").unlink()
    with pytest.raises(GridMismatchError):
        add_masks(out, case("case_001"), masks)
    assert sorted(path.name for path in out.iterdir()) == ["body-regions.nii.gz", "image.nii.gz"]


def test_case_without_body_parts_is_complete(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom", SERIES_UID)
    masks = archive(tmp_path, "case_452", UP, parts=False)
    out = tmp_path / "cases" / "case_452"
    assemble(series_in(tmp_path / "dicom"), out, case=case("case_452"), masks=masks)
    assert not (out / "body-parts.nii.gz").exists()
    assert add_masks(out, case("case_452"), masks) is None
