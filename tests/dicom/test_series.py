from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.dicom_files import SERIES_UID, flat_slices, read_all, write_series, write_slice

from saros_hf.errors import DicomError


@pytest.mark.parametrize("spacing_mm", [0.625, 1.25])
def test_positions_written_with_one_decimal_are_even_enough(
    tmp_path: Path, spacing_mm: float, capfd: pytest.CaptureFixture[str]
) -> None:
    for k in range(20):
        write_slice(tmp_path / f"{k}.dcm", flat_slices(k)[0], (0, 0, round(k * spacing_mm, 1)))
    assert read_all(tmp_path).spacing_mm[2] == pytest.approx(spacing_mm, rel=0.01)
    assert capfd.readouterr() == ("", "")


def rewrite(path: Path, shape: tuple[int, ...] = (3, 4), z: float = -5, **elements: object) -> None:
    """Write the slice that belongs at z = -5 mm anew, with other elements."""
    write_slice(path, np.ones(shape, np.int16), (-30, -40, z), **elements)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


Spoil = Callable[[list[Path]], None]
REFUSED: dict[str, tuple[Spoil, str]] = {
    "missing": (
        lambda paths: paths[3].unlink(),
        r"a gap of 10 mm between 002\.dcm, 004\.dcm where 5 mm is usual, 1 slice\(s\) missing",
    ),
    "uneven": (
        lambda paths: rewrite(paths[3], z=-4.7),
        r"a gap of 5\.3 mm between 002\.dcm, 003\.dcm where 5 mm is usual, expected slices evenly",
    ),
    "duplicate": (
        lambda paths: rewrite(paths[3].with_name("copy.dcm")),
        r"1 slice position\(s\) taken twice \(first (003|copy)\.dcm, (003|copy)\.dcm\)",
    ),
    "single": (lambda paths: [path.unlink() for path in paths[1:]], "1 slice, expected at least 2"),
    "size": (
        lambda paths: rewrite(paths[3], (5, 7)),
        r"size \(4, 3\) in 000\.dcm but \(7, 5\) in 003\.dcm",
    ),
    "spacing": (
        lambda paths: rewrite(paths[3], PixelSpacing=[1, 0.9]),
        r"spacing \(1\.0, 1\.0\) in 000\.dcm but \(1\.0, 0\.9\) in 003\.dcm",
    ),
    "orientation": (
        lambda paths: rewrite(paths[3], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        r"orientation \(1\.0, .* in 000\.dcm but \(0\.0, .* in 003\.dcm",
    ),
    "shifted": (
        lambda paths: rewrite(paths[3], ImagePositionPatient=[-30, -41, -5]),
        r"shifted sideways by up to 1\.0 mm \(3\.8 degrees\), .* without gantry tilt",
    ),
    "no position": (
        lambda paths: rewrite(paths[3], ImagePositionPatient=None),
        r"no ImagePositionPatient, ImageOrientationPatient or PixelSpacing in 003\.dcm",
    ),
    "frames": (
        lambda paths: rewrite(paths[3], (2, 3, 4), NumberOfFrames=2),
        r"2 frames in 003\.dcm, expected one slice per file",
    ),
    "enhanced": (
        lambda paths: [
            rewrite(paths[0], (2, 3, 4), NumberOfFrames=2),
            *(path.unlink() for path in paths[1:]),
        ],
        r"2 frames in 000\.dcm, .* Export the series as classic, not enhanced, CT",
    ),
    "position nan": (
        lambda paths: rewrite(paths[5], ImagePositionPatient=[-30, -40, "nan"]),
        r"no ImagePositionPatient, .* in 005\.dcm",
    ),
    "position far": (
        lambda paths: rewrite(paths[5], ImagePositionPatient=[-30, -40, 1e16]),
        r"ImagePositionPatient -30, -40, 1e\+16 in 005\.dcm",
    ),
    "spacing zero": (
        lambda paths: [rewrite(path, PixelSpacing=[0, 1]) for path in paths],
        r"PixelSpacing 0, 1 in 000\.dcm, expected 0\.01 to 100 mm",
    ),
    "spacing negative": (
        lambda paths: rewrite(paths[3], PixelSpacing=[1, -1]),
        r"PixelSpacing 1, -1 in 003\.dcm",
    ),
    "not unit": (
        lambda paths: rewrite(paths[3], ImageOrientationPatient=[2, 0, 0, 0, 2, 0]),
        r"ImageOrientationPatient 2, 0, 0, 0, 2, 0 in 003\.dcm, expected two directions of length",
    ),
    "colour": (
        lambda paths: rewrite(
            paths[3],
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=0,
            PixelData=bytes(72),
        ),
        r"PhotometricInterpretation RGB in 003\.dcm, expected MONOCHROME2",
    ),
    "inverted": (
        lambda paths: [rewrite(path, PhotometricInterpretation="MONOCHROME1") for path in paths],
        r"PhotometricInterpretation MONOCHROME1 in 000\.dcm",
    ),
    "no rescale": (
        lambda paths: rewrite(paths[3], RescaleIntercept=None),
        r"RescaleSlope and RescaleIntercept 1 in 003\.dcm, .* no Hounsfield units",
    ),
    "rescale empty": (
        lambda paths: [rewrite(path, RescaleSlope="", RescaleIntercept="") for path in paths],
        r"RescaleSlope and RescaleIntercept missing in 000\.dcm",
    ),
    "rescale zero": (
        lambda paths: rewrite(paths[3], RescaleSlope=0),
        r"RescaleSlope and RescaleIntercept 0, 0 in 003\.dcm",
    ),
    "sign unknown": (
        lambda paths: [rewrite(path, PixelRepresentation=None) for path in paths],
        r"PixelRepresentation missing in 000\.dcm",
    ),
    "one row": (
        lambda paths: [rewrite(path, (1, 4)) for path in paths],
        r"1 rows and 4 columns in 000\.dcm, expected at least 2 each",
    ),
    "pixels short": (
        lambda paths: rewrite(paths[3], PixelData=bytes(22)),
        r"22 bytes of pixel data in 003\.dcm, expected 3 rows of 4 values of 16 bits",
    ),
    "pixels of another row": (
        lambda paths: rewrite(paths[3], PixelData=bytes(32)),
        r"32 bytes of pixel data in 003\.dcm",
    ),
    "emptied": (
        lambda paths: cut(paths[5].rename(paths[5].with_suffix("")), 100),
        r"1 file\(s\) cut short or damaged \(005\)",
    ),
    "cut": (
        lambda paths: cut(paths[3], paths[3].stat().st_size - 5),
        r"1 file\(s\) cut short or damaged \(003\.dcm\)",
    ),
    "last cut": (
        lambda paths: cut(paths[5], 700),
        r"1 file\(s\) cut short or damaged \(005\.dcm\)",
    ),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize(("spoil", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_series_are_refused_in_one_line(tmp_path: Path, spoil: Spoil, message: str) -> None:
    spoil(write_series(tmp_path, flat_slices(1, 2, 3, 4, 5, 6)))
    with pytest.raises(DicomError, match=message) as caught:
        read_all(tmp_path)
    assert str(caught.value).startswith(f"series {SERIES_UID}: found ")
    assert "\n" not in str(caught.value)


def test_gantry_tilt_and_reformats_are_refused(tmp_path: Path) -> None:
    tilt = np.radians(15)
    tilted = [1, 0, 0, 0, np.cos(tilt).round(6), np.sin(tilt).round(6)]
    write_series(tmp_path / "tilted", flat_slices(1, 2, 3), ImageOrientationPatient=tilted)
    coronal = [1, 0, 0, 0, 0, 1]
    write_series(tmp_path / "coronal", flat_slices(1, 2), ImageOrientationPatient=coronal)
    with pytest.raises(DicomError, match=r"sideways by up to 2\.6 mm \(15\.0 degrees\)"):
        read_all(tmp_path / "tilted")
    with pytest.raises(DicomError, match="found coronal or sagittal slices, expected axial"):
        read_all(tmp_path / "coronal")


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_series(tmp_path / folder, flat_slices(1, 2))
        for path in (tmp_path / folder).iterdir():
            rewrite(path, z=float(path.stem))
    with pytest.raises(DicomError, match=r"\(first first/000\.dcm, second/000\.dcm\)"):
        read_all(tmp_path)
