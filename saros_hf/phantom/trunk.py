"""The outer body: subcutaneous fat, muscle, breasts, and the cavity with its diaphragm."""

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Point, Window
from .patient import Patient
from .shape import Shape
from .tissue import Tissue
from .waves import Floats, Waves

_MUSCLE = (Tissue.MUSCLE,)
_FAT = (Tissue.SUBCUTANEOUS_FAT,)


def paint_trunk(canvas: Canvas, shape: Shape, patient: Patient, *, arms_up: bool) -> None:
    """Paint fat and muscle of trunk and shoulders, and the breasts."""
    canvas.fill(shape.skin, Tissue.SUBCUTANEOUS_FAT)
    lift, inward = (26, 14) if arms_up else (0, 0)
    fat = 0.3 * patient.fat_mm + 2
    shoulders: list[list[Point]] = [
        [(side * 45, 55, 1470), (side * 100, 45, 1448 + lift),
         (side * (146 - inward), 28, 1428 + lift)]
        for side in (-1, 1)
    ]  # fmt: skip
    for points in shoulders:
        radii = [r + fat for r in (26, 36, 40)]
        canvas.tube(points, radii, Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
    if patient.female:
        _paint_breasts(canvas, shape, patient)
    canvas.fill(shape.lean, Tissue.MUSCLE)
    for points in shoulders:
        canvas.tube(points, (26, 36, 40), Tissue.MUSCLE, over=_FAT)


def paint_septa(canvas: Canvas, patient: Patient) -> None:
    """Paint the fatty planes between muscles, which count as muscle."""
    rng = patient.rng("septa")
    window = canvas.window((-400, -300, 0), (400, 300, 2000))
    for scale, share in ((26.0, 1.0), (13.0, 0.45)):
        waves = Waves.draw(rng, in_plane_mm=scale, axial_mm=4 * scale)
        sheet = abs(window.waves(waves)) < share * patient.septa
        window.paint(sheet, Tissue.MUSCLE_FAT, over=_MUSCLE)
    neck = canvas.window((-90, -120, 1462), (90, 120, 1625))
    waves = Waves.draw(rng, in_plane_mm=11, axial_mm=30)
    planes = abs(neck.waves(waves)) < 0.05 + patient.septa
    neck.paint(planes, Tissue.MUSCLE_FAT, over=_MUSCLE)


def paint_cavity(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint visceral fat below the diaphragm and lung above."""
    window = canvas.window(*shape.cavity.bounds())
    level = window.inside(shape.cavity)
    inside = level < 1
    window.paint(inside, Tissue.VISCERAL_FAT)
    inside &= window.z > _diaphragm(window, level, patient)
    window.paint(inside, Tissue.LUNG)


def _diaphragm(window: Window, level: Floats, patient: Patient) -> Floats:
    """Return the height of the diaphragm: two domes, low at the wall, lowest at the back."""
    rng = patient.rng("diaphragm")
    breath, right, left = rng.normal(0, 7), rng.normal(30, 4), rng.normal(17, 4)
    x, y = window.flat
    domes = right * np.exp(-(((x + 64) / 52) ** 2)) + left * np.exp(-(((x - 68) / 50) ** 2))
    depth = np.clip(y / 80, -1, 1)
    domes += 1256 + breath - 20 * np.maximum(depth, 0)
    edge = level * level
    edge *= -(88 + 45 * depth)
    edge += domes
    return edge


def _paint_breasts(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    rng = patient.rng("breasts")
    depth = float(np.clip(rng.normal(20 + 0.9 * patient.fat_mm, 8), 14, 62))
    gland = Waves.draw(rng, in_plane_mm=11, axial_mm=11)
    dense = rng.uniform(-0.6, 1.2)
    chest = float(np.interp(1330, shape.skin.z, shape.skin.front))
    if patient.implant:
        depth = max(depth, 34)
    for side in (-1, 1):
        centre: Point = (side * rng.normal(78, 4), chest + 24, rng.normal(1330, 5))
        canvas.ellipsoid(centre, (70, depth + 24, 74), Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
        radii: Point = (50, depth + 10, 52)
        reach = np.array(radii)
        window = canvas.window(np.array(centre) - reach, np.array(centre) + reach)
        tissue = (window.ellipsoid(centre, radii, None) < 1) & (window.waves(gland) > dense)
        window.paint(tissue, Tissue.BREAST_GLAND, over=_FAT)
        if patient.implant:
            _paint_implant(canvas, shape, (centre[0], chest, centre[2]), depth)


def _paint_implant(canvas: Canvas, shape: Shape, centre: Point, depth: float) -> None:
    """An implant lies on the muscle of the chest and is flat at the back."""
    lean = float(np.interp(1330, shape.lean.z, shape.lean.front))
    middle: Point = (centre[0], lean - 6, centre[2])
    radii: Point = (47, lean - centre[1] + 6 + depth * 0.62, 54)
    where: NDArray[np.float64] = np.array(middle)
    window = canvas.window(where - radii, where + radii)
    window.paint(
        window.ellipsoid(middle, radii, None) < 1, Tissue.IMPLANT, over=(*_FAT, Tissue.BREAST_GLAND)
    )
