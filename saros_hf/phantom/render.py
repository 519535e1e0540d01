"""Turn tissues into Hounsfield units, with partial volume, blur, texture, noise and streaks."""

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas
from .geometry import Floats
from .protocol import Protocol
from .tissue import Palette, Tissue

_LOWEST, _HIGHEST = -1024, 3071
_NEIGHBOUR = 1 / 6  # weight of each neighbour in the point spread function


def render(
    canvas: Canvas, palette: Palette, protocol: Protocol, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return the CT (slice, row, column) in Hounsfield units."""
    hu = _mean_hu(canvas, palette)
    slices = canvas.tissue[1::2]
    noise = _blurred(rng.standard_normal(hu.shape, dtype=np.float32), 0.25)
    noise *= protocol.noise_hu / noise.std()
    hu += noise
    mottle = _blurred(rng.standard_normal(hu.shape, dtype=np.float32), 0.3)
    mottle *= 1 / mottle.std()
    mottle *= palette.texture[slices]
    hu += mottle
    _add_streaks(hu, metal_slices(canvas), slices, rng)
    return np.clip(hu, _LOWEST, _HIGHEST, out=hu).astype(np.int16)


def metal_slices(canvas: Canvas) -> NDArray[np.intp]:
    """Return the slices with metal artefacts, which are not annotated."""
    metal = (canvas.tissue == Tissue.METAL).any(axis=(1, 2))
    return np.flatnonzero(metal[:-1:2] | metal[1::2] | metal[2::2])


def _mean_hu(canvas: Canvas, palette: Palette) -> Floats:
    """Average over the slice thickness, then over the width of a pixel."""
    fine = palette.mean[canvas.tissue]
    hu = fine[1::2] * np.float32(2)
    hu += fine[:-1:2]
    hu += fine[2::2]
    hu *= np.float32(0.25)
    return _blurred(hu, _NEIGHBOUR)


def _blurred(values: Floats, neighbour: float) -> Floats:
    """Smooth rows and columns; each neighbour has weight ``neighbour``, the pixel the rest."""
    side, middle = np.float32(neighbour), np.float32(1 - 2 * neighbour)
    out = values * middle
    out[:, 1:-1] += side * (values[:, 2:] + values[:, :-2])
    out[:, (0, -1)] += 2 * side * values[:, (0, -1)]
    values = out
    out = values * middle
    out[:, :, 1:-1] += side * (values[:, :, 2:] + values[:, :, :-2])
    out[:, :, (0, -1)] += 2 * side * values[:, :, (0, -1)]
    return out


def _add_streaks(
    hu: Floats, spoiled: NDArray[np.intp], tissue: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    """Add rays around one metal pixel of every slice that has metal in its own plane."""
    rows, columns = np.indices(hu.shape[1:], np.float32)
    for k in spoiled:
        metal = np.argwhere(tissue[k] == Tissue.METAL)
        if not metal.size:
            continue
        row, column = metal[rng.integers(len(metal))]
        angle = np.arctan2(rows - row, columns - column)
        distance = np.hypot(rows - row, columns - column) / hu.shape[1]
        rays = np.sin(angle * rng.integers(5, 12) + rng.uniform(0, 6)) * np.sin(
            angle * rng.integers(13, 29) + rng.uniform(0, 6)
        )
        hu[k] += 700 * rays * np.exp(-5 * distance)
