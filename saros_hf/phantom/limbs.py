"""Thighs and arms."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyPart
from .canvas import Canvas, Crop
from .geometry import Contour, Point, mirrored
from .patient import Patient
from .shape import Shape
from .skeleton import HIP
from .tissue import Tissue

# z, half width, front y, back y
_THIGH = [(440, 42, -44, 44), (500, 48, -54, 52), (600, 54, -62, 68), (700, 63, -70, 80),
          (780, 71, -76, 90), (830, 75, -78, 96), (880, 68, -70, 96), (915, 40, -40, 80)]  # fmt: skip
_SOFT = (Tissue.MUSCLE, Tissue.MUSCLE_FAT, Tissue.SUBCUTANEOUS_FAT)


@dataclass(frozen=True)
class Arm:
    """Geometry of one arm.

    Attributes:
        side: 1 is left, -1 right.
        joints: Shoulder, upper end of the arm, elbow, wrist and fingertips.
        radii: Radius of the muscle at each joint, in mm.
        fat_mm: Thickness of the subcutaneous fat.
    """

    side: int
    joints: list[Point]
    radii: tuple[float, ...]
    fat_mm: float


def arms_of(patient: Patient, shape: Shape, *, up: bool) -> list[Arm]:
    """Return right and left arm, beside the head or beside the trunk."""
    return [_arm(patient, shape, side, up=up) for side in (-1, 1)]


def _arm(patient: Patient, shape: Shape, side: int, *, up: bool) -> Arm:
    rng = patient.rng(f"arm{side}{up}")
    fat, thick = 2.5 + 0.22 * patient.fat_mm, float(np.sqrt(patient.muscle))
    joints: list[Point]
    if up:
        out, forward = rng.uniform(-8, 22), rng.normal(0, 8)
        joints = [
            (142.0, 26.0, 1450.0),
            (150 + fat, 16 + forward, 1492.0),
            (160 + out + fat, 4 + forward, 1640.0),
            (158 + out + fat, -8 + forward, 1752.0),
            (70.0, -30.0, 1850.0),
        ]
        radii = 43, 43, 37, 33, 27
    else:
        skin = np.interp([1140, 1000, 880], shape.skin.z, shape.skin.width)
        gap = rng.uniform(-3, 18) + 38 * thick + fat
        back = rng.uniform(10, 40)
        joints = [
            (140.0, 28.0, 1440.0),
            (163.0, 28.0, 1415.0),
            (max(skin[0] + gap, 185), 20 + back, 1140.0),
            (max(skin[1:].max() + gap - 12, 190), back - 5, 905.0),
            (max(skin[2] + gap - 14, 190), back - 15, 720.0),
        ]
        radii = 42, 43, 37, 26, 14
    return Arm(side, mirrored(side, joints), tuple(thick * r for r in radii), fat)


def paint_arm_skin(canvas: Canvas, arm: Arm) -> None:
    """Paint fat and muscle of an arm, and mark the samples that are arm."""
    part = BodyPart.ARM_LEFT if arm.side > 0 else BodyPart.ARM_RIGHT
    for number, (crop, skin) in enumerate(_segments(canvas, arm, arm.fat_mm)):
        if number:  # the first segment is the shoulder, which belongs to the trunk
            np.copyto(crop.part, np.uint8(part), where=skin & (crop.part == 0))
        crop.paint(skin, Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
    for crop, muscle in _segments(canvas, arm, 0):
        crop.paint(muscle, Tissue.MUSCLE, over=_SOFT)


def _segments(canvas: Canvas, arm: Arm, fat_mm: float) -> Iterator[tuple[Crop, NDArray[np.bool_]]]:
    """Yield the crop between two joints and the samples within ``fat_mm`` of the muscle."""
    for (start, end), (r0, r1) in zip(pairwise(arm.joints), pairwise(arm.radii), strict=True):
        crop = canvas.crop_between(start, end, max(r0, r1) + fat_mm)
        yield crop, crop.capsule(start, end, (r0 + fat_mm, r1 + fat_mm)) < 1


def paint_arm_bones(canvas: Canvas, arm: Arm) -> None:
    """Paint humerus, radius, ulna and one bone for the hand."""
    _, (x, y, z), elbow, wrist, fingers = arm.joints
    head = (x * 0.97, y, z)
    canvas.ellipsoid(head, (24, 24, 24), Tissue.CORTEX)
    _paint_long_bone(canvas, head, elbow, 11.5)
    canvas.ellipsoid(head, (20.5, 20.5, 20.5), Tissue.MARROW)
    for shift in (-11, 11):
        start, end = ((x, y + shift, z) for x, y, z in (elbow, wrist))
        _paint_long_bone(canvas, start, end, 7.5)
    _paint_long_bone(canvas, wrist, fingers, 5)


def paint_thighs(canvas: Canvas, patient: Patient) -> None:
    """Paint fat and muscle of both thighs."""
    fat = 3 + 0.42 * patient.fat_mm * (1.25 if patient.female else 1)
    thick = 50 * (np.sqrt(patient.muscle) - 1)
    for side in (-1, 1):
        lean = Contour.through(_THIGH, square=0.1).grown(thick, thick, thick).moved(side * 92)
        inner = np.linspace(0.7, 1, len(lean.z))
        canvas.fill(lean.grown(fat * inner, fat, fat), Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
        canvas.fill(lean, Tissue.MUSCLE, over=_SOFT)


def paint_femurs(canvas: Canvas, patient: Patient) -> None:
    """Paint head, neck, trochanter and shaft of both femurs; a few patients have a metal hip."""
    rng = patient.rng("hips")
    replaced = int(rng.choice([-1, 1])) if rng.random() < 0.06 else 0
    for side in (-1, 1):
        head, neck, trochanter, knee, stem = mirrored(
            side, [HIP, (130, 18, 872), (134, 24, 880), (92, -2, 480), (122, 12, 790)]
        )
        canvas.tube([head, neck], (15, 17), Tissue.CORTEX)
        canvas.ellipsoid(trochanter, (16, 18, 26), Tissue.CORTEX)
        canvas.ellipsoid(head, (24.5, 24.5, 24.5), Tissue.CORTEX)
        _paint_long_bone(canvas, neck, knee, 14.5)
        canvas.tube([head, neck], (11, 13), Tissue.MARROW)
        canvas.ellipsoid(trochanter, (12, 14, 22), Tissue.MARROW)
        canvas.ellipsoid(head, (21.5, 21.5, 21.5), Tissue.MARROW)
        if side == replaced:
            canvas.ellipsoid(head, (20, 20, 20), Tissue.METAL)
            canvas.tube([head, neck, stem], (9, 8, 6), Tissue.METAL)


def _paint_long_bone(canvas: Canvas, start: Point, end: Point, radius: float) -> None:
    canvas.tube([start, end], (radius, radius), Tissue.CORTEX)
    canvas.tube([start, end], (radius * 0.5, radius * 0.5), Tissue.MARROW)
