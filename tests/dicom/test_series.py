from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.dicom_files import SERIES_UID, flat_slices, write_series, write_slice

from saros_hf.dicom import find_series, read_series
from saros_hf.errors import DicomError
from saros_hf.volume import Volume


def read(folder: Path) -> Volume:
    (series,) = find_series(sorted(folder.rglob("*"))).series
    return read_series(series)


@pytest.mark.parametrize("spacing_mm", [0.625, 1.25])
def test_positions_written_with_one_decimal_are_even_enough(
    tmp_path: Path, spacing_mm: float, capfd: pytest.CaptureFixture[str]
) -> None:
    for k in range(20):
        write_slice(tmp_path / f"{k}.dcm", flat_slices(k)[0], (0, 0, round(k * spacing_mm, 1)))
    assert read(tmp_path).spacing_mm[2] == pytest.approx(spacing_mm, rel=0.01)
    assert capfd.readouterr() == ("", "")


def move(path: Path, position: tuple[float, float, float], **elements: object) -> None:
    write_slice(path, flat_slices(1)[0], position, **elements)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


Spoil = Callable[[list[Path]], None]
REFUSED: dict[str, tuple[Spoil, str]] = {
    "missing": (
        lambda paths: paths[3].unlink(),
        r"a gap of 10 mm between 002\.dcm, 004\.dcm where 5 mm is usual, 1 slice\(s\) missing",
    ),
    "uneven": (
        lambda paths: move(paths[3], (-30, -40, -4.7)),
        r"a gap of 5\.3 mm between 002\.dcm, 003\.dcm where 5 mm is usual, expected slices evenly",
    ),
    "duplicate": (
        lambda paths: move(paths[3].with_name("copy.dcm"), (-30, -40, -5)),
        r"1 slice position\(s\) taken twice \(first (003|copy)\.dcm, (003|copy)\.dcm\)",
    ),
    "single": (lambda paths: [path.unlink() for path in paths[1:]], "1 slice, expected at least 2"),
    "size": (
        lambda paths: write_slice(paths[3], np.zeros((5, 7), np.int16), (-30, -40, -5)),
        r"size \(4, 3\) in 000\.dcm but \(7, 5\) in 003\.dcm",
    ),
    "spacing": (
        lambda paths: move(paths[3], (-30, -40, -5), PixelSpacing=[1, 0.9]),
        r"spacing \(1\.0, 1\.0\) in 000\.dcm but \(1\.0, 0\.9\) in 003\.dcm",
    ),
    "orientation": (
        lambda paths: move(paths[3], (-30, -40, -5), ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        r"orientation \(1\.0, .* in 000\.dcm but \(0\.0, .* in 003\.dcm",
    ),
    "shifted": (
        lambda paths: move(paths[3], (-30, -41, -5)),
        r"shifted sideways by up to 1\.0 mm \(3\.8 degrees\), .* without gantry tilt",
    ),
    "place": (
        lambda paths: move(paths[3], (-30, -40, -5), ImagePositionPatient=None),
        r"no ImagePositionPatient, ImageOrientationPatient or PixelSpacing in 003\.dcm",
    ),
    "frames": (
        lambda paths: write_slice(
            paths[3], np.zeros((2, 3, 4), np.int16), (-30, -40, -5), NumberOfFrames=2
        ),
        r"2 frames in 003\.dcm, expected one slice per file",
    ),
    "cut": (
        lambda paths: cut(paths[3], paths[3].stat().st_size - 5),
        r"1 file\(s\) cut short or damaged \(003\.dcm\)",
    ),
    "last-cut": (
        lambda paths: cut(paths[5], 700),
        r"1 file\(s\) cut short or damaged \(005\.dcm\)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line_naming_the_series(tmp_path: Path, what: str) -> None:
    spoil, message = REFUSED[what]
    spoil(write_series(tmp_path, flat_slices(1, 2, 3, 4, 5, 6)))
    with pytest.raises(DicomError, match=message) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"series {SERIES_UID}: found ")
    assert "\n" not in str(caught.value)


def test_gantry_tilt_and_reformats_are_refused(tmp_path: Path) -> None:
    tilt = np.radians(15)
    tilted = [1, 0, 0, 0, np.cos(tilt).round(6), np.sin(tilt).round(6)]
    write_series(tmp_path / "tilted", flat_slices(1, 2, 3), ImageOrientationPatient=tilted)
    write_series(
        tmp_path / "coronal", flat_slices(1, 2), ImageOrientationPatient=[1, 0, 0, 0, 0, 1]
    )
    with pytest.raises(DicomError, match=r"sideways by up to 2\.6 mm \(15\.0 degrees\)"):
        read(tmp_path / "tilted")
    with pytest.raises(DicomError, match="found coronal or sagittal slices, expected axial"):
        read(tmp_path / "coronal")
