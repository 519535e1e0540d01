"""Bones of the trunk with the muscles beside them: spine, sacrum, pelvis and rib cage."""

import numpy as np

from .canvas import Canvas, Crop
from .geometry import Contour, Point, along, mirrored
from .patient import Patient
from .shape import Shape
from .tissue import Tissue

HIP: Point = (88.0, 8.0, 905.0)
"""Centre of the left hip joint."""

SPINE_Y = [
    (900.0, 74.0), (935.0, 84.0), (985.0, 66.0), (1010.0, 46.0), (1040.0, 37.0), (1080.0, 32.0),
    (1120.0, 33.0), (1160.0, 38.0), (1200.0, 45.0), (1270.0, 58.0), (1340.0, 66.0),
    (1400.0, 62.0), (1440.0, 53.0), (1470.0, 43.0), (1500.0, 35.0), (1550.0, 27.0), (1605.0, 24.0),
]  # fmt: skip
"""z and y of the middle of the vertebral bodies."""

_SPINE_BOTTOM_Z, _SPINE_TOP_Z = 1012.0, 1608.0
# z, half width, half depth of the vertebral bodies
_BODY = [(1012.0, 25.0, 17.0), (1190.0, 22.0, 16.0), (1300.0, 16.5, 14.5), (1450.0, 15.0, 11.5),
         (1500.0, 13.0, 9.0), (1610.0, 12.0, 8.0)]  # fmt: skip
# z, vertebrae counted from L5 up: 5 lumbar, 12 thoracic, 7 cervical
_COUNT = [(1012.0, 0.0), (1192.0, 5.0), (1484.0, 17.0), (1608.0, 24.0)]
_SACRUM = [(900, 6, 68, 78), (935, 12, 72, 90), (960, 24, 58, 92), (985, 42, 48, 92),
           (1005, 50, 32, 86), (1016, 44, 26, 76)]  # fmt: skip
_TWELFTH_RIB_Z, _RIB_PITCH = 1204.0, 23.6


def paint_spine(canvas: Canvas) -> None:
    """Paint everything from the coccyx to the skull base."""
    sacrum = Contour.through(_SACRUM, square=0.2)
    canvas.fill(sacrum, Tissue.CORTEX)
    canvas.fill(sacrum.grown(-3, -3, -3), Tissue.MARROW)
    _paint_vertebrae(canvas.crop((-60, -5, _SPINE_BOTTOM_Z), (60, 135, _SPINE_TOP_Z)))
    _paint_canal(canvas)


def _paint_vertebrae(crop: Crop) -> None:
    z = crop.z.ravel()
    x, y = abs(crop.x), crop.y - along(z, SPINE_Y)
    width = along(z, [(a, b) for a, b, _ in _BODY])
    depth = along(z, [(a, c) for a, _, c in _BODY])
    knot_z, count = np.array(_COUNT).T
    phase = np.interp(z, knot_z, count) % 1  # 0 at a lower endplate to 1 at the next
    phase = phase.astype(np.float32).reshape(-1, 1, 1)
    pitch = np.interp(z, knot_z[1:], np.diff(knot_z) / np.diff(count))  # mm
    pitch = pitch.astype(np.float32).reshape(-1, 1, 1)
    # Ligaments and deep muscles, where the cavity would reach too far back.
    bed = (x / (width + 15)) ** 2 + ((y - depth - 9) / (depth + 12)) ** 2
    crop.paint(bed < 1, Tissue.MUSCLE)
    # Pedicles and laminae, spinous and transverse processes.
    canal = depth + 8
    ring = (x / 17) ** 2 + ((y - canal) / 14) ** 2
    crop.paint((ring < 1) & ((phase < 0.8) | (y < canal)), Tissue.CORTEX)
    back = y - canal
    spinous = (x < 3.8) & (back > 9) & (back < width + 7) & (phase > 0.05)
    crop.paint(spinous & (phase < 0.65), Tissue.MARROW)
    transverse = (abs(phase - 0.4) * pitch < 6) & (x < width * 1.3 + 9)
    crop.paint(transverse & (abs(back + 2 - 0.1 * x) < 5) & (x > 10), Tissue.MARROW)
    # Bodies and discs.
    waist = 1 - 0.35 * phase * (0.75 - phase)
    level = (x / (width * waist)) ** 2 + (y / (depth * waist)) ** 2
    body = (level < 1) & (phase < 1 - 8 / pitch.clip(18))
    crop.paint(level < 1, Tissue.DISC)
    crop.paint(body, Tissue.MARROW)
    crop.paint(body & ((level > 0.78) | (phase * pitch < 2.5)), Tissue.CORTEX)


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
    canvas.fill(cord.keyframes(z >= 1165), Tissue.CORD)
    nerves = cord.keyframes(z <= 1165).grown(1, 1, 1)
    canvas.fill(nerves, Tissue.CORD, over=(Tissue.SPINAL_FLUID,))


