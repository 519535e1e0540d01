"""A slice as a picture: the CT in a soft tissue window, label maps laid over it."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ..labels import IGNORE_INDEX, Task, colours

_LOWEST_HU, _HIGHEST_HU = -160.0, 240.0
_OPACITY = 0.5


def overlay_png(
    image: NDArray[np.int16],
    masks: Mapping[Task, NDArray[np.uint8]],
    *,
    spacing_mm: tuple[float, float],
) -> bytes:
    """Return a PNG with the CT, and beside it the CT under each label map that has labels.

    Shown as radiologists look at patients: from the feet, the patient's right on the left.

    Args:
        image: Hounsfield units (I, J) in RAS+.
        masks: Label maps (I, J) of the same slice; one that is 255 throughout is left out.
        spacing_mm: Along i and j; the picture has square pixels.
    """
    span = np.clip((image - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU), 0, 1)
    grey = np.repeat(span[..., None] * 255, 3, axis=-1)
    panels = [grey]
    for task, mask in masks.items():
        if (mask != IGNORE_INDEX).any():
            panels.append(_coloured(grey, mask, task))
    side_by_side = np.concatenate([_as_seen(panel) for panel in panels], axis=1)
    picture = Image.fromarray(side_by_side.round().astype(np.uint8))
    between_i, between_j = spacing_mm
    height = max(round(picture.height * between_j / between_i), 1)
    file = io.BytesIO()
    picture.resize((picture.width, height)).save(file, format="PNG")
    return file.getvalue()


def _coloured(
    grey: NDArray[np.float64], mask: NDArray[np.uint8], task: Task
) -> NDArray[np.float64]:
    palette = np.zeros((256, 3))
    for label, name in enumerate(colours(task)):
        palette[label] = ImageColor.getrgb(name)
    labelled = (mask != 0) & (mask != IGNORE_INDEX)
    mixed = grey * (1 - _OPACITY) + palette[mask] * _OPACITY
    return np.where(labelled[..., None], mixed, grey)


def _as_seen(panel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (rows, columns, RGB) of an (I, J, RGB) array in RAS+."""
    return panel.transpose(1, 0, 2)[::-1, ::-1]
