"""Organs and bowel of the abdominal cavity."""

import numpy as np

from .canvas import Canvas
from .geometry import Point, Waves, mirrored
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

_FAT = (Tissue.VISCERAL_FAT,)
_MUSCLE = (Tissue.MUSCLE,)
_BOWEL = (Tissue.BOWEL_WALL,)
_FLUID = (Tissue.BOWEL_FLUID,)
_COLON = [
    (-88, 8, 1030), (-94, 14, 1070), (-96, 16, 1110), (-92, -4, 1150), (-60, -50, 1150),
    (-20, -62, 1135), (20, -62, 1135), (60, -50, 1165), (90, 0, 1195), (98, 22, 1150),
    (97, 22, 1100), (93, 14, 1050), (80, 0, 1010), (45, -5, 985), (10, 20, 975), (-15, 35, 965),
    (0, 52, 945), (0, 52, 900), (0, 40, 860),
]  # fmt: skip


def paint_abdomen(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint organs first, then colon and small bowel into the fat that is left."""
    _paint_organs(canvas, patient)
    _paint_stomach(canvas, patient)
    _paint_pelvic_organs(canvas, patient)
    _paint_vessels(canvas)
    _paint_colon(canvas, patient)
    _paint_small_bowel(canvas, shape, patient)


def _paint_organs(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng("organs")
    size = float(rng.normal(1, 0.07))
    drop = float(rng.normal(0, 6))

    def organ(tissue: Tissue, centre: Point, radii: Point) -> None:
        x, y, z = np.array(centre) + rng.normal(0, 3, 3) + (0, 0, drop)
        a, b, c = np.array(radii) * rng.normal(1, 0.06, 3) * size
        canvas.ellipsoid((x, y, z), (a, b, c), tissue, over=_FAT)

    organ(Tissue.BILE, (-52, -42, 1168), (14, 16, 22))
    organ(Tissue.KIDNEY, (-63, 34, 1144), (27, 29, 56))
    organ(Tissue.KIDNEY, (63, 34, 1160), (27, 29, 56))
    organ(Tissue.LIVER, (-62, 0, 1232), (80, 88, 78))
    organ(Tissue.LIVER, (-92, 5, 1185), (45, 65, 62))
    organ(Tissue.LIVER, (4, -46, 1245), (72, 34, 36))
    organ(Tissue.SPLEEN, (98, 38, 1222), (28, 44, 50))
    pancreas: list[Point] = [(-30, -12, 1148), (0, -16, 1168), (40, 5, 1180), (72, 25, 1195)]
    canvas.tube(pancreas, (13, 11, 11, 9), Tissue.PANCREAS, over=_FAT)


def _paint_stomach(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng("stomach")
    a, b, c = np.array([44, 38, 44]) * rng.uniform(0.75, 1.15)
    centre: Point = (52, -28, 1222 + float(rng.normal(0, 6)))
    crop = canvas.crop_around(centre, (a, b, c))
    outside = crop.ellipsoid(centre, (a, b, c)) < 1
    inside = crop.ellipsoid(centre, (a - 5, b - 5, c - 5)) < 1
    crop.paint(outside, Tissue.BOWEL_WALL, over=_FAT)
    crop.paint(inside, Tissue.BOWEL_FLUID, over=_BOWEL)
    # Gas rises to the front of a patient on the back.
    gas = inside & (crop.y < centre[1] - b * rng.uniform(0.0, 0.7))
    crop.paint(gas, Tissue.BOWEL_GAS, over=_FLUID)


def _paint_pelvic_organs(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng("pelvic organs")
    filling = float(rng.uniform(0.5, 1.2))
    bladder: Point = (float(rng.normal(0, 3)), -28, 905 + 18 * filling)
    a, b, c = 40 * filling, 30 * filling, 32 * filling
    canvas.ellipsoid(bladder, (a + 3, b + 3, c + 3), Tissue.PELVIC_ORGAN, over=_FAT)
    canvas.ellipsoid(bladder, (a, b, c), Tissue.URINE, over=(Tissue.PELVIC_ORGAN,))
    if patient.female:
        canvas.ellipsoid((4, 14, 945), (27, 22, 34), Tissue.PELVIC_ORGAN, over=_FAT)
    else:
        canvas.ellipsoid((0, -10, 868), (22, 18, 18), Tissue.PELVIC_ORGAN, over=_FAT)


def _paint_vessels(canvas: Canvas) -> None:
    cava: list[Point] = [(-20, -2, 1262), (-20, 14, 1200), (-17, 14, 1130), (-14, 14, 1080)]
    canvas.tube(cava, (12, 12, 11, 10), Tissue.ABDOMINAL_BLOOD, over=(*_FAT, Tissue.LIVER))
    for side in (-1, 1):
        artery = mirrored(side, [(5, 10, 1085), (28, 12, 1020), (55, -5, 960), (62, -42, 905),
                                 (72, -52, 850)])  # fmt: skip
        vein: list[Point] = [(x - side * 4, y + 13, z) for x, y, z in artery]
        canvas.tube(artery, (7, 6, 5.5, 5, 5), Tissue.ABDOMINAL_BLOOD, over=_FAT)
        canvas.tube(vein, (7, 7, 6.5, 6, 6), Tissue.ABDOMINAL_BLOOD, over=_FAT)
        # Below the ligament the vessels run in the thigh, which is labelled muscle.
        canvas.tube(artery[3:], (5, 5), Tissue.NECK_VESSEL, over=_MUSCLE)
        canvas.tube(vein[3:], (6, 6), Tissue.NECK_VESSEL, over=_MUSCLE)


def _paint_colon(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng("colon")
    knots = np.array(_COLON) + rng.normal(0, 4, (len(_COLON), 3))
    knots[4:8, 1] -= 0.5 * patient.visceral_mm
    fine = np.linspace(0, len(knots) - 1, 3 * len(knots))
    smooth = np.stack([np.interp(fine, np.arange(len(knots)), axis) for axis in knots.T], axis=1)
    points: list[Point] = [(x, y, z) for x, y, z in smooth.tolist()]
    width = np.interp(fine, [0, 3, 9, 12, 15, 18], [27, 24, 19, 17, 18, 17])
    radii = width * rng.uniform(0.8, 1.15) * (1 + 0.16 * rng.standard_normal(len(fine)))
    canvas.tube(points, [*radii], Tissue.BOWEL_WALL, over=_FAT)
    canvas.tube(points, [*(radii - 3.5)], Tissue.FAECES, over=_BOWEL)
    for number in np.flatnonzero(rng.random(len(fine)) < 0.35):
        x, y, z = points[number]
        r = float(radii[number]) - 4
        gas = (x, y - 0.4 * r, z)
        canvas.ellipsoid(gas, (r, 0.6 * r, r), Tissue.BOWEL_GAS, over=(Tissue.FAECES,))


def _paint_small_bowel(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint loops where a random field is high, with their wall round them."""
    rng = patient.rng("bowel")
    (x0, y0, _), (x1, _, _) = shape.cavity.bounds()
    crop = canvas.crop((x0, y0, 885), (x1, 30, 1180))
    loops = crop.waves(Waves.draw(rng, in_plane_mm=11, axial_mm=14, count=26))
    # More fat between the loops in front of the spine, and no loops behind it.
    loops -= np.maximum((crop.flat[1] + 5) / 22, 0) + 0.028 * min(patient.visceral_mm, 45) - 0.55
    crop.paint(loops > 0, Tissue.BOWEL_WALL, over=_FAT)
    crop.paint(loops > 0.42, Tissue.BOWEL_FLUID, over=_BOWEL)
    gas = crop.waves(Waves.draw(rng, in_plane_mm=16, axial_mm=20, count=10)) > 1.25
    crop.paint(gas & (loops > 0.42), Tissue.BOWEL_GAS, over=_FLUID)
