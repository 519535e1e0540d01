"""Tell from a file's bytes whether it is DICOM, and sort files into CT series."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from .series import CtSeries, Slice

_CT_CLASSES = (
    "",  # emptied by an anonymiser; the modality decides then
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
_HEADER_BYTES = 1 << 20

UidTag: TypeAlias = Literal["MediaStorageSOPClassUID", "SeriesInstanceUID"]
_UID_IN_BYTES: dict[UidTag, re.Pattern[bytes]] = {
    "MediaStorageSOPClassUID": re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL),
    # Explicit VR has two letters and a short length, implicit VR a long length.
    "SeriesInstanceUID": re.compile(rb"\x20\x00\x0e\x00(?:UI..|..\x00\x00)([0-9.]+)", re.DOTALL),
}


@dataclass(frozen=True)
class DicomContents:
    """What a set of files holds.

    Attributes:
        series: Every CT series, in the order of its first file, not yet checked.
        broken: Damaged files that do not say which series they belong to.
        left_out: Number of other files by kind, e.g. ``{"MR": 30, "localizer": 1}``.
    """

    series: tuple[CtSeries, ...]
    broken: tuple[Path, ...]
    left_out: Mapping[str, int]


def looks_like_dicom(path: Path) -> bool:
    """Return whether a file starts as DICOM does, or has its suffix."""
    start = _first_bytes(path, 132)
    # Files without preamble start with a short group 0002 or 0008 element.
    bare = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    return start[128:] == b"DICM" or bare or path.suffix.lower() in (".dcm", ".ima")


def kind_of(header: Slice) -> str:
    """Return ``CT`` for a slice of a CT, else what the image is instead."""
    if header.modality != "CT":
        return header.modality or "image without modality"
    if "LOCALIZER" in header.image_type:
        return "localizer"
    return "CT" if header.sop_class in _CT_CLASSES else "secondary capture"


def kind_of_unreadable(path: Path) -> str:
    """Return ``broken`` for a damaged CT slice, else what a file that is no image may be."""
    start = _first_bytes(path, _HEADER_BYTES)
    bare = start[128:132] != b"DICM" and path.suffix.lower() not in (".dcm", ".ima")
    if bare:
        return "no DICOM"
    sop_classes = _UID_IN_BYTES["MediaStorageSOPClassUID"].findall(start)
    if sop_classes and sop_classes[0].decode() not in _CT_CLASSES:
        return "DICOM without image"
    return "broken"


def group_series(
    slices: Iterable[Slice], broken: Iterable[Path], left_out: Mapping[str, int]
) -> DicomContents:
    """Put slices and damaged files together by SeriesInstanceUID.

    Slices whose UID was emptied are taken as one series per folder, under a UID made from
    their content, so that the same files always make the same series. Of copies of one slice
    in several places the first is taken.
    """
    members: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in _without_copies(slices):
        members[slice_.series_uid or str(slice_.path.parent)].append(slice_)
    damaged: dict[str, list[Path]] = defaultdict(list)
    orphans: list[Path] = []
    for path in broken:
        key = _key_of_broken(path, members)
        (damaged[key] if key else orphans).append(path)
    series = tuple(
        CtSeries(_series_uid(key, members[key]), tuple(members[key]), tuple(damaged[key]))
        for key in dict.fromkeys([*members, *damaged])
    )
    return DicomContents(series, tuple(orphans), left_out)


def _without_copies(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Yield one slice per instance; the place is compared too, as some anonymisers repeat UIDs."""
    seen = set()
    for slice_ in slices:
        key = (slice_.series_uid, slice_.instance_uid, slice_.position, slice_.size)
        if not all(key[:2]) or key not in seen:
            yield slice_
        seen.add(key)


def _key_of_broken(path: Path, members: Mapping[str, list[Slice]]) -> str:
    """Return the key of the series that a damaged file is of, empty if it cannot be told."""
    text = _first_bytes(path, _HEADER_BYTES)
    # Sequences may name other series: one that is here goes first.
    uids: list[str] = [uid.decode() for uid in _UID_IN_BYTES["SeriesInstanceUID"].findall(text)]
    known = [key for key in (*uids, str(path.parent)) if key in members]
    return [*known, *uids, ""][0]


def _series_uid(key: str, slices: list[Slice]) -> str:
    if not slices or slices[0].series_uid:
        return key
    digest = hashlib.sha256()
    for content in sorted(slice_.path.read_bytes() for slice_ in slices):
        digest.update(hashlib.sha256(content).digest())
    # 2.25 is DICOM's root for UIDs made from a number of 128 bits.
    return f"2.25.{int.from_bytes(digest.digest()[:16])}"


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
