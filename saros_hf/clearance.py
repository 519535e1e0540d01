"""Which CTs of a folder may be published: its table, the archive and the pixels are asked."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .archive.idc_index import find_public
from .case_files import CaseFiles
from .cases import Case
from .errors import RightsError
from .nifti import read_grid, read_image
from .rights import Rights, rights


def clear(data_dir: Path, cases: Sequence[Case]) -> Rights:
    """Return which CTs may be published.

    Raises:
        RightsError: The CT of a case that may be published is that of another case.
        UsageError: The archive's index is not installed, and some case is no phantom.
        UnreadableFileError: A CT is no NIfTI file.
    """
    uids = [one.series_instance_uid for one in cases]
    real = any(one.license != "synthetic" for one in cases)
    listed = find_public(uids) if real else {}
    checked = rights(cases, {uid: series.license for uid, series in listed.items()})
    images = [CaseFiles(case, data_dir / case.case_id).image for case in cases]
    for first, second in _same_pixels(image for image in images if image.is_file()):
        if not {first.parent.name, second.parent.name} <= set(checked.withheld):
            raise RightsError(
                second,
                found=f"the same CT as in {first.parent.name}",
                expected="one of its own",
                remedy="Delete the folder of both cases and fetch them again.",
            )
    return checked


def _same_pixels(images: Iterable[Path]) -> Iterable[tuple[Path, Path]]:
    """Yield pairs of files with the same grid and voxels, however they are compressed."""
    by_grid: dict[bytes, list[Path]] = {}
    for image in images:
        grid = read_grid(image)
        key = np.array(grid.shape).tobytes() + np.round(grid.affine, 4).tobytes()
        by_grid.setdefault(key, []).append(image)
    for alike in by_grid.values():
        yield from _same_voxels(alike if len(alike) > 1 else [])


def _same_voxels(images: Sequence[Path]) -> Iterable[tuple[Path, Path]]:
    seen: dict[bytes, Path] = {}
    for image in images:
        voxels = np.ascontiguousarray(read_image(image).array.T)
        digest = hashlib.sha256(voxels.data).digest()
        if seen.setdefault(digest, image) is not image:
            yield seen[digest], image
