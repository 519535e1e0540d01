"""Rows of ``volumes``, ``masks`` and ``slices``: their columns, and how a case becomes rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import datasets
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..cases.case import PHANTOM_DESCRIPTION
from ..cases.files import CaseFiles
from ..cases.licenses import PHANTOM_COLLECTION
from ..cases.pairing import pair
from ..labels import IGNORE_INDEX, TASKS, Task, label_names
from ..nifti import packed_nifti, read_grid, read_image, read_mask, refuse_cut_short
from ..volume import Volume, annotated_slices, distinct_values
from .codec import pack

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
_REGION_LABELS = datasets.List(datasets.ClassLabel(names=label_names("body-regions")))
_PART_LABELS = datasets.List(datasets.ClassLabel(names=label_names("body-parts")))
MASK_FEATURES = {
    "body_regions": datasets.Nifti(),
    "body_parts": datasets.Nifti(),
    "annotated_slices": datasets.List(datasets.Value("int32")),
    "region_labels": _REGION_LABELS,
    "part_labels": _PART_LABELS,
}
VOLUME_FEATURES = {"image": datasets.Nifti(), **MASK_FEATURES}

Kept: TypeAlias = Literal["path", "file", "voxels"]
"""What a row keeps of a NIfTI file: its path, its bytes, or its grid and voxels only.

Published rows keep grid and voxels only: the header, its extensions and trailing bytes of a file
may hold other things than the volume.
"""


def volume_row(files: CaseFiles, kept: Kept = "path") -> dict[str, Any]:
    """Return a case as one row, after reading and checking its label maps.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    if kept == "voxels":
        image = read_image(files.image)
    else:
        refuse_cut_short(files.image)
        image = read_grid(files.image)
    columns = _case_columns(files, image) | _mask_columns(files, _read_masks(files, image), kept)
    return columns | {"image": _stored(files, files.image, image, kept)}


def mask_row(files: CaseFiles, kept: Kept = "path") -> dict[str, Any]:
    """Return a case as one row without its CT, which need not exist.

    Raises:
        SarosError: A label map is missing, cut short, on another grid or holds an unknown label.
    """
    grid = read_grid(files.mask("body-regions"))
    return _case_columns(files, grid) | _mask_columns(files, _read_masks(files, grid), kept)


def slice_features(
    shape: tuple[int, ...] | None, *, context: int = 0, compress: bool = False
) -> dict[str, Any]:
    """Return the columns of ``slices`` besides those of the case.

    Args:
        shape: In-plane size (I, J) if all cases share one, for arrays of fixed size; ``None`` for
            nested lists, which can hold any size.
        context: Number of neighbouring slices on each side, stored as channels.
        compress: Whether arrays are stored as bytes, see :func:`saros_hf.load.codec.pack`.
    """

    def array(dtype: str, channels: int | None) -> Any:  # noqa: ANN401 - any datasets feature
        if compress:
            return datasets.Value("binary")
        if shape is None:
            plane = datasets.List(datasets.List(datasets.Value(dtype)))
            return datasets.List(plane) if channels else plane
        if channels:
            return datasets.Array3D(shape=(channels, *shape), dtype=dtype)
        return datasets.Array2D(shape=shape, dtype=dtype)

    boxes = datasets.List(datasets.List(datasets.Value("int32"), length=4))
    return {
        "slice_index": datasets.Value("int32"),
        "position_mm": datasets.Value("float64"),
        "position_fraction": datasets.Value("float64"),
        "image": array("int16", 2 * context + 1),
        "body_regions": array("uint8", None),
        "body_parts": array("uint8", None),
        "region_labels": _REGION_LABELS,
        "region_boxes": boxes,
        "part_labels": _PART_LABELS,
        "part_boxes": boxes,
    }


