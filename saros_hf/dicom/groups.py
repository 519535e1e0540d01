"""Find the CT series among files by their headers."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .headers import kind_of, read_header, series_uids_in
from .series import CtSeries, Slice


@dataclass(frozen=True)
class DicomContents:
    """CT series and other files of a folder.

    Attributes:
        series: Every CT series, in the order of its first file, not yet checked.
        broken: Damaged files without a legible SeriesInstanceUID.
        left_out: Number of other files by kind, e.g. ``{"MR": 30, "localizer": 1}``.
    """

    series: tuple[CtSeries, ...]
    broken: tuple[Path, ...]
    left_out: Mapping[str, int]


def find_series(paths: Iterable[Path]) -> DicomContents:
    """Sort files into CT series by SeriesInstanceUID, whatever their names and folders.

    Localizers, other modalities and files other than DICOM are left out and counted. Slices whose
    UID an anonymiser has emptied form one series per folder, with a UID made from their content,
    so that the same files always form the same series. Of several copies of a slice the first
    is kept.
    """
    slices: list[Slice] = []
    broken: list[Path] = []
    remnants: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        header = read_header(path)
        kind = kind_of(path, header)
        if kind == "CT" and header:
            slices.append(header)
        elif kind == "broken":
            broken.append(path)
        elif kind == "remnant":
            remnants.append(path)
        else:
            left_out[kind] += 1

    members: dict[str, list[Slice]] = defaultdict(list)
    folders: dict[Path, set[str]] = defaultdict(set)
    for slice_ in _without_copies(slices):
        key = slice_.series_uid or str(slice_.path.parent)
        members[key].append(slice_)
        folders[slice_.path.parent].add(key)
    broken += [path for path in remnants if path.parent in folders]
    left_out["no DICOM"] += len([path for path in remnants if path.parent not in folders])
    damaged: dict[str, list[Path]] = defaultdict(list)
    for path in broken:
        damaged[_key_of_broken(path, members, folders[path.parent])].append(path)
    orphans = damaged.pop("", [])
    series = tuple(
        CtSeries(_series_uid(key, members[key]), tuple(members[key]), tuple(damaged[key]))
        for key in dict.fromkeys([*members, *damaged])
    )
    return DicomContents(series, tuple(orphans), +left_out)


def _without_copies(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Yield one slice per instance; positions count too, as some anonymisers repeat UIDs."""
    seen = set()
    for slice_ in slices:
        key = (slice_.series_uid, slice_.instance_uid, slice_.position, slice_.size)
        if not all(key[:2]) or key not in seen:
            yield slice_
        seen.add(key)


def _key_of_broken(path: Path, members: Mapping[str, list[Slice]], beside: set[str]) -> str:
    """Return the key of the series that a damaged file belongs to, empty if unknown.

    Args:
        path: The file.
        members: Readable slices by key.
        beside: Keys of the series in its folder.
    """
    uids = series_uids_in(path)
    # Sequences may name other series, so series with readable slices are preferred.
    known = [uid for uid in uids if uid in members]
    alone = [*beside] if len(beside) == 1 else []
    return [*known, *uids, *alone, ""][0]


def _series_uid(key: str, slices: list[Slice]) -> str:
    if not slices or slices[0].series_uid:
        return key
    digest = hashlib.sha256()
    for content in sorted(slice_.path.read_bytes() for slice_ in slices):
        digest.update(hashlib.sha256(content).digest())
    # 2.25 is DICOM's root for UIDs made from a number of 128 bits.
    return f"2.25.{int.from_bytes(digest.digest()[:16])}"
