"""The outer body: subcutaneous fat, muscle, breasts, and the cavity with its diaphragm."""

import numpy as np

from .canvas import Canvas, Crop
from .geometry import Floats, Point, Waves, mirrored
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

_MUSCLE = (Tissue.MUSCLE,)
_FAT = (Tissue.SUBCUTANEOUS_FAT,)
_AIR = (Tissue.AIR,)


def paint_trunk(canvas: Canvas, shape: Shape, patient: Patient, *, arms_up: bool) -> None:
    """Paint fat and muscle of trunk and shoulders, and the breasts."""
    canvas.fill(shape.skin, Tissue.SUBCUTANEOUS_FAT)
    lift, inward = (26, 14) if arms_up else (0, 0)
    shoulder: list[Point] = [
        (45, 55, 1470),
        (100, 45, 1448 + lift),
        (146 - inward, 28, 1428 + lift),
    ]
    radii = (26, 36, 40)
    fat = 0.3 * patient.fat_mm + 2
    for side in (-1, 1):
        points = mirrored(side, shoulder)
        canvas.tube(points, [r + fat for r in radii], Tissue.SUBCUTANEOUS_FAT, over=_AIR)
    if patient.female:
        _paint_breasts(canvas, shape, patient)
    canvas.fill(shape.lean, Tissue.MUSCLE)
    for side in (-1, 1):
        canvas.tube(mirrored(side, shoulder), radii, Tissue.MUSCLE, over=_FAT)


def paint_septa(canvas: Canvas, patient: Patient) -> None:
    """Paint the fatty planes between muscles, which count as muscle."""
    rng = patient.rng("septa")
    crop = canvas.crop((-400, -300, 0), (400, 300, 2000))
    for scale, relative_width in ((26.0, 1.0), (13.0, 0.45)):
        waves = Waves.draw(rng, in_plane_mm=scale, axial_mm=4 * scale)
        septum = abs(crop.waves(waves)) < relative_width * patient.septa
        crop.paint(septum, Tissue.MUSCLE_FAT, over=_MUSCLE)
    neck = canvas.crop((-90, -120, 1462), (90, 120, 1625))
    waves = Waves.draw(rng, in_plane_mm=11, axial_mm=30)
    neck.paint(abs(neck.waves(waves)) < 0.05 + patient.septa, Tissue.MUSCLE_FAT, over=_MUSCLE)


def paint_cavity(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint visceral fat below the diaphragm and lung above."""
    crop = canvas.crop(*shape.cavity.bounds())
    level = crop.inside(shape.cavity)
    inside = level < 1
    crop.paint(inside, Tissue.VISCERAL_FAT)
    crop.paint(inside & (crop.z > _diaphragm(crop, level, patient)), Tissue.LUNG)


def _diaphragm(crop: Crop, level: Floats, patient: Patient) -> Floats:
    """Return the height of the diaphragm: two domes, low at the wall, lowest at the back."""
    rng = patient.rng("diaphragm")
    breath, right, left = rng.normal(0, 7), rng.normal(30, 4), rng.normal(17, 4)
    x, y = crop.flat
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
    density = rng.uniform(-0.6, 1.2)
    chest = float(np.interp(1330, shape.skin.z, shape.skin.front))
    muscle = float(np.interp(1330, shape.lean.z, shape.lean.front))
    if patient.implant:
        depth = max(depth, 34)
    for side in (-1, 1):
        x, y, z = side * rng.normal(78, 4), chest + 24, rng.normal(1330, 5)
        canvas.ellipsoid((x, y, z), (70, depth + 24, 74), Tissue.SUBCUTANEOUS_FAT, over=_AIR)
        radii: Point = (50, depth + 10, 52)
        crop = canvas.crop_around((x, y, z), radii)
        tissue = (crop.ellipsoid((x, y, z), radii) < 1) & (crop.waves(gland) > density)
        crop.paint(tissue, Tissue.BREAST_GLAND, over=_FAT)
        if patient.implant:
            # It lies on the muscle of the chest and is flat at the back.
            radii = (47, muscle - chest + 6 + depth * 0.62, 54)
            over = (*_FAT, Tissue.BREAST_GLAND)
            canvas.ellipsoid((x, muscle - 6, z), radii, Tissue.IMPLANT, over=over)
