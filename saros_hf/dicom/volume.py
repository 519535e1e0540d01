"""Read a CT series on its own grid, or on the 5 mm grid of SAROS."""
# SimpleITK's wheel claims types but annotates only some functions.
# mypy: allow-untyped-calls

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own documentation's name for it
from numpy.typing import NDArray

from ..volume import Volume
from .headers import links_to, names_for_itk, without_warnings
from .series import CtSeries, ordered, refuse_incomplete

SLICE_SPACING_MM = 5.0

Stacking: TypeAlias = Literal["along-normal", "against-normal", "published"]
"""Order of the slices: k grows along or against the normal of the image plane, or the slices are
sorted by SimpleITK's series reader, which the authors used."""

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

    Every slice's own rescale slope and intercept are applied; fractional values are rounded and
    values beyond int16 are clipped. Padding far below -1024 HU is kept.

    Args:
        series: A series returned by :func:`find_series`.
        spacing_mm: Slice spacing to interpolate to; ``None`` keeps the series' own.
        stacking: ``published`` reads a series whatever its geometry, at the mean distance of its
            slices, as the authors' script does. Only for series that are known to be complete.

    Raises:
        DicomError: The series is not an evenly spaced axial volume, or cannot be decoded.
    """
    if stacking == "published":
        files = _published_order(series)
    else:
        files = [slice_.path for slice_ in ordered(series).slices]
    if stacking == "against-normal":
        files.reverse()
    grid = _grid_of(series, files)
    if spacing_mm is None:
        return _to_volume(grid.place(_read(series, files)))
    return _to_volume(_resample(series, files, grid, spacing_mm))


def _published_order(series: CtSeries) -> list[Path]:
    """Return the files in the order in which ITK finds them in a folder of their own."""
    refuse_incomplete(series)
    files = sorted((slice_.path for slice_ in series.slices), key=lambda path: path.name)
    with links_to(files) as links, without_warnings():
        paths = dict(zip(links, files, strict=True))
        folder = str(Path(links[0]).parent)
        return [paths[name] for name in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)]


def _grid_of(series: CtSeries, files: Sequence[Path]) -> _Grid:
    """Return the grid that ITK gives a stack: the mean distance between first and last slice."""
    ends = _read(series, [files[0], files[-1]])
    columns, rows, _ = ends.GetSize()
    x_mm, y_mm, between_ends_mm = ends.GetSpacing()
    spacing = x_mm, y_mm, between_ends_mm / (len(files) - 1)
    return _Grid((columns, rows, len(files)), spacing, ends.GetOrigin(), ends.GetDirection())


def _resample(
    series: CtSeries, files: Sequence[Path], grid: _Grid, spacing_mm: float
) -> sitk.Image:
    """Interpolate along z as the authors did, so that their label maps fit voxel by voxel.

    The first slice keeps its place and ``round(slices * spacing / spacing_mm)`` slices are made;
    as in the authors' script, values between two integers are truncated towards zero. For input
    slices of more than 5 mm the last output slice can lie more than half an input slice past the
    last input slice. The authors' voxels are 0 HU there, as if the patient ended in water; ours
    repeat the last input slice.
    """
    columns, rows, slices = grid.size
    x_mm, y_mm, z_mm = grid.spacing
    count = round(slices * z_mm / spacing_mm)
    if count < 1:
        raise series.error(
            f"{slices} slices over {slices * z_mm:.3g} mm",
            f"more than {spacing_mm / 2:g} mm, so that a slice of {spacing_mm:g} mm is left",
        )
    target = replace(grid, size=(columns, rows, count), spacing=(x_mm, y_mm, spacing_mm))
    return sitk.Resample(
        _read_only(series, files, _slices_with_weight(grid, target), grid),
        target.size,
        sitk.Transform(),
        sitk.sitkLinear,
        target.origin,
        target.spacing,
        target.direction,
        useNearestNeighborExtrapolator=True,
    )


def _slices_with_weight(grid: _Grid, target: _Grid) -> list[int]:
    """Return the input slices with a weight in linear interpolation onto ``target``.

    At a spacing of 1 mm these are at most two of five.
    """
    here = grid.place(sitk.Image(1, 1, 1, sitk.sitkUInt8))
    there = target.place(sitk.Image(1, 1, 1, sitk.sitkUInt8))
    columns, rows, count = target.size
    needed: set[int] = set()
    for k in range(count):
        corners = product((0, columns - 1), (0, rows - 1))
        points = [there.TransformIndexToPhysicalPoint((i, j, k)) for i, j in corners]
        z = [here.TransformPhysicalPointToContinuousIndex(point)[2] for point in points]
        needed.update(range(math.floor(min(z)), math.ceil(max(z)) + 1))
    last = grid.size[2] - 1
    return sorted({min(max(k, 0), last) for k in needed})


def _read_only(
    series: CtSeries, files: Sequence[Path], wanted: Sequence[int], grid: _Grid
) -> sitk.Image:
    """Return the whole stack with only the ``wanted`` slices decoded, the others 0."""
    some = _read(series, [files[k] for k in wanted])
    if len(wanted) == len(files):
        return grid.place(some)
    decoded = sitk.GetArrayViewFromImage(some)
    stack = np.zeros((len(files), *decoded.shape[1:]), decoded.dtype)
    stack[wanted] = decoded
    return grid.place(sitk.GetImageFromArray(stack))


def _read(series: CtSeries, files: Sequence[Path]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(_common_type({slice_.pixel_type for slice_ in series.slices}))
    try:
        with without_warnings(), names_for_itk(files) as names:
            reader.SetFileNames(names)
            image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        # The last line of an ITK error holds the reason, behind an address in memory.
        reason = re.sub(r".*\(0x[0-9a-f]+\):", "", str(error).strip().splitlines()[-1]).strip()
        raise series.error(
            f"pixels that cannot be decoded ({reason})",
            "whole slices in a transfer syntax that GDCM knows",
            "Fetch the series again.",
        ) from error
    return image


def _common_type(types: set[int]) -> int:
    """Return one type for all slices; SimpleITK would convert to the type of the first slice."""
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
