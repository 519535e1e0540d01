"""What a row of each configuration holds: its columns, and how a case becomes rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from .case_files import CaseFiles
from .labels import IGNORE_INDEX, Task, label_names
from .nifti import read_grid, read_image, read_mask, refuse_cut_short
from .pairing import pair
from .volume import Volume, annotated_slices

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


def slice_features(shape: tuple[int, ...] | None, context: int) -> dict[str, Any]:
    """Return the columns of an annotated slice.

    Args:
        shape: In-plane size if all cases share one, for arrays of fixed size; ``None`` for nested
            lists, which hold any.
        context: Neighbouring slices on each side.
    """

    def array(dtype: str, channels: int | None) -> Any:  # noqa: ANN401 - any datasets feature
        if shape is None:
            plane = datasets.List(datasets.List(datasets.Value(dtype)))
            return datasets.List(plane) if channels else plane
        if channels:
            return datasets.Array3D(shape=(channels, *shape), dtype=dtype)
        return datasets.Array2D(shape=shape, dtype=dtype)

    return {
        "slice_index": datasets.Value("int32"),
        "position_mm": datasets.Value("float64"),
        "position_fraction": datasets.Value("float64"),
        "image": array("int16", 2 * context + 1),
        "body_regions": array("uint8", None),
        "body_parts": array("uint8", None),
        "region_labels": datasets.List(datasets.ClassLabel(names=label_names("body-regions"))),
        "part_labels": datasets.List(datasets.ClassLabel(names=label_names("body-parts"))),
    }


def _case_columns(files: CaseFiles, stored: Volume) -> dict[str, Any]:
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


def _read_masks(files: CaseFiles, image: Volume) -> tuple[Volume, Volume | None]:
    """Return the label maps on the affine they share with the image."""
    uid = files.case.series_instance_uid

    def read(task: Task, path: Path) -> Volume:
        mask = read_mask(path, task)
        return replace(mask, affine=pair(image, mask, path, series_uid=uid))

    regions = read("body-regions", files.mask("body-regions"))
    parts = None if files.body_parts is None else read("body-parts", files.body_parts)
    return regions, parts


def volume_row(files: CaseFiles, *, embed: bool) -> dict[str, Any]:
    """Return a case as one row, its label maps read and checked, its CT by path.

    Args:
        files: The case's files.
        embed: Put the files themselves into the row instead of their paths.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    refuse_cut_short(files.image)
    grid = read_grid(files.image)
    regions, parts = _read_masks(files, grid)
    columns = _mask_columns(files, regions, parts, embed=embed)
    return _case_columns(files, grid) | columns | {"image": _file(files.image, embed=embed)}


def mask_row(files: CaseFiles, *, embed: bool) -> dict[str, Any]:
    """Return a case as one row without its CT, which need not be there.

    Args:
        files: The case's files.
        embed: Put the files themselves into the row instead of their paths.

    Raises:
        SarosError: A label map is missing, cut short, on another grid or holds an unknown label.
    """
    grid = read_grid(files.mask("body-regions"))
    regions, parts = _read_masks(files, grid)
    return _case_columns(files, grid) | _mask_columns(files, regions, parts, embed=embed)


def _mask_columns(
    files: CaseFiles, regions: Volume, parts: Volume | None, *, embed: bool
) -> dict[str, Any]:
    parts_file = files.body_parts if parts is not None else None
    return {
        "body_regions": _file(files.mask("body-regions"), embed=embed),
        "body_parts": None if parts_file is None else _file(parts_file, embed=embed),
        "annotated_slices": annotated_slices(regions.array),
        "region_labels": _labels_in(regions),
        "part_labels": [] if parts is None else _labels_in(parts),
    }


def _labels_in(mask: Volume) -> NDArray[np.uint8]:
    # In the order of memory: any other takes four times as long.
    return np.setdiff1d(np.unique(mask.array.ravel(order="K")), [IGNORE_INDEX])


def _file(path: Path, *, embed: bool) -> str | bytes:
    return path.read_bytes() if embed else str(path)


def slice_rows(files: CaseFiles, context: int) -> Iterator[dict[str, Any]]:
    """Yield a case's annotated slices in RAS+, from foot to head.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    stored = read_image(files.image)
    stored_regions, stored_parts = _read_masks(files, stored)
    image = stored.to_ras()
    regions = stored_regions.to_ras().array
    parts = None if stored_parts is None else stored_parts.to_ras().array
    last = image.shape[2] - 1
    downwards = stored.orientation[2] == "I"
    columns = _case_columns(files, stored)
    for k in annotated_slices(regions):
        neighbours = np.clip(np.arange(k - context, k + context + 1), 0, last)
        # All 255 stands for "no body parts map", as it does for a slice nobody annotated.
        part = np.full(image.shape[:2], IGNORE_INDEX, np.uint8) if parts is None else parts[..., k]
        yield columns | {
            "slice_index": int(last - k if downwards else k),
            "position_mm": float(k * image.spacing_mm[2]),
            "position_fraction": float(k / max(last, 1)),
            "image": np.ascontiguousarray(np.moveaxis(image.array[..., neighbours], 2, 0)),
            "body_regions": np.ascontiguousarray(regions[..., k]),
            "body_parts": np.ascontiguousarray(part),
            "region_labels": np.unique(regions[..., k]),
            "part_labels": np.setdiff1d(part, [IGNORE_INDEX]),
        }
