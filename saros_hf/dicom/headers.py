"""Read the headers of DICOM files, and the bytes of files that GDCM cannot read."""
# SimpleITK's wheel claims types but annotates only some functions.
# mypy: allow-untyped-calls

import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk  # noqa: N813  # its own documentation's name for it

from ..errors import printable
from .elements import pixel_bytes
from .series import ENHANCED_CT, Slice

_CT_CLASSES = (
    "",  # emptied by an anonymiser; the modality decides then
    "1.2.840.10008.5.1.4.1.1.2",
    *ENHANCED_CT,
)
_SUFFIXES = (".dcm", ".ima")
_SLICE_NAME = re.compile(r"[^.][^.]*(\.\d+)*")
_MARK_END = 132
_HEADER_BYTES = 1 << 20
_SOP_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)
# Explicit VR has two letters and a short length, implicit VR a long length.
_SERIES_UID = re.compile(rb"\x20\x00\x0e\x00(?:UI..|..\x00\x00)([0-9.]+)", re.DOTALL)
ACQUISITION_TAGS = {
    "contrast_agent": "0018|0010",
    "slice_thickness_mm": "0018|0050",
    "tube_voltage_kv": "0018|0060",
    "reconstruction_diameter_mm": "0018|1100",
    "gantry_tilt_degrees": "0018|1120",
    "kernel": "0018|1210",
    "patient_position": "0018|5100",
}
"""How a CT was made, which moves areas and HU."""
_TAGS = {
    "study_instance_uid": "0020|000d",
    "patient_id": "0010|0020",
    "collection": "0012|0020",
    "manufacturer": "0008|0070",
    **ACQUISITION_TAGS,
}


def read_header(path: Path) -> Slice | None:
    """Return the header of a DICOM image, ``None`` for other and for damaged files."""
    start = _first_bytes(path, _MARK_END)
    # Files without preamble start with a short group 0002 or 0008 element.
    bare = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    if not (bare or _is_marked(path, start)):
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    try:
        length = pixel_bytes(path)
        with without_warnings(), names_for_itk([path]) as (name,):
            reader.SetFileName(name)
            reader.ReadImageInformation()
    except (OSError, RuntimeError, ValueError):
        return None

    def tag(key: str) -> str:
        text = str(reader.GetMetaData(key)) if reader.HasMetaDataKey(key) else ""
        return printable(text.strip(" \0"))

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
        rescale=_numbers(tag("0028|1053")) + _numbers(tag("0028|1052")),
        photometric=tag("0028|0004"),
        pixel_representation=tag("0028|0103"),
        bits_allocated=_numbers(tag("0028|0100")),
        pixel_bytes=length,
        pixel_type=reader.GetPixelIDValue(),
        tags={name: tag(key) for name, key in _TAGS.items()},
    )


def kind_of(path: Path, header: Slice | None) -> str:
    """Return ``CT``, ``broken`` for a damaged DICOM file, or the kind of any other file.

    A ``remnant`` may be what is left of a slice: an empty file or the start of an empty preamble,
    with a name that a slice could have.
    """
    if header is None:
        start = _first_bytes(path, _HEADER_BYTES)
        if not _is_marked(path, start):
            is_remnant = (
                len(start) < _MARK_END and not any(start) and _SLICE_NAME.fullmatch(path.name)
            )
            return "remnant" if is_remnant else "no DICOM"
        sop_class = _SOP_CLASS.search(start)
        damaged = sop_class is None or sop_class[1].decode() in _CT_CLASSES
        return "broken" if damaged else "DICOM without image"
    if header.modality != "CT":
        return header.modality or "image without modality"
    if "LOCALIZER" in header.image_type:
        return "localizer"
    return "CT" if header.sop_class in _CT_CLASSES else "secondary capture"


def series_uids_in(path: Path) -> list[str]:
    """Return the SeriesInstanceUIDs in the bytes of a damaged file, its own among them."""
    return [uid.decode() for uid in _SERIES_UID.findall(_first_bytes(path, _HEADER_BYTES))]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence ITK; problems are reported by the checks of the series instead."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def names_for_itk(paths: Sequence[Path]) -> Iterator[list[str]]:
    """Yield names by which SimpleITK can open files; it aborts at a name that is not UTF-8."""
    names = [str(path) for path in paths]
    if all(name == printable(name) for name in names):
        yield names
    else:
        with links_to(paths) as links:
            yield links


@contextmanager
def links_to(paths: Sequence[Path]) -> Iterator[list[str]]:
    """Yield numbered links to files in a folder of their own, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="saros-series-") as folder:
        links = [Path(folder) / f"{number:06d}.dcm" for number in range(len(paths))]
        for link, path in zip(links, paths, strict=True):
            link.symlink_to(path.absolute())
        yield [str(link) for link in links]


def _is_marked(path: Path, start: bytes) -> bool:
    return start[128:132] == b"DICM" or path.suffix.lower() in _SUFFIXES


def _numbers(text: str) -> tuple[float, ...]:
    """Return the finite numbers in a text, none if one of them cannot be read."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
