"""CT series in DICOM files: find, check, and read them onto the 5 mm grid of SAROS.

Only ``headers`` and ``volume`` import SimpleITK, and only they know its (z, y, x) arrays and LPS
coordinates; the volumes they return are indexed (i, j, k) with an RAS affine.
"""

from .groups import DicomContents, find_series
from .headers import ACQUISITION_TAGS
from .series import CtSeries
from .volume import SLICE_SPACING_MM, Stacking, read_series

__all__ = [
    "ACQUISITION_TAGS",
    "SLICE_SPACING_MM",
    "CtSeries",
    "DicomContents",
    "Stacking",
    "find_series",
    "read_series",
]
