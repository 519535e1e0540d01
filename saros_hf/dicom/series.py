"""A CT series as its files describe it, and what makes it a volume without guessing.

Positions and directions are DICOM's: LPS millimetres.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError

MAX_DEVIATION_MM = 0.1
"""How far a slice may lie from its place on an even grid, where 1 % of the spacing is less.

Some scanners write positions with one decimal, which moves slices and the grid by 0.05 mm each;
one missing slice moves its neighbours by at least half the spacing."""

MAX_TILT_DEGREES = 0.1
_MAX_COSINE_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Slice:
    """What one DICOM image file says of itself.

    Attributes:
        series_uid: Its SeriesInstanceUID, empty if an anonymiser has emptied it.
        instance_uid: Its SOPInstanceUID.
        size: Columns, rows, frames.
        pixel_spacing: Row and column spacing in mm, as written.
        position: Centre of the first voxel, empty if the file has none.
        orientation: Direction of the rows, then of the columns, empty if the file has none.
        pixel_type: SimpleITK's id of the type that holds the rescaled values.
        tags: Other values by name, for the record.
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
    pixel_type: int
    tags: Mapping[str, str]


@dataclass(frozen=True)
class CtSeries:
    """The files of one CT series, in no order until :func:`ordered` has checked them.

    Attributes:
        broken: Files of this series that are cut short or damaged.
    """

    uid: str
    slices: tuple[Slice, ...]
    broken: tuple[Path, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along i, j and k of a series that :func:`ordered` accepts."""
        between_rows, between_columns = self.slices[0].pixel_spacing
        heights = [slice_.position @ self.normal for slice_ in self.slices]
        between_slices = (max(heights) - min(heights)) / (len(heights) - 1)
        return between_columns, between_rows, float(between_slices)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction in which slices are stacked, by the orientation of the first one."""
        rows, columns = np.reshape(self.slices[0].orientation, (2, 3))
        return np.cross(rows, columns)


def ordered(series: CtSeries) -> CtSeries:
    """Return ``series`` with its slices sorted along the normal of the image plane.

    A series that lacks its first or last slices looks whole and is not refused.

    Raises:
        DicomError: The slices do not form one evenly spaced axial volume.
    """
    refuse_incomplete(series)
    _refuse_mixed(series)
    normal = series.normal
    _refuse_not_axial(series, normal)
    positions = np.array([slice_.position for slice_ in series.slices])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    result = replace(series, slices=tuple(series.slices[i] for i in order))
    _refuse_duplicates(result, heights[order])
    _refuse_tilt(result, positions[order], normal)
    _refuse_uneven(result, heights[order])
    return result


def refuse_incomplete(series: CtSeries) -> None:
    """Raise unless every file is one whole slice that says where it lies.

    Raises:
        DicomError: Names the first file that is not.
    """
    if series.broken:
        raise _refusal(
            series,
            found=f"{len(series.broken)} file(s) cut short or damaged ({_names(*series.broken)})",
            expected="whole DICOM files",
            remedy="Fetch the series again.",
        )
    if len(series.slices) < 2:
        raise _refusal(
            series,
            found=f"{len(series.slices)} slice",
            expected="at least 2",
            remedy="Fetch the rest of the series, or leave it out.",
        )
    for slice_ in series.slices:
        if slice_.size[2:] not in ((), (1,)):
            raise _refusal(
                series,
                found=f"{slice_.size[2]} frames in {slice_.path.name}",
                expected="one slice per file",
                remedy="Export the series as classic, not enhanced, CT.",
            )
        if (len(slice_.position), len(slice_.orientation), len(slice_.pixel_spacing)) != (3, 6, 2):
            raise _refusal(
                series,
                found="no ImagePositionPatient, ImageOrientationPatient or PixelSpacing in "
                f"{slice_.path.name}",
                expected="the place of every slice in the patient",
                remedy="Leave that file out, or fetch the series from its archive again.",
            )


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
        raise _refusal(
            series,
            found=f"{what} {here} in {first.path.name} but {there} in {slice_.path.name}",
            expected=f"slices of one {what}",
            remedy="Keep the slices of one reconstruction and leave the others out.",
        )


def _refuse_not_axial(series: CtSeries, normal: NDArray[np.float64]) -> None:
    if abs(normal[2]) < np.cos(np.pi / 4):
        raise _refusal(
            series,
            found="coronal or sagittal slices",
            expected="axial slices",
            remedy="Give the original axial series instead of this reformat.",
        )


def _refuse_duplicates(series: CtSeries, heights: NDArray[np.float64]) -> None:
    gaps = np.diff(heights)
    again = np.flatnonzero(gaps < 0.01)
    if again.size:
        pair = series.slices[again[0]].path, series.slices[again[0] + 1].path
        raise _refusal(
            series,
            found=f"{again.size} slice position(s) taken twice (first {_names(*pair)})",
            expected="one slice per position",
            remedy="Remove the copies, or split phases of one series into folders of their own.",
        )


def _refuse_tilt(
    series: CtSeries, positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> None:
    steps = positions - positions[0]
    along = steps @ normal
    sideways = np.linalg.norm(steps - np.outer(along, normal), axis=1)
    if (sideways > MAX_DEVIATION_MM + np.tan(np.radians(MAX_TILT_DEGREES)) * along).any():
        worst = int(np.argmax(sideways))
        angle = np.degrees(np.arctan2(sideways[worst], along[worst]))
        raise _refusal(
            series,
            found=f"slices shifted sideways by up to {sideways[worst]:.1f} mm ({angle:.1f} degrees)",
            expected="slices stacked along their normal, without gantry tilt",
            remedy="Correct the tilt first, for example with dcm2niix, which resamples it.",
        )


def _refuse_uneven(series: CtSeries, heights: NDArray[np.float64]) -> None:
    gaps = np.diff(heights)
    spacing = float(np.median(gaps))
    even = np.linspace(heights[0], heights[-1], len(heights))
    if np.abs(heights - even).max() <= max(MAX_DEVIATION_MM, spacing / 100):
        return
    worst = int(np.argmax(np.abs(gaps - spacing)))
    pair = _names(series.slices[worst].path, series.slices[worst + 1].path)
    missing = round(gaps[worst] / spacing) - 1
    found = f"a gap of {gaps[worst]:.4g} mm between {pair} where {spacing:.4g} mm is usual"
    raise _refusal(
        series,
        found=found + (f", {missing} slice(s) missing" if missing > 0 else ""),
        expected=f"slices evenly spaced to {max(MAX_DEVIATION_MM, spacing / 100):.2g} mm",
        remedy="Fetch the missing slices, or a reconstruction with even spacing.",
    )


def _refusal(series: CtSeries, *, found: str, expected: str, remedy: str) -> DicomError:
    return DicomError(f"series {series.uid}", found, expected, remedy)


def _names(*paths: Path) -> str:
    shown = ", ".join(path.name for path in paths[:3])
    return shown + (", ..." if len(paths) > 3 else "")