def slice_rows(
    files: CaseFiles, *, context: int = 0, unannotated: bool = False, compress: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the axial slices of a case in RAS+, from foot to head.

    Args:
        files: The case's files.
        context: Number of neighbouring slices on each side, stored as channels of the image.
        unannotated: Yield slices without annotation too.
        compress: Store arrays as bytes, see :func:`saros_hf.load.codec.pack`.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    stored = read_image(files.image)
    image = stored.to_ras()
    masks = {task: mask.to_ras().array for task, mask in _read_masks(files, stored).items()}
    nothing = np.full(image.shape[:2], IGNORE_INDEX, np.uint8)
    last = image.shape[2] - 1
    columns = _case_columns(files, stored)
    store = pack if compress else np.ascontiguousarray
    annotated = annotated_slices(masks["body-regions"])
    for k in range(last + 1) if unannotated else annotated.tolist():
        # A missing body parts map is all 255, as are slices without annotation.
        regions, parts = (
            masks[task][..., k] if task in masks and k in annotated else nothing for task in TASKS
        )
        yield columns | {
            "slice_index": last - k if stored.orientation[2] == "I" else k,
            "position_mm": k * image.spacing_mm[2],
            "position_fraction": k / max(last, 1),
            "image": store(_with_neighbours(image, k, context)),
            "body_regions": store(regions),
            "body_parts": store(parts),
            **_labels_and_boxes("region", regions),
            **_labels_and_boxes("part", parts),
        }


def _case_columns(files: CaseFiles, stored: Volume) -> dict[str, Any]:
    # The orientation of the files counts, not the one that the case table states.
    columns = {name: getattr(files.case, name) for name in CASE_FEATURES if name != "spacing_mm"}
    return columns | {
        "orientation": stored.orientation,
        "spacing_mm": list(stored.to_ras().spacing_mm),
    }


def _read_masks(files: CaseFiles, image: Volume) -> dict[Task, Volume]:
    """Return the label maps of a case on the affine they share with the image."""
    masks = {}
    for task in TASKS if files.body_parts else TASKS[:1]:
        path = files.mask(task)
        mask = read_mask(path, task)
        affine = pair(image, mask, path, series_uid=files.case.series_instance_uid)
        masks[task] = replace(mask, affine=affine)
    return masks


def _mask_columns(files: CaseFiles, masks: dict[Task, Volume], kept: Kept) -> dict[str, Any]:
    regions, parts = masks["body-regions"], masks.get("body-parts")
    parts_path = files.mask("body-parts")
    return {
        "body_regions": _stored(files, files.mask("body-regions"), regions, kept),
        "body_parts": None if parts is None else _stored(files, parts_path, parts, kept),
        "annotated_slices": annotated_slices(regions.array),
        "region_labels": _labels_in(regions.array),
        "part_labels": [] if parts is None else _labels_in(parts.array),
    }


def _labels_in(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.setdiff1d(distinct_values(mask), [IGNORE_INDEX])


def _stored(files: CaseFiles, path: Path, volume: Volume, kept: Kept) -> str | bytes:
    if kept == "path":
        return str(path)
    if kept == "file":
        return path.read_bytes()
    synthetic = files.case.collection == PHANTOM_COLLECTION
    return packed_nifti(volume, description=PHANTOM_DESCRIPTION if synthetic else "")


def _with_neighbours(image: Volume, k: int, context: int) -> NDArray[np.int16]:
    """Return slices k - context to k + context (C, I, J), the outermost repeated at the ends."""
    neighbours = np.clip(np.arange(k - context, k + context + 1), 0, image.shape[2] - 1)
    return np.ascontiguousarray(np.moveaxis(image.array[..., neighbours], 2, 0))


def _labels_and_boxes(prefix: str, mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the labels of a slice and the smallest box (i, j, i end, j end) around each."""
    labels = _labels_in(mask)
    # find_objects numbers objects from 1; uint16 keeps 255 + 1 from overflowing.
    found = ndimage.find_objects(
        mask.astype(np.uint16) + 1, max_label=int(labels.max(initial=0)) + 1
    )
    boxes = [[i.start, j.start, i.stop, j.stop] for i, j in (found[label] for label in labels)]
    return {f"{prefix}_labels": labels, f"{prefix}_boxes": boxes}
