"""Many CTs: lists of their paths, by hand, by pandas or by a spreadsheet, and their names."""

import csv
import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

from ..errors import MissingFileError, UsageError
from ..nifti import SUFFIXES
from .files import IMAGE_NAME

_HEADERS = ("path", "image", "image_file", "image file", "image_path", "file", "filename", "ct")
"""First cells that mark a column of paths, and the first line of a .csv file as its header."""
_DELIMITERS = (",", ";", "\t")


def listed(path: Path) -> list[Path]:
    """Return the CTs in a list; blank lines and lines that start with # are ignored.

    Args:
        path: A .txt file with the path of a CT in each line; or a .csv file with it in the column
            that a header names, else in the first column that holds the path of a file. Paths are
            relative to the list; ``~`` is the user's home.

    Raises:
        UsageError: The file is no table, or neither UTF-8 nor in the encoding of the file names.
        MissingFileError: There is no path in it.
    """
    # Not strict: file names need not be UTF-8 either.
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    names = _column(path, lines) if path.suffix.lower() == ".csv" else lines
    places = [_place(path, name) for name in names if name.strip()]
    if not places:
        raise MissingFileError(path, "no path in it", "the path of a CT in each line")
    for place in places:
        if not (_is_text(str(place)) or _exists(place)):
            raise UsageError(path, f"{place.name!r}", "a list in UTF-8")
    return places


def _is_text(name: str) -> bool:
    return "\0" not in name and not any("\ud800" <= one <= "\udfff" for one in name)


def _place(path: Path, name: str) -> Path:
    home = os.path.expanduser(name.strip())  # noqa: PTH111 - Path raises if there is no such user
    return Path(os.path.normpath(path.parent / home))


def _exists(place: Path) -> bool:
    return os.path.exists(place)  # noqa: PTH110 - Path raises if the name is too long


def _column(path: Path, lines: Sequence[str]) -> list[str]:
    """Return the column of paths, whatever the delimiter, with its header."""
    columns: list[tuple[str, ...]] = []
    for delimiter in _DELIMITERS:
        try:
            rows = list(csv.reader(lines, delimiter=delimiter))
        except csv.Error as error:
            raise UsageError(
                path, f"no table ({error})", "the path of a CT in each line"
            ) from error
        columns += zip_longest(*rows, fillvalue="")
    named = [one for one in columns if one[0].strip().lower() in _HEADERS]
    holding = (
        one for one in columns if any(_exists(_place(path, name)) for name in one if name.strip())
    )
    chosen = next(chain(named, holding, columns), ())
    # A DICOM folder may be called "image": a CT is never left out silently.
    return list(chosen[1:] if chosen in named and not _exists(_place(path, chosen[0])) else chosen)


def unique_names(images: Sequence[Path]) -> dict[Path, str]:
    """Return a unique name for each CT: its own, with as many parent folders as necessary."""
    parts = {image: _name_parts(image) for image in images}
    lengths = dict.fromkeys(parts, 1)
    while True:
        names = {image: "_".join(parts[image][-lengths[image] :]) for image in parts}
        counts = Counter(names.values())
        ambiguous = [image for image, name in names.items() if counts[name] > 1]
        longer = [image for image in ambiguous if lengths[image] < len(parts[image])]
        if not longer:
            return names
        for image in longer:
            lengths[image] += 1


def _name_parts(image: Path) -> tuple[str, ...]:
    """Return a CT's folders and name; ``case_000/image.nii.gz`` is named after its folder."""
    folders = image.parent.relative_to(image.anchor).parts
    if image.name == IMAGE_NAME and folders:
        return folders
    endings = [one for one in (*SUFFIXES, ".zip") if image.name.lower().endswith(one)]
    return (*folders, image.name[: -len(endings[0])] if endings else image.name)
