"""Mediastinum, heart, great vessels and airways, and the vessels of the lungs."""

import numpy as np

from .canvas import Canvas
from .geometry import Contour, Point, Waves, along, mirrored
from .patient import Patient
from .shape import Shape
from .skeleton import SPINE_Y
from .tissue import Tissue

_LUNG = (Tissue.LUNG, Tissue.LUNG_VESSEL)
_MEDIASTINAL_FAT = (Tissue.MEDIASTINAL_FAT,)
# z, half width of the mediastinum
_WIDTH = [(1150, 24), (1230, 26), (1270, 34), (1320, 40), (1360, 39), (1395, 38), (1430, 40),
          (1455, 44), (1478, 30)]  # fmt: skip
_AORTA: list[tuple[Point, float]] = [
    ((-6, -22, 1345), 15), ((-15, -28, 1372), 15), ((-10, -22, 1395), 14), ((6, 4, 1407), 13.5),
    ((20, 34, 1394), 13), ((23, 42, 1365), 12.5), ((22, 42, 1300), 12), ((16, 34, 1240), 11.5),
    ((9, 20, 1190), 11), ((8, 13, 1140), 10), ((4, 11, 1085), 9),
]  # fmt: skip
_VESSELS: list[tuple[list[Point], tuple[float, ...]]] = [
    ([(-27, -16, 1335), (-28, -12, 1385), (-26, -12, 1430), (-34, 0, 1475)], (11, 10, 9, 7)),
    ([(-24, -14, 1415), (10, -18, 1425), (34, 0, 1470)], (7, 7, 6)),
    ([(14, -26, 1352), (14, -8, 1380), (30, 12, 1378)], (14, 13, 10)),
    ([(14, -8, 1378), (-26, 6, 1368), (-46, 10, 1360)], (12, 10, 8)),
    ([(-6, -6, 1405), (-22, 6, 1470)], (6, 4.5)),
    ([(8, 4, 1408), (24, 12, 1470)], (5, 4)),
    ([(-28, 12, 1335), (-60, 14, 1345)], (9, 5)),
    ([(32, 14, 1345), (62, 18, 1345)], (9, 5)),
]


