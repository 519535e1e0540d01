"""What a row of a case holds: its columns, and how its files become them."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import datasets
import numpy as np
from numpy.typing import NDArray

from ..cases.case import PHANTOM_DESCRIPTION
from ..cases.files import CaseFiles
from ..cases.licenses import PHANTOM_COLLECTION
from ..cases.pairing import pair
from ..labels import IGNORE_INDEX, Task, label_names
from ..nifti import packed_nifti, read_grid, read_image, read_mask, refuse_cut_short
from ..volume import Volume, annotated_slices

CASE_FEATURES = {
    "case_id": datasets.Value("string"),
    "patient_id": datasets.Value("string"),
    "series_instance_uid": datasets.Value("string"),
    "collection": datasets.Value("string"),
    "license": datasets.Value("string"),
    "anatomic_region": datasets.Value("string"),
    "sex": datasets.Value("string"),
    "has_breast_implant": datasets.Value("bool"),
    "orientation": datasets.Value("string"),
    "fold": datasets.Value("string"),
    "spacing_mm": datasets.List(datasets.Value("float64"), length=3),
}
MASK_FEATURES = {
    "body_regions": datasets.Nifti(),
    "body_parts": datasets.Nifti(),
    "annotated_slices": datasets.List(datasets.Value("int32")),
    "region_labels": datasets.List(datasets.ClassLabel(names=label_names("body-regions"))),
    "part_labels": datasets.List(datasets.ClassLabel(names=label_names("body-parts"))),
}
VOLUME_FEATURES = {"image": datasets.Nifti(), **MASK_FEATURES}

Kept: TypeAlias = Literal["path", "file", "voxels"]
"""What a row keeps of a NIfTI file: where it is, its bytes, or its grid and voxels alone.

The last is for rows that others will see. A file may hold more than a label map: texts in its
header, extensions, whatever was appended to it.
"""


def case_columns(files: CaseFiles, stored: Volume) -> dict[str, Any]:
    """Return what every row tells about its case."""
    case = files.case
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "series_instance_uid": case.series_instance_uid,
        "collection": case.collection,
        "license": case.license,
        "anatomic_region": case.anatomic_region,
        "sex": case.sex,
        "has_breast_implant": case.has_breast_implant,
        "orientation": stored.orientation,
        "fold": case.fold,
        "spacing_mm": list(stored.to_ras().spacing_mm),
    }


def read_masks(files: CaseFiles, image: Volume) -> tuple[Volume, Volume | None]:
    """Return the label maps on the affine they share with the image.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    uid = files.case.series_instance_uid

    def read(task: Task, path: Path) -> Volume:
        mask = read_mask(path, task)
        return replace(mask, affine=pair(image, mask, path, series_uid=uid))

    regions = read("body-regions", files.mask("body-regions"))
    parts = None if files.body_parts is None else read("body-parts", files.body_parts)
    return regions, parts


def volume_row(files: CaseFiles, kept: Kept = "path") -> dict[str, Any]:
    """Return a case as one row, its label maps read and checked.

    Args:
        files: The case's files.
        kept: What the row keeps of them.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    if kept == "voxels":
        image = read_image(files.image)
    else:
        refuse_cut_short(files.image)
        image = read_grid(files.image)
    regions, parts = read_masks(files, image)
    columns = case_columns(files, image) | _mask_columns(files, regions, parts, kept)
    return columns | {"image": _stored(files, files.image, image, kept)}


def mask_row(files: CaseFiles, kept: Kept = "path") -> dict[str, Any]:
    """Return a case as one row without its CT, which need not be there.

    Args:
        files: The case's files.
        kept: What the row keeps of them.

    Raises:
        SarosError: A label map is missing, cut short, on another grid or holds an unknown label.
    """
    grid = read_grid(files.mask("body-regions"))
    regions, parts = read_masks(files, grid)
    return case_columns(files, grid) | _mask_columns(files, regions, parts, kept)


def _mask_columns(
    files: CaseFiles, regions: Volume, parts: Volume | None, kept: Kept
) -> dict[str, Any]:
    parts_path = files.mask("body-parts")
    return {
        "body_regions": _stored(files, files.mask("body-regions"), regions, kept),
        "body_parts": None if parts is None else _stored(files, parts_path, parts, kept),
        "annotated_slices": annotated_slices(regions.array),
        "region_labels": _labels_in(regions),
        "part_labels": [] if parts is None else _labels_in(parts),
    }


def _labels_in(mask: Volume) -> NDArray[np.uint8]:
    # In the order of memory: any other takes four times as long.
    return np.setdiff1d(np.unique(mask.array.ravel(order="K")), [IGNORE_INDEX])


def _stored(files: CaseFiles, path: Path, volume: Volume, kept: Kept) -> str | bytes:
    if kept == "path":
        return str(path)
    if kept == "file":
        return path.read_bytes()
    synthetic = files.case.collection == PHANTOM_COLLECTION
    return packed_nifti(volume, description=PHANTOM_DESCRIPTION if synthetic else "")
