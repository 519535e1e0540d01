"""Write ZIPs of label maps like the published one."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from helpers.case_folders import LPS, sparse_mask

from saros_hf.nifti import write_volume
from saros_hf.volume import Volume


def label_map(*annotated: int) -> bytes:
    """Return a body-regions.nii.gz of 8 x 6 x 7 voxels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body-regions.nii.gz"
        write_volume(path, Volume(sparse_mask((8, 6, 7), list(annotated)), LPS))
        return path.read_bytes()


def write_members(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a ZIP."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_masks(
    path: Path,
    case_ids: Sequence[str] = ("case_000", "case_001"),
    *,
    without_parts: Sequence[str] = ("case_001",),
    stem: str = "SAROS/",
) -> Path:
    """Write the label maps of some cases, with the files that macOS adds.

    Slices 1 and 5 of body regions are annotated, and slice 3 of body parts.
    """
    regions, parts = label_map(1, 5), label_map(3)
    members: list[tuple[str | zipfile.ZipInfo, bytes]] = [(stem, b"")] if stem else []
    for case_id in case_ids:
        members += [(f"{stem}{case_id}/", b""), (f"{stem}{case_id}/.DS_Store", b"x")]
        members += [(f"{stem}{case_id}/body-regions.nii.gz", regions)]
        members += [(f"__MACOSX/{stem}{case_id}/._body-regions.nii.gz", b"x")]
        members += [(f"__MACOSX/{stem}{case_id}/body-regions.nii.gz", b"x")]
        if case_id not in without_parts:
            members += [(f"{stem}{case_id}/body-parts.nii.gz", parts)]
    return write_members(path, *members)
