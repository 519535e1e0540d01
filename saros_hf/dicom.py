"""Read CT series from DICOM files, on their own grid or on the 5 mm grid of SAROS.

The only module that imports SimpleITK, and so the only one with (z, y, x) arrays and LPS
coordinates: what leaves it is indexed (i, j, k) with an RAS affine.
"""
# SimpleITK's wheel claims types but annotates only some functions.
# mypy: allow-untyped-calls

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own documentation's name for it
from numpy.typing import NDArray

from .dicom_groups import (
    DicomContents,
    group_series,
    kind_of,
    kind_of_unreadable,
    looks_like_dicom,
)
from .dicom_series import CtSeries, Slice, ordered
from .errors import DicomError
from .volume import Volume

SLICE_SPACING_MM = 5.0

_RECORD = {
    "study_instance_uid": "0020|000d",
    "patient_id": "0010|0020",
    "collection": "0012|0020",
    "manufacturer": "0008|0070",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNCHANGED_MM = 1e-4


def find_series(paths: Iterable[Path]) -> DicomContents:
    """Sort files into CT series by their headers, whatever their names and folders.

    Localizers, other modalities and files that are no DICOM are left out and counted.
    """
    slices: list[Slice] = []
    broken: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        header = _read_header(path) if looks_like_dicom(path) else None
        kind = kind_of(header) if header else kind_of_unreadable(path)
        if kind == "CT" and header:
            slices.append(header)
        elif kind == "broken":
            broken.append(path)
        else:
            left_out[kind] += 1
    return group_series(slices, broken, left_out)


def read_series(series: CtSeries, *, spacing_mm: float | None = None) -> Volume:
    """Return a series as int16 Hounsfield units.

    Every slice's own rescale slope and intercept are applied; values that are then no whole
    numbers are rounded, values beyond int16 are cut. Padding far below -1024 HU stays as it is.

    Args:
        series: As :func:`find_series` found it.
        spacing_mm: Slice spacing to interpolate to; ``None`` keeps the series' own.

    Raises:
        DicomError: The series is no evenly spaced axial volume, or cannot be decoded.
    """
    series = ordered(series)
    image = _read_image(series)
    if spacing_mm is not None and abs(image.GetSpacing()[2] - spacing_mm) > _UNCHANGED_MM:
        image = _resample(image, spacing_mm, series)
    return _to_volume(image)


def _resample(image: sitk.Image, spacing_mm: float, series: CtSeries) -> sitk.Image:
    """Interpolate along z as the authors did, so that their label maps fit voxel by voxel.

    The first slice keeps its place and ``round(slices * spacing / spacing_mm)`` follow; like
    theirs, values between two integers are cut towards zero. For input slices of more than
    5 mm the last output slice can lie more than half an input slice past the last input slice.
    The authors' voxels are 0 HU there, as if the patient ended in water; ours repeat the last
    input slice.
    """
    columns, rows, slices = image.GetSize()
    x_mm, y_mm, z_mm = image.GetSpacing()
    count = round(slices * z_mm / spacing_mm)
    if count < 1:
        raise DicomError(
            f"series {series.uid}",
            found=f"{slices} slices over {slices * z_mm:.3g} mm",
            expected=f"more than {spacing_mm / 2:g} mm, so that a slice of {spacing_mm:g} mm is left",
            remedy="Leave this series out.",
        )
    return sitk.Resample(
        image,
        (columns, rows, count),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (x_mm, y_mm, spacing_mm),
        image.GetDirection(),
        useNearestNeighborExtrapolator=True,
    )


def _read_image(series: CtSeries) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(slice_.path) for slice_ in series.slices])
    reader.SetOutputPixelType(_common_type({slice_.pixel_type for slice_ in series.slices}))
    try:
        with _without_warnings():
            image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise DicomError(
            f"series {series.uid}",
            found=f"pixels that cannot be decoded ({_reason(error)})",
            expected="whole slices in a transfer syntax that GDCM knows",
            remedy="Fetch the series again.",
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


def _read_header(path: Path) -> Slice | None:
    """Return what a file says of itself, ``None`` if GDCM cannot read it as an image."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    reader.SetFileName(str(path))
    try:
        with _without_warnings():
            reader.ReadImageInformation()
    except RuntimeError:
        return None

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""

    return Slice(
        path=path,
        series_uid=tag("0020|000e"),
        modality=tag("0008|0060"),
        sop_class=tag("0008|0016"),
        image_type=tuple(part.strip().upper() for part in tag("0008|0008").split("\\")),
        size=tuple(reader.GetSize()),
        pixel_spacing=_numbers(tag("0028|0030")),
        position=_numbers(tag("0020|0032")),
        orientation=_numbers(tag("0020|0037")),
        pixel_type=reader.GetPixelIDValue(),
        tags={name: tag(key) for name, key in _RECORD.items()},
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return ()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep ITK from printing what ``dicom_series`` has found or refused already."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _reason(error: RuntimeError) -> str:
    """Return the last line of an ITK error, which holds what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
