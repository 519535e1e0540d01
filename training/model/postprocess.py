"""Clean-up of predicted label maps, as in the authors' Body-and-Organ-Analysis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from saros_hf.labels import BodyPart, BodyRegion, Task

SMALL_VOXELS = 3000
"""Body parts, and holes in them, with fewer voxels are removed."""

_WHOLE = tuple(BodyRegion)[1:]
_CHEST = (BodyRegion.THORACIC_CAVITY, BodyRegion.MEDIASTINUM, BodyRegion.PERICARDIUM)
_ONE_PIECE = (_WHOLE, _CHEST, (BodyRegion.PERICARDIUM,), (BodyRegion.ABDOMINAL_CAVITY,))
"""Groups of labels that form one connected piece in any body, in the order of the clean-up."""

_CONNECTIVITY = np.ones((3, 3, 3), bool)


def cleaned(labels: NDArray[np.uint8], task: Task) -> NDArray[np.uint8]:
    """Return label ids (I, J, K) without implausible pieces.

    Body regions: the largest connected piece of the whole body, the chest cavities, the
    pericardium and the abdominal cavity stays. Body parts: each is filled slice by slice, then
    pieces and holes below 3000 voxels are removed. Removed voxels become background; the
    authors' tool writes 255, which here means "not annotated".

    Args:
        labels: Predicted label ids; axis k is axial.
        task: Label map that ``labels`` is.
    """
    return _cleaned_regions(labels) if task == "body-regions" else _cleaned_parts(labels)


def _cleaned_regions(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kept = labels.copy()
    for group in _ONE_PIECE:
        mask = np.isin(kept, group)
        pieces, sizes = _pieces(mask)
        if sizes.any():
            kept[mask & (pieces != sizes.argmax())] = BodyRegion.BACKGROUND
    return kept


def _cleaned_parts(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kept = np.zeros_like(labels)
    for part in tuple(BodyPart)[1:]:
        mask = labels == part
        if not mask.any():
            continue
        for k in np.flatnonzero(mask.any(axis=(0, 1))):
            mask[..., k] = ndimage.binary_fill_holes(mask[..., k])
        kept[~_without_small(~_without_small(mask))] = part
    return kept


def _without_small(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, sizes = _pieces(mask)
    large: NDArray[np.bool_] = (sizes >= SMALL_VOXELS)[pieces]
    return large


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Return the number of the connected piece of each voxel, 0 for none, and all sizes."""
    pieces, _ = ndimage.label(mask, _CONNECTIVITY)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces, sizes