def paint_pelvis(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint psoas muscles and hip bones."""
    crest = float(patient.rng("pelvis").normal(1062, 5))
    for side in (-1, 1):
        psoas = mirrored(side, [(27, 42, 1195), (36, 40, 1130), (43, 36, 1070), (52, 18, 1010),
                                (66, -12, 950), (80, -28, 905), (92, -5, 850)])  # fmt: skip
        radii = [r * patient.muscle for r in (7, 15, 20, 21, 19, 18, 16)]
        canvas.tube(psoas, radii, Tissue.MUSCLE)
        canvas.ellipsoid((side * 68, 52, 1110), (22, 12, 62), Tissue.MUSCLE)
    _paint_iliac_wings(canvas, shape, crest)
    for side in (-1, 1):
        _paint_hip_bone(canvas, side)


def _paint_iliac_wings(canvas: Canvas, shape: Shape, crest: float) -> None:
    """Paint part of a shell round the cavity, from the sacrum to the front spine."""
    outer = shape.cavity.grown(11, 11, 11)
    (x0, y0, _), (x1, y1, _) = outer.bounds()
    crop = canvas.crop((x0, y0, 930), (x1, y1, crest))
    level, inner = crop.inside(outer), crop.inside(shape.cavity)
    x = abs(crop.x)
    low = np.interp(crop.z, [930, 985, 1040, crest], [6, -32, -22, 30]).astype(np.float32)
    wing = (level < 1) & (inner > 0.97) & (crop.y > low) & (x > 38) & (crop.y < 98 - 0.25 * x)
    crop.paint(wing, Tissue.CORTEX)
    middle = (crop.inside(shape.cavity.grown(8, 8, 8)) < 1) & (
        crop.inside(shape.cavity.grown(3, 3, 3)) > 1
    )
    crop.paint(wing & middle, Tissue.MARROW)


def _paint_hip_bone(canvas: Canvas, side: int) -> None:
    x, y, z = HIP
    (centre,) = mirrored(side, [HIP])
    struts: list[tuple[list[Point], tuple[float, ...]]] = [
        ([(72, 30, 965), (80, 18, 925)], (14, 18)),
        ([(72, -14, 915), (40, -44, 898), (6, -50, 885)], (12, 9, 10)),
        ([(78, 36, 905), (66, 46, 870), (56, 42, 842)], (15, 13, 14)),
        ([(54, 38, 838), (30, -5, 848), (8, -42, 868)], (9, 6, 8)),
    ]
    canvas.ellipsoid(centre, (35, 35, 35), Tissue.CORTEX)
    for points, radii in struts:
        canvas.tube(mirrored(side, points), radii, Tissue.CORTEX)
    canvas.ellipsoid(centre, (32, 32, 32), Tissue.MARROW)
    for points, radii in struts:
        canvas.tube(mirrored(side, points), [r - 3.5 for r in radii], Tissue.MARROW)
    # The socket opens outwards and down.
    canvas.ellipsoid((side * (x + 24), y, z - 16), (32, 40, 32), Tissue.MUSCLE)
    obturator = Contour.through([(855, 10, -14, 34), (880, 12, -20, 36), (905, 9, -24, 34)])
    canvas.fill(obturator.moved(side * 50), Tissue.MUSCLE, over=(Tissue.VISCERAL_FAT,))


def paint_ribcage(canvas: Canvas, shape: Shape, patient: Patient) -> None:
    """Paint ribs, sternum and shoulder blades."""
    slope = float(patient.rng("ribs").normal(0.52, 0.05))
    _paint_ribs(canvas, shape, slope)
    _paint_sternum(canvas, shape)
    for side in (-1, 1):
        _paint_scapula(canvas, side)


def paint_clavicles(canvas: Canvas, *, arms_up: bool) -> None:
    """Paint the clavicles, which rise with the arms."""
    lift = 22 if arms_up else 0
    for side in (-1, 1):
        clavicle = mirrored(side, [(18, -34, 1432), (60, -34, 1444 + lift / 3),
                                   (105, 2, 1458 + lift), (145, 22, 1460 + lift)])  # fmt: skip
        canvas.tube(clavicle, (8, 6.5, 6, 7), Tissue.CORTEX)
        canvas.tube(clavicle, (5, 3, 3, 4), Tissue.MARROW)


def _paint_ribs(canvas: Canvas, shape: Shape, slope: float) -> None:
    """Paint stripes of a shell round the cavity, sloping down from the spine."""
    outer = shape.cavity.grown(9, 8, 8)
    (x0, y0, _), (x1, y1, _) = outer.bounds()
    crop = canvas.crop((x0, y0, 1095), (x1, y1, 1480))
    shell = (crop.inside(outer) < 1) & (crop.inside(shape.cavity) > 1)
    depth = 84 - crop.y
    number = 12 - (crop.z + slope * depth - _TWELFTH_RIB_Z) / _RIB_PITCH
    off_centre = abs(number % 1 - 0.5)
    # The last two ribs float, the next few end in cartilage well before the midline.
    end = np.select([number > 11, number > 10, number > 9], [70, 95, 120], 150)
    rib = shell & (off_centre < 0.29) & (number > 0.8) & (number < 13) & (depth < end)
    crop.paint(rib, Tissue.CORTEX)
    crop.paint(rib & (off_centre < 0.13), Tissue.MARROW)
    front = crop.z - 0.55 * (abs(crop.x) - 15)
    arch = (depth > 125) & (abs(crop.x) < 95) & (front > 1240) & (crop.z < 1420)
    bars = shell & arch & (abs((front / _RIB_PITCH) % 1 - 0.5) < 0.3)
    crop.paint(bars & ~rib, Tissue.CARTILAGE)


def _paint_sternum(canvas: Canvas, shape: Shape) -> None:
    outer = shape.cavity.grown(13, 13, 13)
    crop = canvas.crop((-35, outer.front.min(), 1262), (35, 20, 1434))
    half = np.interp(crop.z, [1262, 1300, 1385, 1392, 1434], [8, 18, 15, 24, 29])
    for cortex, tissue in ((0, Tissue.CORTEX), (3, Tissue.MARROW)):
        plate = crop.inside(shape.cavity.grown(2 + cortex, 2 + cortex, 0)) > 1
        plate &= crop.inside(outer.grown(-cortex, -cortex, 0)) < 1
        plate &= (abs(crop.x) < half.astype(np.float32) - cortex) & (crop.y < 20)
        crop.paint(plate, tissue)


def _paint_scapula(canvas: Canvas, side: int) -> None:
    turn = np.array([[side * 0.86, -0.5, 0], [side * 0.5, 0.86, 0], [0, 0, 1]], np.float32)
    blade, socket = mirrored(side, [(102, 82, 1385), (138, 42, 1428)])
    canvas.ellipsoid(blade, (58, 22, 84), Tissue.MUSCLE, over=(Tissue.SUBCUTANEOUS_FAT,), turn=turn)
    canvas.ellipsoid(blade, (42, 5, 70), Tissue.CORTEX, turn=turn)
    canvas.ellipsoid(socket, (9, 13, 16), Tissue.CORTEX)
    canvas.ellipsoid(socket, (6, 10, 13), Tissue.MARROW)
    ridge = mirrored(side, [(90, 96, 1435), (130, 80, 1455), (158, 34, 1462)])
    canvas.tube(ridge, (5, 7, 7), Tissue.CORTEX)
