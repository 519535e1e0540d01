"""Ribs, sternum, clavicles and shoulder blades."""

import numpy as np

from .canvas import Canvas, Point
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

_TWELFTH_Z, _PITCH = 1204.0, 23.6


def paint_ribcage(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint the bones round the chest."""
    rng = patient.rng("ribs")
    _paint_ribs(canvas, shape, slope=float(rng.normal(0.52, 0.05)))
    _paint_sternum(canvas, shape)
    for side in (-1, 1):
        _paint_scapula(canvas, side)


def paint_clavicles(canvas: Canvas, *, arms_up: bool) -> None:
    """Paint the clavicles, which rise with the arms."""
    lift = 22 if arms_up else 0
    for side in (-1, 1):
        points: list[Point] = [
            (side * 18, -34, 1432), (side * 60, -34, 1444 + lift / 3),
            (side * 105, 2, 1458 + lift), (side * 145, 22, 1460 + lift),
        ]  # fmt: skip
        canvas.tube(points, (8, 6.5, 6, 7), Tissue.CORTEX)
        canvas.tube(points, (5, 3, 3, 4), Tissue.MARROW)


def _paint_ribs(canvas: Canvas, shape: Shape, *, slope: float) -> None:
    """Ribs are the stripes of a shell round the cavity, sloping down from the spine."""
    outer = shape.cavity.grown(9, 8, 8)
    (x0, y0, _), (x1, y1, _) = outer.bounds()
    window = canvas.window((x0, y0, 1095), (x1, y1, 1480))
    shell = (window.inside(outer) < 1) & (window.inside(shape.cavity) > 1)
    depth = 84 - window.y
    origin = window.z + slope * depth
    number = 12 - (origin - _TWELFTH_Z) / _PITCH
    place = number % 1
    # The last two ribs float, the next few end in cartilage well before the midline.
    end = np.select([number > 11, number > 10, number > 9], [70, 95, 120], 150)
    stripe = shell & (abs(place - 0.5) < 0.29) & (number > 0.8) & (number < 13) & (depth < end)
    window.paint(stripe, Tissue.CORTEX)
    window.paint(stripe & (abs(place - 0.5) < 0.13), Tissue.MARROW)
    front = window.z - 0.55 * (abs(window.x) - 15)
    arch = (depth > 125) & (abs(window.x) < 95) & (front > 1240) & (window.z < 1420)
    bars = shell & arch & (abs((front / _PITCH) % 1 - 0.5) < 0.3)
    window.paint(bars & ~stripe, Tissue.CARTILAGE)


def _paint_sternum(canvas: Canvas, shape: Shape) -> None:
    outer = shape.cavity.grown(13, 13, 13)
    for thickness, tissue in ((0, Tissue.CORTEX), (3, Tissue.MARROW)):
        window = canvas.window((-35, outer.front.min(), 1262), (35, 20, 1434))
        near = shape.cavity.grown(2 + thickness, 2 + thickness, 0)
        plate = (window.inside(near) > 1) & (
            window.inside(outer.grown(-thickness, -thickness, 0)) < 1
        )
        half = np.interp(window.z, [1262, 1300, 1385, 1392, 1434], [8, 18, 15, 24, 29])
        window.paint(
            plate & (abs(window.x) < half.astype(np.float32) - thickness) & (window.y < 20), tissue
        )


def _paint_scapula(canvas: Canvas, side: int) -> None:
    outward = np.array([side * 0.86, -0.5, 0])
    normal = np.array([side * 0.5, 0.86, 0])
    turn = np.array([outward, normal, [0, 0, 1]], np.float32)
    blade: Point = (side * 102, 82, 1385)
    canvas.ellipsoid(blade, (58, 22, 84), Tissue.MUSCLE, over=(Tissue.SUBCUTANEOUS_FAT,), turn=turn)
    canvas.ellipsoid(blade, (42, 5, 70), Tissue.CORTEX, turn=turn)
    canvas.ellipsoid((side * 138, 42, 1428), (9, 13, 16), Tissue.CORTEX)
    canvas.ellipsoid((side * 138, 42, 1428), (6, 10, 13), Tissue.MARROW)
    canvas.tube(
        [(side * 90, 96, 1435), (side * 130, 80, 1455), (side * 158, 34, 1462)],
        (5, 7, 7),
        Tissue.CORTEX,
    )
