"""Find the affine shared by a CT and its published label maps, without resampling either."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GridMismatchError
from ..volume import Volume

TOP_DOWN_SERIES = frozenset(
    {"1.3.6.1.4.1.14519.5.2.1.7009.2403.244263522807092367203669128833"}  # case_647
)
"""CTs whose published label maps run from head to foot while their affine says the opposite."""

_FLIP_K = np.diag([1.0, 1.0, -1.0, 1.0])


def shared_affine(
    image: Volume, mask: Volume, *, top_down: bool = False
) -> NDArray[np.float64] | None:
    """Return the affine that puts voxel (i, j, k) of both at one place, ``None`` if there is none.

    On equal grids it is the label map's own, so that both files agree to the last bit. Some label
    maps have the wrong sign along k in their affine, which puts them beyond the patient's head.
    Their voxels pair with a CT that starts at the same place, and the CT's affine is right.
    A CT whose rows or columns are stored in another direction than those of the label map, such as
    RAS beside LPS, is at the same place once it is oriented like the affine.

    Args:
        image: CT at 5 mm slices.
        mask: Label map.
        top_down: Whether the label map is known to run from head to foot regardless of its
            affine, so that it pairs only with a CT that does so too.
    """
    if mask.same_grid(image) and (image.orientation[2] == "I" or not top_down):
        return mask.affine
    along_k = image.orientation[2] == mask.orientation[2] and not top_down
    if along_k and mask.same_grid(image.oriented(mask.orientation)):
        return mask.affine
    if Volume(mask.array, mask.affine @ _FLIP_K).same_grid(image):
        return image.affine
    # The CT's grid counted from its last slice.
    reversal = _FLIP_K.copy()
    reversal[2, 3] = image.shape[2] - 1
    if top_down and mask.same_grid(Volume(image.array, image.affine @ reversal)):
        return image.affine
    return None


def pair(image: Volume, mask: Volume, mask_path: Path, *, series_uid: str) -> NDArray[np.float64]:
    """Return the affine shared by a case's CT and one of its label maps.

    Raises:
        GridMismatchError: Names the label map and both grids.
    """
    affine = shared_affine(image, mask, top_down=series_uid in TOP_DOWN_SERIES)
    if affine is None:
        raise GridMismatchError(
            mask_path,
            mask.describe_grid(),
            f"the grid of its image, {image.describe_grid()}",
            "Fetch or convert the CT again: slices are missing, or it is not at 5 mm.",
        )
    return affine
