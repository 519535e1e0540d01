"""Scan protocol of one phantom: range, field of view, posture, contrast and noise."""

from dataclasses import dataclass

import numpy as np

from ..cases.case import AnatomicRegion, Case
from .canvas import STANDARD_HEIGHT_MM
from .patient import Patient, generator
from .shape import Shape

SLICE_MM = 5.0
# Lowest and highest start and end of the scan, standard millimetres.
_RANGE: dict[AnatomicRegion, tuple[tuple[float, float], tuple[float, float]]] = {
    "abdomen": ((790, 882), (1290, 1350)),
    "thorax": ((1130, 1200), (1490, 1560)),
    "wholebody": ((620, 790), (1690, 1768)),
}
_CONTRAST: dict[AnatomicRegion, float] = {"abdomen": 0.85, "thorax": 0.75, "wholebody": 0.25}
_ARMS_UP: dict[AnatomicRegion, float] = {"abdomen": 0.9, "thorax": 0.85, "wholebody": 0.45}


@dataclass(frozen=True)
class Protocol:
    """Parameters of one scan.

    Attributes:
        low_mm: Height of the lowest slice above the feet.
        slices: Number of slices.
        fov_mm: Edge length of the image.
        shift_mm: x and y of the patient's axis in the image.
        turn: Rotation of the patient about the long axis, radians.
        arms_up: Whether the arms lie beside the head.
        table_mm: y of the table top in the image.
        contrast: Intravenous contrast, 0 for none.
        oral: Oral contrast, 0 for none.
        noise_hu: Standard deviation of the noise.
        origin_mm: Scanner z of the lowest slice.
    """

    low_mm: float
    slices: int
    fov_mm: float
    shift_mm: tuple[float, float]
    turn: float
    arms_up: bool
    table_mm: float
    contrast: float
    oral: float
    noise_hu: float
    origin_mm: float


def protocol_of(case: Case, patient: Patient, shape: Shape, *, seed: int) -> Protocol:
    """Draw the scan parameters of a case."""
    rng = generator(seed, case.case_id, "protocol")
    region = case.anatomic_region
    start, end = (rng.uniform(*span) for span in _RANGE[region])
    if region == "wholebody" and rng.random() < 0.13:
        end = rng.uniform(1560, 1620)  # no brain in view
    scale = patient.height_mm / STANDARD_HEIGHT_MM
    up = bool(rng.random() < _ARMS_UP[region])
    seen = (shape.skin.z > start) & (shape.skin.z < end)
    front, back = shape.skin.front[seen].min(), shape.skin.back[seen].max()
    turn = float(np.clip(rng.normal(0, 0.025), -0.06, 0.06))
    width = 2 * shape.skin.width[seen].max() + rng.uniform(20, 60)
    if not up:
        width += rng.uniform(60, 180)
    if region != "abdomen":
        width = max(width, rng.uniform(390, 450))
    shift = float(rng.normal(0, 5)), float(rng.normal(0, 8) - patient.frame * (front + back) / 2)
    with_contrast = rng.random() < _CONTRAST[region]
    return Protocol(
        low_mm=start * scale,
        slices=round((end - start) * scale / SLICE_MM),
        fov_mm=float(np.clip(width * patient.frame, 360, 500)),
        shift_mm=shift,
        turn=turn,
        arms_up=up,
        table_mm=float(patient.frame * (back - rng.uniform(5, 9)) + shift[1]),
        contrast=float(rng.uniform(0.5, 1.25)) if with_contrast else 0.0,
        oral=float(rng.uniform(0.3, 1)) if rng.random() < 0.3 else 0.0,
        noise_hu=float(rng.uniform(8, 25)),
        origin_mm=float(np.round(rng.uniform(-1200, 0), 1)),
    )
