"""Clean-up of predicted label maps, as the authors' Body-and-Organ-Analysis does it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from saros_hf.labels import BodyPart, BodyRegion, Task

SMALL_VOXELS = 3000
"""Body parts and holes in them below this size are not believed."""

_WHOLE = tuple(BodyRegion)[1:]
_CHEST = (BodyRegion.THORACIC_CAVITY, BodyRegion.MEDIASTINUM, BodyRegion.PERICARDIUM)
_ONE_PIECE = (_WHOLE, _CHEST, (BodyRegion.PERICARDIUM,), (BodyRegion.ABDOMINAL_CAVITY,))
"""Labels that together are one connected piece of any body, in the order they are looked at."""

_TOUCHING = np.ones((3, 3, 3), bool)


def cleaned(labels: NDArray[np.uint8], task: Task) -> NDArray[np.uint8]:
    """Return label ids (I, J, K) without what cannot be true.

    Regions: of the whole body, the chest's cavities, the pericardium and the abdominal cavity the
    largest connected piece stays. Parts: each is filled within its outline slice by slice, pieces
    and holes below 3000 voxels go. What goes becomes background; the authors' tool writes 255
    there, which here means that nobody has looked.

    Args:
        labels: As predicted; axis k is axial.
        task: Which label map it is.
    """
    return _cleaned_regions(labels) if task == "body-regions" else _cleaned_parts(labels)


def _cleaned_regions(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kept = labels.copy()
    for together in _ONE_PIECE:
        mask = np.isin(kept, together)
        kept[mask & ~_largest_piece(mask)] = BodyRegion.BACKGROUND
    return kept


def _cleaned_parts(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kept = np.zeros_like(labels)
    for part in tuple(BodyPart)[1:]:
        mask = labels == part
        if not mask.any():
            continue
        for k in _slices_with(mask):
            mask[..., k] = ndimage.binary_fill_holes(mask[..., k])
        mask = _without_small(mask)
        kept[~_without_small(~mask)] = part
    return kept


def _slices_with(mask: NDArray[np.bool_]) -> Iterator[int]:
    return iter(np.flatnonzero(mask.any(axis=(0, 1))).tolist())


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, sizes = _pieces(mask)
    return pieces == sizes.argmax() if sizes.any() else mask


def _without_small(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, sizes = _pieces(mask)
    large: NDArray[np.bool_] = (sizes >= SMALL_VOXELS)[pieces]
    return large


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Return which connected piece each voxel is of, and their sizes; 0 is none of them."""
    pieces, _ = ndimage.label(mask, _TOUCHING)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces, sizes
