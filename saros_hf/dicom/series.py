"""A CT series as its headers describe it, and the checks that make it a volume.

Positions and directions are DICOM's: LPS millimetres.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from ..volume import PLAUSIBLE_SPACING_MM

MAX_DEVIATION_MM = 0.1
"""Largest distance of a slice from an even grid, unless 1 % of the slice spacing is more.

Some scanners write positions with one decimal, which moves slices and the grid by 0.05 mm each;
one missing slice moves its neighbours by at least half the spacing."""

MAX_TILT_DEGREES = 0.1
_MAX_COSINE_DIFFERENCE = 1e-3
_MAX_SKEW = 0.01
_FARTHEST_MM = 1e5
_SLOPES = (1e-3, 100.0)
_MAX_INTERCEPT = 32768

ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")


@dataclass(frozen=True)
class Slice:
    """Header of one DICOM image file.

    Attributes:
        path: The file.
        series_uid: SeriesInstanceUID, empty if an anonymiser has emptied it.
        instance_uid: SOPInstanceUID.
        modality: Modality, e.g. ``CT``.
        sop_class: SOPClassUID.
        image_type: Values of ImageType in upper case.
        size: Columns, rows, frames.
        pixel_spacing: Row and column spacing in mm, as written.
        position: Centre of the first voxel, empty if missing or not finite.
        orientation: Direction of the rows, then of the columns, empty if missing.
        rescale: Slope and intercept from stored values to Hounsfield units.
        photometric: PhotometricInterpretation.
        pixel_representation: ``0`` for unsigned, ``1`` for signed stored values.
        bits_allocated: Bits of a stored value, one number.
        pixel_bytes: Length of the pixel data in the file, ``None`` if they are compressed.
        pixel_type: SimpleITK's id of the type that holds the rescaled values.
        tags: Other values by name, for the record of the conversion.
    """

    path: Path
    series_uid: str
    instance_uid: str
    modality: str
    sop_class: str
    image_type: tuple[str, ...]
    size: tuple[int, ...]
    pixel_spacing: tuple[float, ...]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    rescale: tuple[float, ...]
    photometric: str
    pixel_representation: str
    bits_allocated: tuple[float, ...]
    pixel_bytes: int | None
    pixel_type: int
    tags: Mapping[str, str]


@dataclass(frozen=True)
class CtSeries:
    """Files of one CT series, unordered until :func:`ordered` has checked them.

    Attributes:
        uid: SeriesInstanceUID, or a UID made from the files if theirs is empty.
        slices: Headers of the readable slices.
        broken: Damaged files of this series.
    """

    uid: str
    slices: tuple[Slice, ...]
    broken: tuple[Path, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along i, j and k of a series that :func:`ordered` accepts."""
        between_rows, between_columns = self.slices[0].pixel_spacing
        between_slices = (self.heights.max() - self.heights.min()) / (len(self.slices) - 1)
        return between_columns, between_rows, float(between_slices)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction in which slices are stacked, by the orientation of the first one."""
        rows, columns = np.reshape(self.slices[0].orientation, (2, 3))
        return np.cross(rows, columns)

    @property
    def heights(self) -> NDArray[np.float64]:
        """Place of every slice along the normal, in mm."""
        normal = self.normal
        return np.array([slice_.position @ normal for slice_ in self.slices])

    def error(self, found: str, expected: str, remedy: str = "") -> DicomError:
        """Return an error about this series."""
        return DicomError(f"series {self.uid}", found, expected, remedy)


def ordered(series: CtSeries) -> CtSeries:
    """Return ``series`` with its slices sorted along the normal of the image plane.

    A series without its first or last slices cannot be recognised as incomplete.

    Raises:
        DicomError: The slices do not form one evenly spaced axial volume.
    """
    refuse_incomplete(series)
    _refuse_mixed(series)
    _refuse_not_axial(series)
    order = np.argsort(series.heights, kind="stable")
    stack = replace(series, slices=tuple(series.slices[i] for i in order))
    _refuse_duplicates(stack)
    _refuse_tilt(stack)
    _refuse_uneven(stack)
    return stack


def refuse_incomplete(series: CtSeries) -> None:
    """Raise unless every file holds one whole slice of Hounsfield units and its position.

    Raises:
        DicomError: Names the first file that does not.
    """
    if series.broken:
        damaged = f"{len(series.broken)} file(s) cut short or damaged ({_names(*series.broken)})"
        remedy = "Fetch the series again, or delete what is no slice of it."
        raise series.error(damaged, "whole DICOM files", remedy)
    for slice_ in series.slices:
        problem = _frames(slice_) or _place(slice_) or _values(slice_)
        if problem:
            found, expected, remedy = problem
            raise series.error(f"{found} in {slice_.path.name}", expected, remedy)
    if len(series.slices) < 2:
        remedy = "Fetch the rest of the series, or leave it out."
        raise series.error(f"{len(series.slices)} slice", "at least 2", remedy)


_Problem = tuple[str, str, str] | None
"""What was found in a slice, what was expected, and what to do."""


def _frames(slice_: Slice) -> _Problem:
    remedy = "Export the series as classic, not enhanced, CT."
    if slice_.size[2:] not in ((), (1,)):
        return f"{slice_.size[2]} frames", "one slice per file", remedy
    if slice_.sop_class in ENHANCED_CT and not slice_.position:
        return "an enhanced CT", "one slice per file", remedy
    return None


def _place(slice_: Slice) -> _Problem:
    spacing, position, orientation = slice_.pixel_spacing, slice_.position, slice_.orientation
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
        found = "no ImagePositionPatient, ImageOrientationPatient or PixelSpacing"
        remedy = "Leave that file out, or fetch the series from its archive again."
        return found, "the position of every slice", remedy
    low, high = PLAUSIBLE_SPACING_MM
    if not all(low <= step <= high for step in spacing):
        return f"PixelSpacing {_text(spacing)}", f"{low:g} to {high:g} mm", ""
    if max(map(abs, position)) > _FARTHEST_MM:
        return f"ImagePositionPatient {_text(position)}", "a place in the scanner, in mm", ""
    rows, columns = np.reshape(orientation, (2, 3))
    products = [rows @ rows - 1, columns @ columns - 1, rows @ columns]
    if np.abs(products).max() > _MAX_SKEW:
        found = f"ImageOrientationPatient {_text(orientation)}"
        return found, "two directions of length 1 at a right angle", ""
    return None


def _values(slice_: Slice) -> _Problem:
    if slice_.photometric != "MONOCHROME2":
        found = f"PhotometricInterpretation {slice_.photometric or 'missing'}"
        return found, "MONOCHROME2", "Leave colour images out; convert others to MONOCHROME2 first."
    slope, intercept = slice_.rescale if len(slice_.rescale) == 2 else (0.0, 0.0)
    low, high = _SLOPES
    if not (low <= slope <= high and abs(intercept) <= _MAX_INTERCEPT):
        found = f"RescaleSlope and RescaleIntercept {_text(slice_.rescale) or 'missing'}"
        remedy = "Without them stored values are no Hounsfield units; fetch the series again."
        return found, "one plausible number each", remedy
    if slice_.pixel_representation not in ("0", "1"):
        found = f"PixelRepresentation {slice_.pixel_representation or 'missing'}"
        return found, "0 (unsigned) or 1 (signed)", "Fetch the series again."
    columns, rows = slice_.size[:2]
    if min(columns, rows) < 2:
        return f"{rows} rows and {columns} columns", "at least 2 each", ""
    return _length(slice_, rows, columns)


def _length(slice_: Slice, rows: int, columns: int) -> _Problem:
    """Compare pixel data with rows and columns: the decoder leaves what is missing undefined."""
    if slice_.pixel_bytes is None:
        return None
    bits = slice_.bits_allocated[0] if len(slice_.bits_allocated) == 1 else math.nan
    spare = slice_.pixel_bytes - rows * columns * bits / 8
    # Some writers pad pixel data, but never by a whole row or column.
    if 0 <= spare < min(rows, columns) * bits / 8:
        return None
    found = f"{slice_.pixel_bytes} bytes of pixel data"
    expected = f"{rows} rows of {columns} values of {bits:g} bits"
    return found, expected, "Fetch the series again."


def _text(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _refuse_mixed(series: CtSeries) -> None:
    first = series.slices[0]
    for slice_ in series.slices[1:]:
        if slice_.size != first.size:
            what, here, there = "size", str(first.size[:2]), str(slice_.size[:2])
        elif not np.allclose(slice_.pixel_spacing, first.pixel_spacing, rtol=1e-3):
            what, here, there = "spacing", str(first.pixel_spacing), str(slice_.pixel_spacing)
        elif not np.allclose(slice_.orientation, first.orientation, atol=_MAX_COSINE_DIFFERENCE):
            what, here, there = "orientation", str(first.orientation), str(slice_.orientation)
        else:
            continue
        this, other = _distinct(first.path, slice_.path)
        raise series.error(
            f"{what} {here} in {this} but {there} in {other}",
            f"slices of one {what}",
            "Keep the slices of one reconstruction and leave the others out.",
        )


def _refuse_not_axial(series: CtSeries) -> None:
    if abs(series.normal[2]) < np.cos(np.pi / 4):
        remedy = "Give the original axial series instead of this reformat."
        raise series.error("coronal or sagittal slices", "axial slices", remedy)


def _refuse_duplicates(series: CtSeries) -> None:
    repeated = np.flatnonzero(np.diff(series.heights) < 0.01)
    if repeated.size:
        pair = _names(*(slice_.path for slice_ in series.slices[repeated[0] :][:2]))
        raise series.error(
            f"{repeated.size} slice position(s) taken twice (first {pair})",
            "one slice per position",
            "Remove the copies, or split phases of one series into folders of their own.",
        )


def _refuse_tilt(series: CtSeries) -> None:
    positions = np.array([slice_.position for slice_ in series.slices])
    steps = positions - positions[0]
    along = steps @ series.normal
    sideways = np.linalg.norm(steps - np.outer(along, series.normal), axis=1)
    if (sideways > MAX_DEVIATION_MM + np.tan(np.radians(MAX_TILT_DEGREES)) * along).any():
        worst = int(np.argmax(sideways))
        angle = np.degrees(np.arctan2(sideways[worst], along[worst]))
        raise series.error(
            f"slices shifted sideways by up to {sideways[worst]:.1f} mm ({angle:.1f} degrees)",
            "slices stacked along their normal, without gantry tilt",
            "Correct the tilt first, for example with dcm2niix, which resamples it.",
        )


def _refuse_uneven(series: CtSeries) -> None:
    heights = series.heights
    gaps = np.diff(heights)
    spacing = float(np.median(gaps))
    tolerance = max(MAX_DEVIATION_MM, spacing / 100)
    even = np.linspace(heights[0], heights[-1], len(heights))
    if np.abs(heights - even).max() <= tolerance:
        return
    worst = int(np.argmax(np.abs(gaps - spacing)))
    pair = _names(*(slice_.path for slice_ in series.slices[worst : worst + 2]))
    found = f"a gap of {gaps[worst]:.4g} mm between {pair} where {spacing:.4g} mm is usual"
    missing = round(gaps[worst] / spacing) - 1
    if missing > 0:
        found += f", {missing} slice(s) missing"
    raise series.error(
        found,
        f"slices evenly spaced to {tolerance:.2g} mm",
        "Fetch the missing slices, or a reconstruction with even spacing.",
    )


def _names(*paths: Path) -> str:
    return ", ".join(_distinct(*paths[:3])) + (", ..." if len(paths) > 3 else "")


def _distinct(*paths: Path) -> list[str]:
    """Return file names, with as much of their folders as tells them apart."""
    shared = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(shared).as_posix() for path in paths]
