"""What a row of ``slices`` holds: its columns, and how a case becomes rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..cases.files import CaseFiles
from ..labels import IGNORE_INDEX, label_names
from ..nifti import read_image
from ..volume import Volume, annotated_slices
from .case_rows import case_columns, read_masks
from .codec import pack


@dataclass(frozen=True)
class SliceOptions:
    """What is kept of a case.

    Attributes:
        context: Neighbouring slices on each side, as channels of the image.
        unannotated: Keep the slices that nobody annotated as well.
        compress: Keep images and label maps as :func:`saros_hf.load.codec.pack` packs them.
    """

    context: int = 0
    unannotated: bool = False
    compress: bool = False


def slice_features(shape: tuple[int, ...] | None, options: SliceOptions) -> dict[str, Any]:
    """Return the columns of an axial slice.

    Args:
        shape: In-plane size if all cases share one, for arrays of fixed size; ``None`` for nested
            lists, which hold any.
        options: What is kept.
    """

    def array(dtype: str, channels: int | None) -> Any:  # noqa: ANN401 - any datasets feature
        if options.compress:
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
        "image": array("int16", 2 * options.context + 1),
        "body_regions": array("uint8", None),
        "body_parts": array("uint8", None),
        "region_labels": datasets.List(datasets.ClassLabel(names=label_names("body-regions"))),
        "region_boxes": boxes,
        "part_labels": datasets.List(datasets.ClassLabel(names=label_names("body-parts"))),
        "part_boxes": boxes,
    }


def slice_rows(files: CaseFiles, options: SliceOptions) -> Iterator[dict[str, Any]]:
    """Yield a case's slices in RAS+, from foot to head.

    Raises:
        SarosError: A file is missing, cut short, on another grid or holds an unknown label.
    """
    stored = read_image(files.image)
    stored_regions, stored_parts = read_masks(files, stored)
    image = stored.to_ras()
    regions = stored_regions.to_ras().array
    parts = None if stored_parts is None else stored_parts.to_ras().array
    last = image.shape[2] - 1
    downwards = stored.orientation[2] == "I"
    columns = case_columns(files, stored)
    keep = pack if options.compress else np.ascontiguousarray
    annotated = annotated_slices(regions)
    for k in range(last + 1) if options.unannotated else annotated:
        region = regions[..., k] if k in annotated else _nothing(image)
        # All 255 stands for "no body parts map", as it does for a slice nobody annotated.
        part = parts[..., k] if parts is not None and k in annotated else _nothing(image)
        yield columns | {
            "slice_index": int(last - k if downwards else k),
            "position_mm": float(k * image.spacing_mm[2]),
            "position_fraction": float(k / max(last, 1)),
            "image": keep(_with_neighbours(image, int(k), options.context)),
            "body_regions": keep(region),
            "body_parts": keep(part),
            **_where("region", region),
            **_where("part", part),
        }


def _with_neighbours(image: Volume, k: int, context: int) -> NDArray[np.int16]:
    """Return slices k - context to k + context (C, I, J), the outermost repeated at the ends."""
    neighbours = np.clip(np.arange(k - context, k + context + 1), 0, image.shape[2] - 1)
    return np.ascontiguousarray(np.moveaxis(image.array[..., neighbours], 2, 0))


def _nothing(image: Volume) -> NDArray[np.uint8]:
    return np.full(image.shape[:2], IGNORE_INDEX, np.uint8)


def _where(prefix: str, mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Return which labels a slice holds, and the box (i, j, i end, j end) around each."""
    labels = np.setdiff1d(mask, [IGNORE_INDEX])
    # SciPy looks for objects 1, 2, ...; in uint16, 255 + 1 is no overflow.
    found = ndimage.find_objects(
        mask.astype(np.uint16) + 1, max_label=int(labels.max(initial=0)) + 1
    )
    boxes = [
        [edges[0].start, edges[1].start, edges[0].stop, edges[1].stop]
        for edges in (found[label] for label in labels)
    ]
    return {f"{prefix}_labels": labels, f"{prefix}_boxes": boxes}
