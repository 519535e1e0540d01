"""Find the CT series among files, by their headers alone."""
# SimpleITK's wheel claims types but annotates only some functions.
# mypy: allow-untyped-calls

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk  # noqa: N813  # its own documentation's name for it

from .groups import DicomContents, group_series, kind_of, kind_of_unreadable, looks_like_dicom
from .series import Slice

_RECORD = {
    "study_instance_uid": "0020|000d",
    "patient_id": "0010|0020",
    "collection": "0012|0020",
    "manufacturer": "0008|0070",
}


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


def _read_header(path: Path) -> Slice | None:
    """Return what a file says of itself, ``None`` if GDCM cannot read it as an image."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    reader.SetFileName(str(path))
    try:
        with without_warnings():
            reader.ReadImageInformation()
    except RuntimeError:
        return None

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""

    return Slice(
        path=path,
        series_uid=tag("0020|000e"),
        instance_uid=tag("0008|0018"),
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
def without_warnings() -> Iterator[None]:
    """Keep ITK from printing what ``series`` has found or refused already."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
