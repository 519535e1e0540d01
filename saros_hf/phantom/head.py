"""Head and neck: skull, brain, face, glands and airway."""

import numpy as np

from ..labels import BodyPart
from .canvas import Canvas, Crop
from .geometry import Contour, Floats, Point, Waves, mirrored
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

_SKULL: Point = (0, 10, 1667)
_OUTER_RADII: Point = (73, 90, 79)
_DIPLOE_RADII: Point = (70.5, 87.5, 76.5)
_INNER_RADII: Point = (66, 83, 72)
_SOFT = (Tissue.MUSCLE, Tissue.MUSCLE_FAT)


def paint_head_skin(canvas: Canvas, shape: Shape) -> None:
    """Paint fat and muscle of head and neck, and mark the samples that are head."""
    crop = canvas.crop(*shape.head_skin.bounds())
    skin = crop.inside(shape.head_skin) < 1
    crop.paint(skin, Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
    np.copyto(crop.part, np.uint8(BodyPart.HEAD), where=skin & (crop.z > 1466 + 0.35 * crop.y))
    canvas.fill(shape.head_lean, Tissue.MUSCLE, over=(Tissue.SUBCUTANEOUS_FAT,))


def paint_neck(canvas: Canvas, patient: Patient) -> None:
    """Paint vessels, airway and glands of neck and face."""
    rng = patient.rng("glands")
    for side in (-1, 1):
        carotid = mirrored(side, [(24, 10, 1465), (27, 6, 1520), (26, 12, 1600)])
        jugular = mirrored(side, [(34, 12, 1465), (36, 10, 1520), (34, 20, 1600)])
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

    def gland(tissue: Tissue, centre: Point, radii: Point, *, rim: float = 0) -> None:
        x, y, z = np.array(mirrored(side, [centre])[0]) + rng.normal(0, 1.5, 3)
        a, b, c = np.array(radii) * rng.normal(1, 0.08)
        if rim:
            outer = (a + rim, b + rim, c + rim)
            canvas.ellipsoid((x, y, z), outer, Tissue.MUSCLE_FAT, over=_SOFT)
        canvas.ellipsoid((x, y, z), (a, b, c), tissue, over=soft)

    gland(Tissue.THYROID, (20, 1, 1482), (11.5, 13, 25))
    gland(Tissue.SUBMANDIBULAR, (32, -24, 1533), (13.5, 18, 18), rim=3.5)
    gland(Tissue.PAROTID, (54, 16, 1581), (14, 22, 28))


def paint_skull(canvas: Canvas, patient: Patient) -> None:
    """Paint skull, brain and the bones of the face."""
    _paint_face(canvas)
    _paint_mandible(canvas, patient)
    crop, floor = _crop_above(canvas, 1580, _OUTER_RADII)
    within = crop.ellipsoid(_SKULL, _OUTER_RADII) < 1
    crop.paint(within & (crop.z > floor - 6), Tissue.CORTEX)
    diploe = crop.ellipsoid(_SKULL, _DIPLOE_RADII) < 1
    crop.paint(diploe & (crop.z > floor + 4), Tissue.MARROW)
    _paint_brain(canvas, patient)


def _crop_above(canvas: Canvas, low_z: float, radii: Point) -> tuple[Crop, Floats]:
    """Return the skull above a height, and the floor of the skull, which rises to the forehead."""
    low, high = np.subtract(_SKULL, radii), np.add(_SKULL, radii)
    crop = canvas.crop((low[0], low[1], low_z), high)
    return crop, 1610 + np.float32(0.45) * np.clip(32 - crop.y, 0, 110)


def _paint_brain(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng("brain")
    crop, floor = _crop_above(canvas, 1605, _INNER_RADII)
    level = crop.ellipsoid(_SKULL, _INNER_RADII)
    inside = (level < 1) & (crop.z > floor)
    crop.paint(inside, Tissue.GREY_MATTER)
    folds = crop.waves(Waves.draw(rng, in_plane_mm=9, axial_mm=12))
    crop.paint(inside & (level + 0.16 * folds < 0.62), Tissue.WHITE_MATTER)
    crop.paint(inside & (level > 0.72) & (abs(folds) < 0.22), Tissue.VENTRICLE)
    size = rng.uniform(0.7, 1.5)
    radii = [size * 4, size * 5, size * 5]
    for side in (-1, 1):
        horn = mirrored(side, [(9, -28, 1685), (11, 10, 1693), (24, 42, 1680)])
        canvas.tube(horn, radii, Tissue.VENTRICLE, over=(Tissue.WHITE_MATTER,))


def _paint_face(canvas: Canvas) -> None:
    _paint_arch(canvas, (1570, 1626), (44, -86, 20), (30, -76, 40), Tissue.CORTEX)
    canvas.ellipsoid((0, -60, 1606), (13, 28, 22), Tissue.AIRWAY)
    canvas.ellipsoid((0, -62, 1606), (2, 26, 22), Tissue.CORTEX)
    for side in (-1, 1):
        canvas.ellipsoid((side * 28, -56, 1609), (12, 16, 15), Tissue.SINUS)
        canvas.ellipsoid((side * 33, -66, 1642), (24, 30, 22), Tissue.CORTEX)
        canvas.ellipsoid((side * 33, -70, 1642), (20, 32, 18), Tissue.MUSCLE_FAT)
        canvas.ellipsoid((side * 33, -72, 1642), (12, 12, 12), Tissue.EYE)
        canvas.ellipsoid((side * 52, 30, 1606), (13, 15, 16), Tissue.CORTEX)
        canvas.ellipsoid((side * 52, 30, 1606), (8, 9, 10), Tissue.SINUS)
        cheek = mirrored(side, [(50, -62, 1618), (64, -25, 1616), (62, 8, 1618)])
        canvas.tube(cheek, (5, 4, 4), Tissue.CORTEX)


def _paint_mandible(canvas: Canvas, patient: Patient) -> None:
    _paint_arch(canvas, (1538, 1560), (50, -84, 30), (38, -71, 22), Tissue.CORTEX)
    _paint_arch(canvas, (1542, 1556), (47, -81, 27), (41, -75, 24), Tissue.MARROW)
    _paint_arch(canvas, (1558, 1578), (35, -80, 0), (24, -70, 30), Tissue.TOOTH)
    for side in (-1, 1):
        canvas.ellipsoid((side * 50, -8, 1580), (5, 13, 42), Tissue.CORTEX)
        canvas.ellipsoid((side * 50, -8, 1580), (2.5, 10, 38), Tissue.MARROW)
    rng = patient.rng("teeth")
    if rng.random() < 0.25:
        for side in rng.choice([-1, 1], 2):
            canvas.ellipsoid((side * 28, -45, 1566), (5, 6, 7), Tissue.METAL, over=(Tissue.TOOTH,))


def _paint_arch(
    canvas: Canvas, span: tuple[float, float], outer: Point, inner: Point, tissue: Tissue
) -> None:
    """Paint a dental arch, open to the back; ellipses are (half width, front, back)."""
    low, high = span
    ring = Contour.through([(low, *outer), (high, *outer)], square=0)
    hole = Contour.through([(low, *inner), (high, *inner)], square=0)
    crop = canvas.crop(*ring.bounds())
    arch = (crop.inside(ring) < 1) & (crop.inside(hole) > 1) & (crop.y < -6)
    crop.paint(arch, tissue)
