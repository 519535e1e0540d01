"""Pictures of a CT with its tissues, as PNG; the patient's right is on the left."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..labels import IGNORE_INDEX
from ..volume import Volume
from .tissues import TISSUES

__all__ = ["TISSUE_COLOURS", "axial_png", "projection_png"]

_HU_WINDOW = (-160.0, 240.0)
_OPACITY = 0.6
_PIXELS = 360

TISSUE_COLOURS = {
    "muscle": "#c0392b",
    "bone": "#f5f0e1",
    "subcutaneous_adipose": "#e6c229",
    "visceral_adipose": "#27ae60",
    "intermuscular_adipose": "#e67e22",
    "paracardial_adipose": "#7d5fff",
    "epicardial_adipose": "#00b8d4",
}
"""Colour of every tissue of the tissue map."""


def axial_png(ct: Volume, tissue_map: Volume, k: int) -> bytes:
    """Return slice ``k`` of the CT under its tissues."""
    down = ct.orientation[2] == "I"
    ras, tissues = ct.to_ras(), tissue_map.to_ras().array
    k = ras.shape[2] - 1 - k if down else k
    grey = _grey(ras.array[..., k])
    labels = tissues[..., k]
    colours = _palette()[labels]
    shown = ((labels > 0) & (labels != IGNORE_INDEX))[..., None]
    mixed = np.where(shown, (1 - _OPACITY) * grey + _OPACITY * colours, grey)
    return _png(mixed, ras.spacing_mm[0], ras.spacing_mm[1])


def projection_png(tissue_map: Volume, *, axis: int) -> bytes:
    """Return the tissues seen along an axis: mean colour, bright where there is much of them.

    Args:
        tissue_map: Labels of the tissues.
        axis: 0 for a sagittal view, 1 for a coronal one.
    """
    ras = tissue_map.to_ras()
    palette = _palette()
    shape = [n for n_axis, n in enumerate(ras.shape) if n_axis != axis]
    colour, amount = np.zeros((*shape, 3)), np.zeros(shape)
    for label in range(1, 1 + len(TISSUE_COLOURS)):
        voxels = np.count_nonzero(ras.array == label, axis=axis)
        colour += voxels[..., None] * palette[label]
        amount += voxels
    brightness = np.sqrt(amount / max(amount.max(), 1))
    mean = colour / np.maximum(amount, 1)[..., None] * brightness[..., None]
    # Between annotated slices the nearest one is shown.
    known = np.flatnonzero((ras.array != IGNORE_INDEX).all(axis=(0, 1)))
    nearest = np.abs(known[None] - np.arange(ras.shape[2])[:, None]).argmin(axis=1)
    mean = mean[:, known[nearest]]
    across = ras.spacing_mm[1 - axis]
    return _png(mean, across, ras.spacing_mm[2])


def _palette() -> NDArray[np.float64]:
    """Return the colour of every label."""
    palette = np.zeros((256, 3))
    for tissue in TISSUES:
        if tissue.map_label:
            text = TISSUE_COLOURS[tissue.name]
            palette[tissue.map_label] = [int(text[n : n + 2], 16) for n in (1, 3, 5)]
    return palette


def _grey(hu: NDArray[np.generic]) -> NDArray[np.float64]:
    low, high = _HU_WINDOW
    grey = np.clip((hu.astype(np.float64) - low) / (high - low), 0, 1) * 255
    return np.repeat(grey[..., None], 3, axis=2)


def _png(rgb: NDArray[np.float64], across_mm: float, up_mm: float) -> bytes:
    """Return colours (across, up, 3) as a PNG of square pixels, the right of the patient left."""
    pixels = np.ascontiguousarray(rgb[::-1, ::-1].transpose(1, 0, 2)).astype(np.uint8)
    width_mm, height_mm = pixels.shape[1] * across_mm, pixels.shape[0] * up_mm
    scale = _PIXELS / max(width_mm, height_mm)
    size = max(round(width_mm * scale), 1), max(round(height_mm * scale), 1)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(file, "PNG")
    return file.getvalue()
