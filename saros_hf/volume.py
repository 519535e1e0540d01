"""A voxel grid with its place in the patient, and the one definition of "annotated"."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from .labels import IGNORE_INDEX


@dataclass(frozen=True, eq=False)
class Volume:
    """A voxel grid indexed (i, j, k), with the affine from (i, j, k) to RAS+ millimetres.

    SAROS stores LPS, LAI or LPI arrays, k axial in all of them; :meth:`to_ras` brings any
    volume into one orientation and :meth:`like` takes a result back.

    Attributes:
        array: Shape (I, J, K).
        affine: Shape (4, 4).
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
        """Directions in which i, j and k grow, e.g. ``LPS``."""
        return "".join(orientations.aff2axcodes(self.affine))

    def oriented(self, code: str) -> Self:
        """Return the same voxels with axes flipped and permuted to ``code``, without a copy."""
        source = orientations.io_orientation(self.affine)
        target = orientations.axcodes2ornt(tuple(code))
        transform = orientations.ornt_transform(source, target)
        array = orientations.apply_orientation(self.array, transform)
        affine = self.affine @ orientations.inv_ornt_aff(transform, self.shape)
        return type(self)(array, affine)

    def to_ras(self) -> Self:
        """Return the volume with i growing to the right, j anterior and k superior."""
        return self.oriented("RAS")

    def same_grid(self, other: "Volume", *, tolerance_mm: float = 0.01) -> bool:
        """Return whether both have one shape and put every corner at the same place."""
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
    """Return the axial indices k of ``mask`` (I, J, K) whose every voxel carries a label."""
    return np.flatnonzero((mask != IGNORE_INDEX).all(axis=(0, 1)))