def paint_chest(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint everything inside the thoracic cavity."""
    _paint_lung_vessels(canvas, shape, patient)
    _paint_mediastinum(canvas, shape)
    _paint_heart(canvas, patient)
    _paint_aorta(canvas, patient)
    for points, radii in _VESSELS:
        canvas.tube(points, [r + 3 for r in radii], Tissue.MEDIASTINAL_FAT, over=_LUNG)
    for points, radii in _VESSELS:
        canvas.tube(points, radii, Tissue.MEDIASTINAL_BLOOD, over=_MEDIASTINAL_FAT)
    _paint_airways(canvas)


def _paint_lung_vessels(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint the intersection of two random sheets, which makes branching lines."""
    rng = patient.rng("lungs")
    (x0, y0, _), (x1, y1, _) = shape.cavity.bounds()
    crop = canvas.crop((x0, y0, 1150), (x1, y1, 1495))
    first = crop.waves(Waves.draw(rng, in_plane_mm=12, axial_mm=14, count=10))
    second = crop.waves(Waves.draw(rng, in_plane_mm=12, axial_mm=14, count=10))
    hilum = np.exp(-((abs(crop.flat[0]) - 30) ** 2) / 2500)
    vessels = first * first + second * second < 0.05 + 0.09 * hilum
    crop.paint(vessels, Tissue.LUNG_VESSEL, over=(Tissue.LUNG,))


def _paint_mediastinum(canvas: Canvas, shape: Shape) -> None:
    z, width = np.array(_WIDTH, float).T
    front = np.interp(z, shape.cavity.z, shape.cavity.front) - 4
    front[z < 1260] = 0
    back = along(z.astype(np.float32), SPINE_Y).ravel().astype(float) + 4
    outline = Contour(z, width, front, back, np.full_like(z, 3), 0.35)
    canvas.fill(outline, Tissue.MEDIASTINAL_FAT, over=_LUNG)


def _paint_heart(canvas: Canvas, patient: Patient) -> None:
    """Paint sac, wall, fat and the four chambers, in coordinates along the heart's axis."""
    rng = patient.rng("heart")
    size = rng.normal(1.0, 0.05) + 0.002 * patient.visceral_mm
    centre = np.array([21, -24, 1310]) + rng.normal(0, 3, 3)
    apex = np.array([0.66, -0.60, -0.45]) + rng.normal(0, 0.06, 3)
    apex /= np.linalg.norm(apex)
    across = np.cross(apex, [0, 0, 1])
    across /= np.linalg.norm(across)
    turn = np.array([apex, across, np.cross(apex, across)], np.float32)

    def paint(place: Point, radii: Point, tissue: Tissue, over: tuple[Tissue, ...]) -> None:
        x, y, z = (float(value) for value in centre + size * (np.array(place) @ turn))
        a, b, c = (size * r for r in radii)
        canvas.ellipsoid((x, y, z), (a, b, c), tissue, over=over, turn=turn)

    sac = (*_LUNG, Tissue.MEDIASTINAL_FAT)
    fat = (Tissue.EPICARDIAL_FAT,)
    heart = (*fat, Tissue.MYOCARDIUM)
    paint((0, 0, 0), (73, 57, 55), Tissue.MEDIASTINAL_FAT, _LUNG)
    paint((0, 0, 0), (68, 53, 51), Tissue.MYOCARDIUM, sac)
    paint((0, 0, 0), (66, 51, 49), Tissue.EPICARDIAL_FAT, (Tissue.MYOCARDIUM,))
    paint((16, 10, 2), (46, 33, 33), Tissue.MYOCARDIUM, fat)
    paint((8, -18, -4), (50, 25, 34), Tissue.MYOCARDIUM, fat)
    paint((14, 11, 2), (34, 21, 21), Tissue.HEART_BLOOD, heart)
    paint((6, -20, -4), (44, 20, 28), Tissue.HEART_BLOOD, heart)
    paint((-38, 14, 4), (22, 27, 30), Tissue.HEART_BLOOD, heart)
    paint((-36, -20, 0), (23, 24, 30), Tissue.HEART_BLOOD, heart)


def _paint_aorta(canvas: Canvas, patient: Patient) -> None:
    scale = patient.rng("aorta").normal(1.05, 0.08)
    points = [point for point, _ in _AORTA]
    radii = [radius * scale for _, radius in _AORTA]
    canvas.tube(points, [r + 4 for r in radii], Tissue.MEDIASTINAL_FAT, over=_LUNG)
    root = (Tissue.EPICARDIAL_FAT, Tissue.MYOCARDIUM)
    canvas.tube(points[:2], radii[:2], Tissue.HEART_BLOOD, over=root)
    canvas.tube(points, radii, Tissue.MEDIASTINAL_BLOOD, over=(*_MEDIASTINAL_FAT, *_LUNG))
    canvas.tube(points[6:], radii[6:], Tissue.ABDOMINAL_BLOOD, over=(Tissue.VISCERAL_FAT,))


def _paint_airways(canvas: Canvas) -> None:
    z = np.linspace(1175, 1490, 20)
    front = along(z.astype(np.float32), SPINE_Y).ravel() - np.interp(z, [1200, 1450], [19, 15])
    back = front.astype(float) + 2
    centre = np.interp(z, [1175, 1350], [10, 3])
    oesophagus = Contour(z, np.full_like(z, 8), back - 12, back, centre, 0.1)
    canvas.fill(oesophagus, Tissue.OESOPHAGUS, over=_MEDIASTINAL_FAT)
    over = (*_MEDIASTINAL_FAT, Tissue.MEDIASTINAL_BLOOD, *_LUNG)
    trachea: list[Point] = [(0, 2, 1496), (0, 12, 1430), (0, 24, 1385)]
    canvas.tube(trachea, (10.5, 10.5, 10.5), Tissue.OESOPHAGUS, over=over)
    canvas.tube(trachea, (9, 9, 9), Tissue.TRACHEA)
    for side in (-1, 1):
        bronchus = mirrored(side, [(0, 24, 1385), (24, 24, 1362), (44, 26, 1345)])
        canvas.tube(bronchus, (10, 9, 8), Tissue.OESOPHAGUS, over=_MEDIASTINAL_FAT)
        canvas.tube(bronchus, (7.5, 6.5, 5), Tissue.TRACHEA, over=(*over, Tissue.OESOPHAGUS))
