"""Find where the field of view cuts the body: skin at the reconstruction circle or at the image border."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRUNCATED_SHARE", "contour", "field_edge"]

TRUNCATED_SHARE = 0.01
"""A slice counts as truncated from this share of the body's contour at the edge of the field."""

_CIRCLE_EDGE_PIXELS = 2.0


def field_edge(hu: NDArray[np.int16], regions: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels at the edge of the field of view, from some slices (n, J, I) of a scan.

    The field is the circle inscribed in the image if everything outside it has one value, the
    padding, and no label. Else it is the whole image.
    """
    rows, columns = hu.shape[1:]
    j, i = np.indices((rows, columns))
    radius = np.hypot(j - (rows - 1) / 2, i - (columns - 1) / 2)
    outside = radius > rows / 2 + 1
    if rows == columns and outside.any():
        padding = hu[:, outside]
        if (padding == padding.flat[0]).all() and not regions[:, outside].any():
            return np.asarray(radius > rows / 2 - _CIRCLE_EDGE_PIXELS)
    edge = np.ones((rows, columns), np.bool_)
    edge[1:-1, 1:-1] = False
    return edge


def contour(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of the body (J, I) that have a neighbour outside it or outside the image."""
    padded = np.pad(body, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return body & ~inside
