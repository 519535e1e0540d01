"""Compartments: the parts of a body region between neighbouring HU limits of its tissues.

Every labelled voxel lies in exactly one compartment, and every tissue is a set of compartments, so
counting compartments once gives every region and tissue.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..labels import IGNORE_INDEX, BodyRegion
from ..volume import Volume
from .tissues import TISSUES, Tissue, hounsfield

__all__ = [
    "COMPARTMENTS",
    "MAP_LABELS",
    "Compartment",
    "Lookup",
    "members",
    "smoothed",
    "tissue_map",
]

_LOWEST, _HIGHEST = -32768, 32768


@dataclass(frozen=True)
class Compartment:
    """The voxels of a body region with ``low_hu <= HU < end_hu``, and their label in the tissue map."""

    region: BodyRegion
    low_hu: int
    end_hu: int
    map_label: int


def _compartments() -> tuple[Compartment, ...]:
    """Cut every region at the limits of its tissues; the first compartment is the background."""
    found = [Compartment(BodyRegion.BACKGROUND, _LOWEST, _HIGHEST, 0)]
    for region in tuple(BodyRegion)[1:]:
        ranges = [(t, r) for t in TISSUES for r in t.ranges if r.region == region]
        cuts = sorted({_LOWEST, _HIGHEST, *(h for _, r in ranges for h in (r.low_hu, r.end_hu))})
        for low, end in pairwise(cuts):
            inside = [t.map_label for t, r in ranges if r.low_hu <= low and end <= r.end_hu]
            found.append(Compartment(region, low, end, max(inside, default=0)))
    return tuple(found)


COMPARTMENTS = _compartments()
"""All compartments; the index is the code, 0 the background."""

MAP_LABELS = np.array([one.map_label for one in COMPARTMENTS], np.uint8)
"""Label in the tissue map by code."""


def members(structure: Tissue | BodyRegion) -> list[int]:
    """Return the codes of the compartments that make up a tissue or a body region."""
    if isinstance(structure, BodyRegion):
        return [code for code, one in enumerate(COMPARTMENTS) if one.region == structure]
    return [
        code
        for code, one in enumerate(COMPARTMENTS)
        if any(
            one.region == r.region and r.low_hu <= one.low_hu and one.end_hu <= r.end_hu
            for r in structure.ranges
        )
    ]


@dataclass(frozen=True)
class Lookup:
    """Looks up compartments of voxels whose HU lie from ``lowest`` to ``highest``."""

    lowest: int
    highest: int

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """Code by label of the body regions and HU, flattened; 255 counts as background."""
        table = np.zeros((256, self.highest - self.lowest + 1), np.uint8)
        for code, one in enumerate(COMPARTMENTS):
            low, end = (max(hu - self.lowest, 0) for hu in (one.low_hu, one.end_hu))
            table[one.region, low:end] = code
        return table.ravel()

    def codes(self, regions: NDArray[np.uint8], hu: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Return the code of every voxel, from body regions and HU of the same shape."""
        places = np.multiply(regions, self.highest - self.lowest + 1, dtype=np.intp)
        places += hu
        places -= self.lowest
        return self._table.take(places)


def smoothed(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the 3x3 median of one slice."""
    return ndimage.median_filter(hu, size=3)


def tissue_map(ct: Volume, regions: Volume, *, median_filter: bool = False) -> Volume:
    """Return the tissue of every voxel, by the labels of :data:`~.tissues.TISSUES`.

    Args:
        ct: CT in HU.
        regions: Body regions on the grid of ``ct``.
        median_filter: Decide by the in-plane 3x3 median of the CT.

    Returns:
        uint8 labels on the grid of ``ct``: 0 where there is no tissue, 255 where ``regions`` is.

    Example:
        >>> ct = Volume(np.array([[[-100, -29, 60]]]), np.eye(4))
        >>> regions = Volume(np.array([[[1, 2, 255]]], np.uint8), np.eye(4))
        >>> tissue_map(ct, regions).array
        array([[[  3,   1, 255]]], dtype=uint8)
    """
    result = np.empty(ct.shape, np.uint8, order="F")
    for k in range(ct.shape[2]):
        labels, hu = regions.array[..., k], hounsfield(ct.array[..., k])
        hu = smoothed(hu) if median_filter else hu
        codes = Lookup(int(hu.min()), int(hu.max())).codes(labels, hu)
        result[..., k] = np.where(labels == IGNORE_INDEX, IGNORE_INDEX, MAP_LABELS[codes])
    return Volume(result, ct.affine)
