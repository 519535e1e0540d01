"""Vertebral column with discs, canal and cord, and the sacrum."""

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Window
from .contour import Contour, along
from .tissue import Tissue
from .waves import Floats

SPINE_Y = [
    (900.0, 74.0), (935.0, 84.0), (985.0, 66.0), (1010.0, 46.0), (1040.0, 37.0), (1080.0, 32.0),
    (1120.0, 33.0), (1160.0, 38.0), (1200.0, 45.0), (1270.0, 58.0), (1340.0, 66.0),
    (1400.0, 62.0), (1440.0, 53.0), (1470.0, 43.0), (1500.0, 35.0), (1550.0, 27.0), (1605.0, 24.0),
]  # fmt: skip
"""y of the middle of the vertebral bodies."""

_TOP_Z, _BOTTOM_Z = 1608.0, 1012.0
# z, half width, half depth
_BODY = [(1012.0, 25.0, 17.0), (1190.0, 22.0, 16.0), (1300.0, 16.5, 14.5), (1450.0, 15.0, 11.5),
         (1500.0, 13.0, 9.0), (1610.0, 12.0, 8.0)]  # fmt: skip
# z, vertebrae counted from L5 up: 5 lumbar, 12 thoracic, 7 cervical
_COUNT = [(1012.0, 0.0), (1192.0, 5.0), (1484.0, 17.0), (1608.0, 24.0)]
_BONES = (Tissue.CORTEX, Tissue.MARROW, Tissue.DISC)


@dataclass(frozen=True, eq=False)
class _Places:
    """Coordinates relative to the column, per sample or per plane."""

    x: Floats
    y: Floats
    width: Floats
    depth: Floats
    phase: Floats  # 0 at a lower endplate to 1 at the next
    pitch: Floats  # mm


def paint_spine(canvas: Canvas) -> None:
    """Paint everything from the coccyx to the skull base."""
    _paint_sacrum(canvas)
    window = canvas.window((-60, -5, _BOTTOM_Z), (60, 135, _TOP_Z))
    places = _places(window)
    _paint_bed(window, places)
    _paint_arch(window, places)
    _paint_bodies(window, places)
    _paint_canal(canvas)


def _places(window: Window) -> _Places:
    z = window.z.ravel()
    width = along(z, [(a, b) for a, b, _ in _BODY])
    depth = along(z, [(a, c) for a, _, c in _BODY])
    place, count = np.array(_COUNT).T
    phase = np.interp(z, place, count) % 1
    pitch = np.interp(z, place[1:], np.diff(place) / np.diff(count))
    return _Places(
        x=abs(window.x),
        y=window.y - along(z, SPINE_Y),
        width=width,
        depth=depth,
        phase=phase.astype(np.float32).reshape(-1, 1, 1),
        pitch=pitch.astype(np.float32).reshape(-1, 1, 1),
    )


def _paint_bed(window: Window, at: _Places) -> None:
    """Ligaments and deep muscles round the column, where the cavity would reach too far back."""
    level = (at.x / (at.width + 15)) ** 2 + ((at.y - at.depth - 9) / (at.depth + 12)) ** 2
    window.paint(level < 1, Tissue.MUSCLE)


def _paint_bodies(window: Window, at: _Places) -> None:
    waist = 1 - 0.35 * at.phase * (0.75 - at.phase)
    level = (at.x / (at.width * waist)) ** 2 + (at.y / (at.depth * waist)) ** 2
    body = at.phase < 1 - 8 / at.pitch.clip(18)
    rim = (level > 0.78) | (at.phase * at.pitch < 2.5)
    window.paint(level < 1, Tissue.DISC)
    window.paint((level < 1) & body, Tissue.MARROW)
    window.paint((level < 1) & body & rim, Tissue.CORTEX)


def _paint_arch(window: Window, at: _Places) -> None:
    """Pedicles, laminae, spinous and transverse processes."""
    canal = at.depth + 8
    ring = (at.x / 17) ** 2 + ((at.y - canal) / 14) ** 2
    lamina = (at.phase < 0.8) | (at.y < canal)
    window.paint((ring < 1) & lamina, Tissue.CORTEX)
    back = at.y - canal
    spinous = (at.x < 3.8) & (back > 9) & (back < at.width + 7) & (at.phase > 0.05)
    window.paint(spinous & (at.phase < 0.65), Tissue.MARROW)
    wing = abs(at.phase - 0.4) * at.pitch < 6
    transverse = wing & (at.x < at.width * 1.3 + 9) & (abs(back + 2 - 0.1 * at.x) < 5)
    window.paint(transverse & (at.x > 10), Tissue.MARROW)


def _paint_sacrum(canvas: Canvas) -> None:
    rows = [(900, 6, 68, 78), (935, 12, 72, 90), (960, 24, 58, 92), (985, 42, 48, 92),
            (1005, 50, 32, 86), (1016, 44, 26, 76)]  # fmt: skip
    sacrum = Contour.through(rows, square=0.2)
    canvas.fill(sacrum, Tissue.CORTEX)
    canvas.fill(sacrum.grown(-3, -3, -3), Tissue.MARROW)


def _paint_canal(canvas: Canvas) -> None:
    z = np.linspace(972, 1612, 40)
    body = np.interp(z, [a for a, _, _ in _BODY], [c for *_, c in _BODY])
    middle = along(z.astype(np.float32), SPINE_Y).ravel() + body + 8
    middle -= np.interp(z, [972, 1012], [14, 0])
    wide = np.interp(z, [972, 1100, 1250, 1480, 1612], [8, 11, 9.5, 12, 13])
    deep = np.interp(z, [972, 1100, 1250, 1480, 1612], [4, 7.5, 7.5, 7.5, 9])
    canal = Contour(z, wide, middle - deep, middle + deep, np.zeros_like(z), 0.0)
    canvas.fill(canal, Tissue.SPINAL_FLUID)
    cord = canal.grown(-wide * 0.42, -deep * 0.35, -deep * 0.35)
    canvas.fill(_above(cord, 1165), Tissue.CORD)
    canvas.fill(_below(cord, 1165).grown(1, 1, 1), Tissue.CORD, over=(Tissue.SPINAL_FLUID,))


def _above(contour: Contour, z: float) -> Contour:
    return _cut(contour, contour.z >= z)


def _below(contour: Contour, z: float) -> Contour:
    return _cut(contour, contour.z <= z)


def _cut(contour: Contour, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Contour:
    return Contour(
        contour.z[kept], contour.width[kept], contour.front[kept], contour.back[kept],
        contour.centre[kept], contour.square,
    )  # fmt: skip
