"""Read a CT series on its own grid, or on the 5 mm grid of SAROS."""
# SimpleITK's wheel claims types but annotates only some functions.
# mypy: allow-untyped-calls

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own documentation's name for it
from numpy.typing import NDArray

from ..errors import DicomError
from ..volume import Volume
from .headers import without_warnings
from .series import CtSeries, ordered, refuse_incomplete

SLICE_SPACING_MM = 5.0

Stacking: TypeAlias = Literal["along-normal", "against-normal", "published"]
"""Which way slices are stacked: k grows along the normal of the image plane, or against it, or
as SimpleITK's series reader sorts the files, which is how the authors read them."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Grid:
    """A voxel grid in ITK's terms: LPS millimetres, sizes and spacings along x, y and z."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    def place(self, image: sitk.Image) -> sitk.Image:
        """Return ``image`` put onto this grid."""
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image


def read_series(
    series: CtSeries, *, spacing_mm: float | None = None, stacking: Stacking = "along-normal"
) -> Volume:
    """Return a series as int16 Hounsfield units.

    Every slice's own rescale slope and intercept are applied; values that are then no whole
    numbers are rounded, values beyond int16 are cut. Padding far below -1024 HU stays as it is.

    Args:
        series: As :func:`find_series` found it.
        spacing_mm: Slice spacing to interpolate to; ``None`` keeps the series' own.
        stacking: ``published`` reads a series whatever its geometry, at the mean distance of its
            slices, as the authors' script does. Only for series that are known to be complete.

    Raises:
        DicomError: The series is no evenly spaced axial volume, or cannot be decoded.
    """
    if stacking == "published":
        files = _published_order(series)
    else:
        files = [str(slice_.path) for slice_ in ordered(series).slices]
    if stacking == "against-normal":
        files.reverse()
    pixel_type = _common_type({slice_.pixel_type for slice_ in series.slices})
    grid = _grid_of(files, series)
    if spacing_mm is None:
        return _to_volume(grid.place(_read(files, pixel_type, series)))
    return _to_volume(_resample(files, pixel_type, grid, spacing_mm, series))


def _published_order(series: CtSeries) -> list[str]:
    """Return the files in the order in which ITK finds them in a folder of their own."""
    refuse_incomplete(series)
    with tempfile.TemporaryDirectory(prefix="saros-series-") as folder, without_warnings():
        links = {}
        for number, slice_ in enumerate(sorted(series.slices, key=lambda one: one.path.name)):
            link = Path(folder) / f"{number:06d}.dcm"
            link.symlink_to(slice_.path.absolute())
            links[str(link)] = str(slice_.path)
        return [links[name] for name in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)]


def _grid_of(files: Sequence[str], series: CtSeries) -> _Grid:
    """Return the grid that ITK gives a stack: the mean distance between first and last slice."""
    ends = _read([files[0], files[-1]], sitk.sitkFloat32, series)
    columns, rows, _ = ends.GetSize()
    x_mm, y_mm, between_ends_mm = ends.GetSpacing()
    z_mm = between_ends_mm / (len(files) - 1)
    return _Grid(
        (columns, rows, len(files)), (x_mm, y_mm, z_mm), ends.GetOrigin(), ends.GetDirection()
    )


def _resample(
    files: Sequence[str], pixel_type: int, grid: _Grid, spacing_mm: float, series: CtSeries
) -> sitk.Image:
    """Interpolate along z as the authors did, so that their label maps fit voxel by voxel.

    The first slice keeps its place and ``round(slices * spacing / spacing_mm)`` follow; like
    theirs, values between two integers are cut towards zero. For input slices of more than
    5 mm the last output slice can lie more than half an input slice past the last input slice.
    The authors' voxels are 0 HU there, as if the patient ended in water; ours repeat the last
    input slice.
    """
    columns, rows, slices = grid.size
    x_mm, y_mm, z_mm = grid.spacing
    count = round(slices * z_mm / spacing_mm)
    if count < 1:
        raise DicomError(
            f"series {series.uid}",
            f"{slices} slices over {slices * z_mm:.3g} mm",
            f"more than {spacing_mm / 2:g} mm, so that a slice of {spacing_mm:g} mm is left",
        )
    target = _Grid((columns, rows, count), (x_mm, y_mm, spacing_mm), grid.origin, grid.direction)
    return sitk.Resample(
        _read_only(_slices_that_count(grid, target), files, pixel_type, grid, series),
        target.size,
        sitk.Transform(),
        sitk.sitkLinear,
        target.origin,
        target.spacing,
        target.direction,
        useNearestNeighborExtrapolator=True,
    )


def _slices_that_count(grid: _Grid, target: _Grid) -> list[int]:
    """Return the input slices that linear interpolation onto ``target`` gives any weight.

    Of thin slices these are few: at 1 mm two of five at most.
    """
    here = grid.place(sitk.Image(1, 1, 1, sitk.sitkUInt8))
    there = target.place(sitk.Image(1, 1, 1, sitk.sitkUInt8))
    columns, rows, count = target.size
    needed: set[int] = set()
    for k in range(count):
        corners = product((0, columns - 1), (0, rows - 1))
        points = [there.TransformIndexToPhysicalPoint((i, j, k)) for i, j in corners]
        places = [here.TransformPhysicalPointToContinuousIndex(point)[2] for point in points]
        needed.update(range(math.floor(min(places)), math.ceil(max(places)) + 1))
    last = grid.size[2] - 1
    return sorted({min(max(k, 0), last) for k in needed})


def _read_only(
    wanted: Sequence[int], files: Sequence[str], pixel_type: int, grid: _Grid, series: CtSeries
) -> sitk.Image:
    """Return the whole stack with only the ``wanted`` slices decoded, the others 0."""
    some = _read([files[k] for k in wanted], pixel_type, series)
    if len(wanted) == len(files):
        return grid.place(some)
    decoded = sitk.GetArrayViewFromImage(some)
    stack = np.zeros((len(files), *decoded.shape[1:]), decoded.dtype)
    stack[wanted] = decoded
    return grid.place(sitk.GetImageFromArray(stack))


def _read(files: Sequence[str], pixel_type: int, series: CtSeries) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(list(files))
    reader.SetOutputPixelType(pixel_type)
    try:
        with without_warnings():
            image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise DicomError(
            f"series {series.uid}",
            f"pixels that cannot be decoded ({_reason(error)})",
            "whole slices in a transfer syntax that GDCM knows",
            "Fetch the series again.",
        ) from error
    return image


def _common_type(types: set[int]) -> int:
    """Return one type for all slices; SimpleITK alone would cut the rest to the first one's."""
    if len(types) == 1:
        return types.pop()
    floats = {sitk.sitkFloat32, sitk.sitkFloat64}
    return int(sitk.sitkFloat64 if types & floats else sitk.sitkInt32)


def _to_volume(image: sitk.Image) -> Volume:
    array: NDArray[np.generic] = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if array.dtype != np.int16:
        array = np.clip(np.rint(array), -32768, 32767).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(array, _LPS_TO_RAS @ affine)


def _reason(error: RuntimeError) -> str:
    """Return the last line of an ITK error, which holds what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
