"""Picture of a slice: the CT in a soft tissue window, with label maps laid over it."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ..labels import IGNORE_INDEX, Task, colours

_LOWEST_HU, _HIGHEST_HU = -160.0, 240.0
_OPACITY = 0.5


def slice_png(
    image: NDArray[np.int16],
    masks: Mapping[Task, NDArray[np.uint8]],
    *,
    spacing_mm: tuple[float, float],
) -> bytes:
    """Return a PNG with the CT, and beside it the CT under each annotated label map.

    The view is the radiological one: from the feet, the patient's right on the left.

    Args:
        image: Hounsfield units (I, J) in RAS+.
        masks: Label maps (I, J) of the same slice; maps that are 255 throughout are left out.
        spacing_mm: Pixel spacing along i and j; the picture has square pixels.
    """
    span = np.clip((image - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU), 0, 1)
    grey = np.repeat(span[..., None] * 255, 3, axis=-1)
    overlays = [
        _overlay(grey, mask, task) for task, mask in masks.items() if (mask != IGNORE_INDEX).any()
    ]
    # (I, J, RGB) in RAS+ becomes (rows, columns, RGB).
    panels = [panel.transpose(1, 0, 2)[::-1, ::-1] for panel in (grey, *overlays)]
    picture = Image.fromarray(np.concatenate(panels, axis=1).round().astype(np.uint8))
    height = max(round(picture.height * spacing_mm[1] / spacing_mm[0]), 1)
    file = io.BytesIO()
    picture.resize((picture.width, height)).save(file, format="PNG")
    return file.getvalue()


def _overlay(grey: NDArray[np.float64], mask: NDArray[np.uint8], task: Task) -> NDArray[np.float64]:
    palette = np.zeros((256, 3))
    for label, name in enumerate(colours(task)):
        palette[label] = ImageColor.getrgb(name)
    labelled = (mask != 0) & (mask != IGNORE_INDEX)
    mixed = grey * (1 - _OPACITY) + palette[mask] * _OPACITY
    return np.where(labelled[..., None], mixed, grey)
