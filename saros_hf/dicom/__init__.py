"""CT series in DICOM files: found, checked, and read onto the 5 mm grid of SAROS.

Its ``headers`` and ``volume`` are the only modules that import SimpleITK, and so the only ones
with (z, y, x) arrays and LPS coordinates: what leaves them is indexed (i, j, k) with an RAS
affine.
"""

from .groups import DicomContents
from .headers import find_series
from .series import CtSeries
from .volume import SLICE_SPACING_MM, Stacking, read_series

__all__ = [
    "SLICE_SPACING_MM",
    "CtSeries",
    "DicomContents",
    "Stacking",
    "find_series",
    "read_series",
]
