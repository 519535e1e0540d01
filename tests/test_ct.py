from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.dicom_files import OTHER_UID, SERIES_UID, good_series, zipped

from saros_hf.ct import read_ct
from saros_hf.errors import DicomError, MissingFileError, SarosError, UsageError
from saros_hf.nifti import write_volume


def test_read_ct_keeps_the_original_grid(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    from_folder = read_ct(tmp_path / "dicom")
    from_zip = read_ct(zipped(tmp_path / "dicom"))
    write_volume(tmp_path / "ct.nii.gz", from_folder)
    from_nifti = read_ct(tmp_path / "ct.nii.gz")
    assert from_folder.array[0, 0].tolist() == [1, 2, 4, 7, 9]
    assert from_folder.spacing_mm == (1, 1, 2)
    for other in (from_zip, from_nifti):
        np.testing.assert_array_equal(other.array, from_folder.array)
        assert other.same_grid(from_folder)


def two_series(folder: Path) -> Path:
    good_series(folder / "a")
    good_series(folder / "b", OTHER_UID)
    return folder


def lost_slice(folder: Path) -> Path:
    good_series(folder / "series")
    (folder / "empty.dcm").touch()
    return folder


def single_file(folder: Path) -> Path:
    return good_series(folder)[0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            two_series,
            DicomError,
            rf"2 CT series: {SERIES_UID} \(5 slices\), {OTHER_UID} \(5 slices\), expected exactly",
        ),
        (lost_slice, DicomError, r"empty\.dcm: found a DICOM file that is cut short"),
        (single_file, UsageError, r"found a \.dcm file, .* For a DICOM series give the folder"),
        (lambda folder: folder, MissingFileError, "found nothing there"),
    ],
)
def test_read_ct_refuses_what_is_not_one_ct(
    tmp_path: Path, make: Callable[[Path], Path], error: type[SarosError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_ct(make(tmp_path / "dicom"))
