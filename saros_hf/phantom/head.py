"""Head and neck: skull, brain, face, glands and airway."""

import numpy as np

from ..labels import BodyPart
from .canvas import Canvas, Point, Window
from .contour import Contour
from .patient import Patient
from .shape import Shape
from .tissue import Tissue
from .waves import Floats, Waves

_SKULL: Point = (0, 10, 1667)
_OUTER: Point = (73, 90, 79)
_SOFT = (Tissue.MUSCLE, Tissue.MUSCLE_FAT)


def paint_head_skin(canvas: Canvas, shape: Shape) -> None:
    """Paint fat and muscle of head and neck, and mark where the head starts."""
    window = canvas.window(*shape.head_skin.bounds())
    skin = window.inside(shape.head_skin) < 1
    window.paint(skin, Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
    above = window.z > 1466 + 0.35 * window.y
    np.copyto(window.part, np.uint8(BodyPart.HEAD), where=skin & above)
    canvas.fill(shape.head_lean, Tissue.MUSCLE, over=(Tissue.SUBCUTANEOUS_FAT,))


def paint_neck(canvas: Canvas, patient: Patient) -> None:
    """Paint vessels, airway and glands of neck and face."""
    rng = patient.rng("glands")
    for side in (-1, 1):
        carotid: list[Point] = [(side * 24, 10, 1465), (side * 27, 6, 1520), (side * 26, 12, 1600)]
        jugular: list[Point] = [(side * 34, 12, 1465), (side * 36, 10, 1520), (side * 34, 20, 1600)]
        canvas.tube(jugular, (8, 7, 6), Tissue.NECK_VESSEL, over=_SOFT)
        canvas.tube(carotid, (4.5, 4.5, 4), Tissue.NECK_VESSEL, over=_SOFT)
    airway: list[Point] = [(0, 2, 1480), (0, -2, 1515), (0, -2, 1560), (0, -8, 1606)]
    canvas.tube(airway, (11, 11, 9, 10), Tissue.MUSCLE)
    for side in (-1, 1):
        _paint_glands(canvas, rng, side)
    isthmus: list[Point] = [(-15, -9, 1474), (0, -14, 1474), (15, -9, 1474)]
    canvas.tube(isthmus, (6, 5, 6), Tissue.THYROID)
    canvas.tube(airway[:2], (9, 8), Tissue.AIRWAY)
    canvas.tube(airway[1:], (8, 6, 8), Tissue.AIRWAY)


def _paint_glands(canvas: Canvas, rng: np.random.Generator, side: int) -> None:
    soft = (*_SOFT, Tissue.NECK_VESSEL, Tissue.MEDIASTINAL_FAT, Tissue.MEDIASTINAL_BLOOD)

    def gland(tissue: Tissue, centre: Point, radii: Point, *, rim: float) -> None:
        x, y, z = np.array(centre) + rng.normal(0, 1.5, 3)
        a, b, c = np.array(radii) * rng.normal(1, 0.08)
        outer = (a + rim, b + rim, c + rim)
        if rim:
            canvas.ellipsoid((x, y, z), outer, Tissue.MUSCLE_FAT, over=_SOFT)
        canvas.ellipsoid((x, y, z), (a, b, c), tissue, over=soft)

    gland(Tissue.THYROID, (side * 20, 1, 1482), (11.5, 13, 25), rim=0)
    gland(Tissue.SUBMANDIBULAR, (side * 32, -24, 1533), (13.5, 18, 18), rim=3.5)
    gland(Tissue.PAROTID, (side * 54, 16, 1581), (14, 22, 28), rim=0)


def paint_skull(canvas: Canvas, patient: Patient) -> None:
    """Paint skull, brain and the bones of the face."""
    _paint_face(canvas)
    _paint_mandible(canvas, patient)
    low, high = np.array(_SKULL) - _OUTER, np.array(_SKULL) + _OUTER
    window = canvas.window((low[0], low[1], 1580), high)
    base = _base(window)
    inner: Point = (_OUTER[0] - 7, _OUTER[1] - 7, _OUTER[2] - 7)
    within = window.ellipsoid(_SKULL, _OUTER, None) < 1
    window.paint(within & (window.z > base - 6), Tissue.CORTEX)
    diploe = window.ellipsoid(_SKULL, (inner[0] + 4.5, inner[1] + 4.5, inner[2] + 4.5), None) < 1
    window.paint(diploe & (window.z > base + 4), Tissue.MARROW)
    _paint_brain(canvas, patient, inner)


def _paint_brain(canvas: Canvas, patient: Patient, inner: Point) -> None:
    rng = patient.rng("brain")
    low, high = np.array(_SKULL) - inner, np.array(_SKULL) + inner
    window = canvas.window((low[0], low[1], 1605), high)
    base = _base(window)
    level = window.ellipsoid(_SKULL, inner, None)
    inside = (level < 1) & (window.z > base)
    window.paint(inside, Tissue.GREY_MATTER)
    folds = window.waves(Waves.draw(rng, in_plane_mm=9, axial_mm=12))
    window.paint(inside & (level + 0.16 * folds < 0.62), Tissue.WHITE_MATTER)
    window.paint(inside & (level > 0.72) & (abs(folds) < 0.22), Tissue.VENTRICLE)
    size = rng.uniform(0.7, 1.5)
    for side in (-1, 1):
        horn: list[Point] = [
            (side * 9, -28, 1685), (side * 11, 10, 1693), (side * 24, 42, 1680)
        ]  # fmt: skip
        canvas.tube(
            horn, [size * 4, size * 5, size * 5], Tissue.VENTRICLE, over=(Tissue.WHITE_MATTER,)
        )


def _paint_face(canvas: Canvas) -> None:
    _paint_bow(canvas, (1570, 1626), (44, -86, 20), (30, -76, 40), Tissue.CORTEX)
    canvas.ellipsoid((0, -60, 1606), (13, 28, 22), Tissue.AIRWAY)
    canvas.ellipsoid((0, -62, 1606), (2, 26, 22), Tissue.CORTEX)
    for side in (-1, 1):
        canvas.ellipsoid((side * 28, -56, 1609), (12, 16, 15), Tissue.SINUS)
        canvas.ellipsoid((side * 33, -66, 1642), (24, 30, 22), Tissue.CORTEX)
        canvas.ellipsoid((side * 33, -70, 1642), (20, 32, 18), Tissue.MUSCLE_FAT)
        canvas.ellipsoid((side * 33, -72, 1642), (12, 12, 12), Tissue.EYE)
        canvas.ellipsoid((side * 52, 30, 1606), (13, 15, 16), Tissue.CORTEX)
        canvas.ellipsoid((side * 52, 30, 1606), (8, 9, 10), Tissue.SINUS)
        arch: list[Point] = [(side * 50, -62, 1618), (side * 64, -25, 1616), (side * 62, 8, 1618)]
        canvas.tube(arch, (5, 4, 4), Tissue.CORTEX)


def _paint_mandible(canvas: Canvas, patient: Patient) -> None:
    _paint_bow(canvas, (1538, 1560), (50, -84, 30), (38, -71, 22), Tissue.CORTEX)
    _paint_bow(canvas, (1542, 1556), (47, -81, 27), (41, -75, 24), Tissue.MARROW)
    _paint_bow(canvas, (1558, 1578), (35, -80, 0), (24, -70, 30), Tissue.TOOTH)
    for side in (-1, 1):
        canvas.ellipsoid((side * 50, -8, 1580), (5, 13, 42), Tissue.CORTEX)
        canvas.ellipsoid((side * 50, -8, 1580), (2.5, 10, 38), Tissue.MARROW)
    rng = patient.rng("teeth")
    if rng.random() < 0.25:
        for side in rng.choice([-1, 1], 2):
            canvas.ellipsoid((side * 28, -45, 1566), (5, 6, 7), Tissue.METAL, over=(Tissue.TOOTH,))


def _paint_bow(
    canvas: Canvas, span: tuple[float, float], outer: Point, inner: Point, tissue: Tissue
) -> None:
    """Paint a dental arch, open to the back; ellipses are (half width, front, back)."""
    low, high = span
    ring = Contour.through([(low, *outer), (high, *outer)], square=0)
    hole = Contour.through([(low, *inner), (high, *inner)], square=0)
    window = canvas.window(*ring.bounds())
    bow = (window.inside(ring) < 1) & (window.inside(hole) > 1) & (window.y < -6)
    window.paint(bow, tissue)


def _base(window: Window) -> Floats:
    """Return the height of the floor of the skull, rising from the back to the forehead."""
    return 1610 + np.float32(0.45) * np.clip(32 - window.y, 0, 110)
