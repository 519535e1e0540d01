"""A CT series as its headers describe it, and the checks that make it a volume.

Positions and directions are DICOM's: LPS millimetres.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError

MAX_DEVIATION_MM = 0.1
"""Largest distance of a slice from an even grid, unless 1 % of the slice spacing is more.

Some scanners write positions with one decimal, which moves slices and the grid by 0.05 mm each;
one missing slice moves its neighbours by at least half the spacing."""

MAX_TILT_DEGREES = 0.1
_MAX_COSINE_DIFFERENCE = 1e-3


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
        position: Centre of the first voxel, empty if missing.
        orientation: Direction of the rows, then of the columns, empty if missing.
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
    """Raise unless every file holds one whole slice and its position.

    Raises:
        DicomError: Names the first file that does not.
    """
    if series.broken:
        damaged = f"{len(series.broken)} file(s) cut short or damaged ({_names(*series.broken)})"
        raise series.error(damaged, "whole DICOM files", "Fetch the series again.")
    if len(series.slices) < 2:
        remedy = "Fetch the rest of the series, or leave it out."
        raise series.error(f"{len(series.slices)} slice", "at least 2", remedy)
    for slice_ in series.slices:
        name = slice_.path.name
        if slice_.size[2:] not in ((), (1,)):
            remedy = "Export the series as classic, not enhanced, CT."
            raise series.error(f"{slice_.size[2]} frames in {name}", "one slice per file", remedy)
        if (len(slice_.position), len(slice_.orientation), len(slice_.pixel_spacing)) != (3, 6, 2):
            raise series.error(
                f"no ImagePositionPatient, ImageOrientationPatient or PixelSpacing in {name}",
                "the position of every slice",
                "Leave that file out, or fetch the series from its archive again.",
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
        raise series.error(
            f"{what} {here} in {first.path.name} but {there} in {slice_.path.name}",
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
    shown = ", ".join(path.name for path in paths[:3])
    return shown + (", ..." if len(paths) > 3 else "")
