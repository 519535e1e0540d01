"""Hip bones, and the muscles inside the pelvis."""

import numpy as np

from .canvas import Canvas, Point
from .contour import Contour
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

HIP_X, HIP_Y, HIP_Z = 88.0, 8.0, 905.0


def paint_pelvis(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint psoas muscles and hip bones."""
    rng = patient.rng("pelvis")
    crest = float(rng.normal(1062, 5))
    size = patient.muscle
    for side in (-1, 1):
        _paint_psoas(canvas, side, size)
    _paint_wings(canvas, shape, crest)
    for side in (-1, 1):
        _paint_hip(canvas, side)


def _paint_psoas(canvas: Canvas, side: int, size: float) -> None:
    points: list[Point] = [
        (side * 27, 42, 1195), (side * 36, 40, 1130), (side * 43, 36, 1070),
        (side * 52, 18, 1010), (side * 66, -12, 950), (side * 80, -28, 905), (side * 92, -5, 850),
    ]  # fmt: skip
    radii = [r * size for r in (7, 15, 20, 21, 19, 18, 16)]
    canvas.tube(points, radii, Tissue.MUSCLE)
    canvas.ellipsoid((side * 68, 52, 1110), (22, 12, 62), Tissue.MUSCLE)


def _paint_wings(canvas: Canvas, shape: Shape, crest: float) -> None:
    """The wings are part of a shell round the cavity, from the sacrum to the front spine."""
    outer = shape.cavity.grown(11, 11, 11)
    (x0, y0, _), (x1, y1, _) = outer.bounds()
    window = canvas.window((x0, y0, 930), (x1, y1, crest))
    level, inner = window.inside(outer), window.inside(shape.cavity)
    x = abs(window.x)
    low = np.interp(window.z, [930, 985, 1040, crest], [6, -32, -22, 30]).astype(np.float32)
    wing = (level < 1) & (inner > 0.97) & (window.y > low) & (x > 38) & (window.y < 98 - 0.25 * x)
    window.paint(wing, Tissue.CORTEX)
    middle = (window.inside(shape.cavity.grown(8, 8, 8)) < 1) & (
        window.inside(shape.cavity.grown(3, 3, 3)) > 1
    )
    window.paint(wing & middle, Tissue.MARROW)


def _paint_hip(canvas: Canvas, side: int) -> None:
    centre: Point = (side * HIP_X, HIP_Y, HIP_Z)
    strut: list[list[Point]] = [
        [(side * 72, 30, 965), (side * 80, 18, 925)],
        [(side * 72, -14, 915), (side * 40, -44, 898), (side * 6, -50, 885)],
        [(side * 78, 36, 905), (side * 66, 46, 870), (side * 56, 42, 842)],
        [(side * 54, 38, 838), (side * 30, -5, 848), (side * 8, -42, 868)],
    ]
    radii = [(14, 18), (12, 9, 10), (15, 13, 14), (9, 6, 8)]
    canvas.ellipsoid(centre, (35, 35, 35), Tissue.CORTEX)
    for points, thick in zip(strut, radii, strict=True):
        canvas.tube(points, thick, Tissue.CORTEX)
    canvas.ellipsoid(centre, (32, 32, 32), Tissue.MARROW)
    for points, thick in zip(strut, radii, strict=True):
        canvas.tube(points, [r - 3.5 for r in thick], Tissue.MARROW)
    # The socket opens outwards and down.
    canvas.ellipsoid((side * (HIP_X + 24), HIP_Y, HIP_Z - 16), (32, 40, 32), Tissue.MUSCLE)
    _obturator(canvas, side)


def _obturator(canvas: Canvas, side: int) -> None:
    rows = [(855, 10, -14, 34), (880, 12, -20, 36), (905, 9, -24, 34)]
    muscle = Contour.through(rows).moved(side * 50)
    canvas.fill(muscle, Tissue.MUSCLE, over=(Tissue.VISCERAL_FAT,))
