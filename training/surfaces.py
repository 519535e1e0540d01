"""Contours and surfaces of masks, their sizes and their distance, as DeepMind defines them."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Only its tables: its own distances need np.Inf, gone since numpy 2, and scipy.ndimage.filters.
from surface_distance import lookup_tables


@dataclass(frozen=True)
class Agreement:
    """How much of two surfaces lies within a tolerance of the other one, both added up.

    Attributes:
        within: Length in mm (2-D) or area in mm2 (3-D) that has the other surface in reach.
        whole: Length or area of both surfaces.
    """

    within: float
    whole: float


class Surfaces:
    """The surfaces of masks with one voxel spacing.

    A surface element sits at each voxel corner whose 2x2 (2x2x2) neighbouring voxels do not all
    agree; the space outside the array is background. Which voxels belong to the mask is the
    element's code, and a table gives its size.

    Args:
        spacing_mm: Two values for contours of 2-D masks, three for surfaces of 3-D masks.
    """

    def __init__(self, spacing_mm: tuple[float, ...]) -> None:
        self.spacing_mm = tuple(float(step) for step in spacing_mm)
        if len(self.spacing_mm) == 2:
            kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
            sizes = lookup_tables.create_table_neighbour_code_to_contour_length(self.spacing_mm)
        else:
            kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
            sizes = lookup_tables.create_table_neighbour_code_to_surface_area(self.spacing_mm)
        self._kernel: NDArray[np.uint8] = kernel.astype(np.uint8)
        self._sizes: NDArray[np.float64] = sizes

    def agreement(
        self, one: NDArray[np.bool_], other: NDArray[np.bool_], tolerance_mm: float
    ) -> Agreement:
        """Return how much of the surfaces of two masks of one shape agrees.

        An element agrees if some element of the other surface is at most ``tolerance_mm`` away,
        so that nothing agrees with an empty mask.
        """
        codes = self._codes(one), self._codes(other)
        borders = self._border(codes[0]), self._border(codes[1])
        sizes = self._sizes[codes[0][borders[0]]], self._sizes[codes[1][borders[1]]]
        whole = float(sizes[0].sum() + sizes[1].sum())
        if not (sizes[0].size and sizes[1].size):
            return Agreement(0.0, whole)
        near = (
            self._distance_mm(borders[1])[borders[0]] <= tolerance_mm,
            self._distance_mm(borders[0])[borders[1]] <= tolerance_mm,
        )
        return Agreement(float(sizes[0][near[0]].sum() + sizes[1][near[1]].sum()), whole)

    def _codes(self, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the code at each voxel corner, of which there is one more per axis."""
        padded = np.pad(mask.astype(np.uint8), 1)
        codes = np.zeros([size + 1 for size in mask.shape], np.uint8)
        for offset in product((0, 1), repeat=mask.ndim):
            window = tuple(slice(o, o + n) for o, n in zip(offset, codes.shape, strict=True))
            codes |= padded[window] * self._kernel[offset]
        return codes

    def _border(self, codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
        mixed: NDArray[np.bool_] = (codes != 0) & (codes != len(self._sizes) - 1)
        return mixed

    def _distance_mm(self, border: NDArray[np.bool_]) -> NDArray[np.float64]:
        distance: NDArray[np.float64] = ndimage.distance_transform_edt(
            ~border, sampling=self.spacing_mm
        )
        return distance
