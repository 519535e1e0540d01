"""Put a CT and its published label maps on one grid, without moving a voxel of either."""

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
    """Return the affine under which voxel (i, j, k) of both is one place, ``None`` if there is none.

    On equal grids that is the label map's own, so that both files say the same to the last bit.
    A label map whose affine has the wrong sign along k lies, taken at its word, beyond the
    patient's head; its voxels pair with a CT that starts at the same place, whose affine is right.

    Args:
        image: A CT at 5 mm slices.
        mask: A label map.
        top_down: The label map is known to run from head to foot whatever its affine says, so
            that only a CT that does so pairs with it.
    """
    if mask.same_grid(image) and (image.orientation[2] == "I" or not top_down):
        return mask.affine
    if Volume(mask.array, mask.affine @ _FLIP_K).same_grid(image):
        return image.affine
    if top_down and mask.same_grid(_from_the_other_end(image)):
        return image.affine
    return None


def pair(image: Volume, mask: Volume, mask_path: Path, *, series_uid: str) -> NDArray[np.float64]:
    """Return the affine that a case's CT and one of its label maps share.

    Raises:
        GridMismatchError: Names the label map and both grids.
    """
    affine = shared_affine(image, mask, top_down=series_uid in TOP_DOWN_SERIES)
    if affine is None:
        raise GridMismatchError(
            mask_path,
            mask.describe_grid(),
            f"the grid of its image, {image.describe_grid()}",
            "Fetch or convert the CT again: it lacks slices, or is not at 5 mm.",
        )
    return affine


def _from_the_other_end(volume: Volume) -> Volume:
    """Return the grid of ``volume`` counted from its last slice, under the same voxels."""
    reversal = _FLIP_K.copy()
    reversal[2, 3] = volume.shape[2] - 1
    return Volume(volume.array, volume.affine @ reversal)
