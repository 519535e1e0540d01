"""Voxel grids with their place in the patient.

Terms used in this package:

- *annotated*: an axial slice is annotated if no voxel of its label map is 255. About every fifth
  slice of SAROS is.
- *context*: the number of neighbouring slices on each side of a slice that a row or a network sees
  as additional channels.
- *position*: the height of a slice above the lowest slice of its scan, in mm or as a fraction of
  the scan's height.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from .labels import IGNORE_INDEX

__all__ = ["PLAUSIBLE_SPACING_MM", "Volume", "annotated_slices", "distinct_values"]

PLAUSIBLE_SPACING_MM = (0.01, 100.0)
"""Spacing of voxels in CTs of patients; a file in metres or micrometres lies outside."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A voxel grid indexed (i, j, k), with the affine from (i, j, k) to RAS+ millimetres.

    SAROS stores LPS, LAI or LPI arrays; k is axial in all of them.

    Attributes:
        array: Voxels (I, J, K).
        affine: Matrix (4, 4).

    Example:
        >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0]))
        >>> volume.orientation, volume.spacing_mm
        ('LPS', (2.0, 2.0, 5.0))
        >>> volume.to_ras().affine[:3, 3]  # its first voxel was the last along i and j
        array([-6., -4.,  0.])
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j and k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def orientation(self) -> str:
        """Directions in the patient in which i, j and k increase, e.g. ``LPS``."""
        return "".join(orientations.aff2axcodes(self.affine))

    def oriented(self, code: str) -> Self:
        """Return a view with axes flipped and permuted to an orientation such as ``RAS``."""
        source = orientations.io_orientation(self.affine)
        target = orientations.axcodes2ornt(tuple(code))
        transform = orientations.ornt_transform(source, target)
        array = orientations.apply_orientation(self.array, transform)
        affine = self.affine @ orientations.inv_ornt_aff(transform, self.shape)
        return type(self)(array, affine)

    def to_ras(self) -> Self:
        """Return a view with i increasing to the right, j to anterior and k to superior."""
        return self.oriented("RAS")

    def same_grid(self, other: "Volume", *, tolerance_mm: float = 0.01) -> bool:
        """Return whether shapes are equal and all corners lie within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        last = np.array(self.shape) - 1
        corners = np.stack(np.meshgrid(*[(0, n) for n in last], indexing="ij"), axis=-1)
        points = np.c_[corners.reshape(-1, 3), np.ones(8)]
        difference = points @ (self.affine - other.affine).T
        return bool(np.abs(difference).max() <= tolerance_mm)

    def describe_grid(self) -> str:
        """Return shape, spacing, orientation and origin in words, for error messages."""
        spacing = ", ".join(f"{step:.4g}" for step in self.spacing_mm)
        origin = ", ".join(f"{place:.4g}" for place in self.affine[:3, 3])
        return f"shape {self.shape}, spacing ({spacing}) mm, {self.orientation}, origin ({origin})"


def annotated_slices(mask: NDArray[Any]) -> NDArray[np.intp]:
    """Return the indices k of the annotated axial slices of a label map (I, J, K).

    Example:
        >>> mask = np.full((2, 2, 5), 255, np.uint8)
        >>> mask[..., 1] = 0  # background is an annotation
        >>> annotated_slices(mask)
        array([1])
    """
    return np.flatnonzero((mask != IGNORE_INDEX).all(axis=(0, 1)))


def distinct_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted distinct values of an array."""
    # Reading in memory order is four times as fast as in any other.
    return np.unique(array.ravel(order="K"))
