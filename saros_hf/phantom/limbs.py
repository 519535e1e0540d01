"""Thighs and arms."""

from dataclasses import dataclass

import numpy as np

from ..labels import BodyPart
from .canvas import Canvas, Point, Window
from .contour import Contour
from .patient import Patient
from .pelvis import HIP_X, HIP_Y, HIP_Z
from .shape import Shape
from .tissue import Tissue

# z, half width, front y, back y
_THIGH = [(440, 42, -44, 44), (500, 48, -54, 52), (600, 54, -62, 68), (700, 63, -70, 80),
          (780, 71, -76, 90), (830, 75, -78, 96), (880, 68, -70, 96), (915, 40, -40, 80)]  # fmt: skip
_SOFT = (Tissue.MUSCLE, Tissue.MUSCLE_FAT, Tissue.SUBCUTANEOUS_FAT)


@dataclass(frozen=True)
class Arm:
    """Places of one arm: shoulder, elbow, wrist and fingers, with the thickness of the muscle."""

    side: int
    joints: tuple[Point, ...]
    radii: tuple[float, ...]
    fat_mm: float

    @property
    def part(self) -> BodyPart:
        """Label of the arm; x grows to the patient's left."""
        return BodyPart.ARM_LEFT if self.side > 0 else BodyPart.ARM_RIGHT


def arms_of(patient: Patient, shape: Shape, *, up: bool) -> tuple[Arm, Arm]:
    """Return both arms, beside the head or beside the trunk."""
    right, left = (_arm(patient, shape, side, up=up) for side in (-1, 1))
    return right, left


def _arm(patient: Patient, shape: Shape, side: int, *, up: bool) -> Arm:
    rng = patient.rng(f"arm{side}{up}")
    fat, thick = 2.5 + 0.22 * patient.fat_mm, float(np.sqrt(patient.muscle))
    if up:
        out, forward = rng.uniform(-8, 22), rng.normal(0, 8)
        joints = (
            (side * 142.0, 26.0, 1450.0),
            (side * (150 + fat), 16 + forward, 1492.0),
            (side * (160 + out + fat), 4 + forward, 1640.0),
            (side * (158 + out + fat), -8 + forward, 1752.0),
            (side * 70.0, -30.0, 1850.0),
        )
        return Arm(side, joints, tuple(thick * r for r in (43, 43, 37, 33, 27)), fat)
    skin = np.interp([1140, 1000, 880], shape.skin.z, shape.skin.width)
    gap = rng.uniform(-3, 18) + 38 * thick + fat
    back = rng.uniform(10, 40)
    joints = (
        (side * 140.0, 28.0, 1440.0),
        (side * 163.0, 28.0, 1415.0),
        (side * max(skin[0] + gap, 185), 20 + back, 1140.0),
        (side * max(skin[1:].max() + gap - 12, 190), back - 5, 905.0),
        (side * max(skin[2] + gap - 14, 190), back - 15, 720.0),
    )
    return Arm(side, joints, tuple(thick * r for r in (42, 43, 37, 26, 14)), fat)


def paint_arm_skin(canvas: Canvas, arm: Arm) -> None:
    """Paint fat and muscle of an arm, and mark which samples are arm."""
    # The first piece is the shoulder, which belongs to the trunk.
    for number, (start, end, window, widths) in enumerate(_pieces(canvas, arm, arm.fat_mm)):
        skin = window.capsule(start, end, widths) < 1
        if number:
            np.copyto(window.part, np.uint8(arm.part), where=skin & (window.part == 0))
        window.paint(skin, Tissue.SUBCUTANEOUS_FAT, over=(Tissue.AIR,))
    for start, end, window, widths in _pieces(canvas, arm, 0):
        window.paint(window.capsule(start, end, widths) < 1, Tissue.MUSCLE, over=_SOFT)


def paint_arm_bones(canvas: Canvas, arm: Arm) -> None:
    """Paint humerus, radius and ulna."""
    _, upper, elbow, wrist, fingers = arm.joints
    head = (upper[0] * 0.97, upper[1], upper[2])
    canvas.ellipsoid(head, (24, 24, 24), Tissue.CORTEX)
    _paint_long_bone(canvas, (head, elbow), 11.5)
    canvas.ellipsoid(head, (20.5, 20.5, 20.5), Tissue.MARROW)
    for shift in (-11, 11):
        shifted = [(p[0], p[1] + shift, p[2]) for p in (elbow, wrist)]
        _paint_long_bone(canvas, (shifted[0], shifted[1]), 7.5)
    _paint_long_bone(canvas, (wrist, fingers), 5)


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
        head: Point = (side * HIP_X, HIP_Y, HIP_Z)
        hip: Point = (side * 130, 18, 872)
        canvas.tube([head, hip], (15, 17), Tissue.CORTEX)
        canvas.ellipsoid((side * 134, 24, 880), (16, 18, 26), Tissue.CORTEX)
        canvas.ellipsoid(head, (24.5, 24.5, 24.5), Tissue.CORTEX)
        _paint_long_bone(canvas, (hip, (side * 92, -2, 480)), 14.5)
        canvas.tube([head, hip], (11, 13), Tissue.MARROW)
        canvas.ellipsoid((side * 134, 24, 880), (12, 14, 22), Tissue.MARROW)
        canvas.ellipsoid(head, (21.5, 21.5, 21.5), Tissue.MARROW)
        if side == replaced:
            canvas.ellipsoid(head, (20, 20, 20), Tissue.METAL)
            canvas.tube([head, hip, (side * 122, 12, 790)], (9, 8, 6), Tissue.METAL)


def _paint_long_bone(canvas: Canvas, ends: tuple[Point, Point], radius: float) -> None:
    canvas.tube(ends, (radius, radius), Tissue.CORTEX)
    canvas.tube(ends, (radius * 0.5, radius * 0.5), Tissue.MARROW)


def _pieces(
    canvas: Canvas, arm: Arm, extra: float
) -> list[tuple[Point, Point, Window, tuple[float, float]]]:
    pieces = []
    for start, end, r0, r1 in zip(
        arm.joints, arm.joints[1:], arm.radii, arm.radii[1:], strict=False
    ):
        window = canvas.around(start, end, max(r0, r1) + extra)
        pieces.append((start, end, window, (r0 + extra, r1 + extra)))
    return pieces
