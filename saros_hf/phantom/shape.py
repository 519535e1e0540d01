"""Outlines of a patient that all organs fit into: skin, muscle and cavity of trunk and head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Contour, along
from .patient import Patient

CROTCH_Z = 820.0

# z, half width, front y, back y
_LEAN_TRUNK = np.array([
    (790, 80, -30, 62), (812, 128, -60, 84), (840, 154, -76, 95), (880, 168, -85, 106),
    (920, 171, -88, 112), (970, 164, -86, 108), (1020, 152, -86, 98), (1060, 144, -88, 92),
    (1120, 136, -89, 90), (1190, 137, -93, 95), (1270, 145, -98, 104), (1340, 150, -97, 110),
    (1400, 149, -84, 112), (1430, 143, -64, 108), (1455, 120, -42, 102), (1475, 84, -27, 92),
    (1496, 56, -22, 82),
])  # fmt: skip
_CAVITY = np.array([
    (842, 16, -10, 40), (860, 40, -45, 58), (900, 57, -68, 72), (950, 62, -76, 78),
    (985, 82, -76, 70), (1010, 103, -74, 60), (1040, 119, -74, 53), (1080, 118, -75, 50),
    (1120, 116, -76, 52), (1190, 119, -78, 66), (1230, 123, -81, 76), (1270, 127, -83, 84),
    (1340, 131, -80, 92), (1400, 119, -62, 92), (1440, 90, -36, 84), (1465, 64, -10, 74),
    (1485, 36, 12, 60), (1493, 10, 28, 44),
])  # fmt: skip
_SKIN_HEAD = np.array([
    (1440, 50, -22, 84), (1480, 55, -34, 82), (1512, 58, -47, 80), (1528, 60, -66, 81),
    (1545, 64, -88, 84), (1570, 68, -94, 92), (1600, 72, -95, 102), (1618, 74, -104, 105),
    (1640, 77, -93, 108), (1680, 79, -88, 109), (1710, 73, -74, 101), (1732, 55, -48, 78),
    (1746, 30, -18, 46), (1751, 8, 4, 24),
])  # fmt: skip
# z, fat relative to the navel: at the side, in front, at the back
_FAT = np.array([
    (790, 0.55, 0.5, 0.7), (840, 0.75, 0.7, 1.0), (900, 0.95, 1.0, 1.2), (960, 1.0, 1.1, 1.3),
    (1040, 0.9, 1.05, 1.1), (1120, 0.75, 1.0, 0.8), (1200, 0.6, 0.7, 0.55),
    (1270, 0.5, 0.45, 0.45), (1340, 0.5, 0.4, 0.4), (1430, 0.35, 0.3, 0.4),
    (1496, 0.25, 0.2, 0.3),
])  # fmt: skip
_BELLY = [(790.0, 0.0), (900.0, 0.1), (1000.0, 0.7), (1090.0, 1.0), (1180.0, 0.7), (1290.0, 0.0)]


@dataclass(frozen=True, eq=False)
class Shape:
    """Contours of one patient.

    Attributes:
        skin: Skin of the trunk.
        lean: Trunk inside the subcutaneous fat.
        cavity: Inside of the trunk wall, from the pelvic floor to the tips of the lungs.
        head_skin: Skin of head and neck.
        head_lean: Head and neck inside the subcutaneous fat.
    """

    skin: Contour
    lean: Contour
    cavity: Contour
    head_skin: Contour
    head_lean: Contour


def shape_of(patient: Patient) -> Shape:
    """Return the outlines of a patient."""
    rng = patient.rng("shape")
    hips, chest, shoulders = rng.normal(1, 0.03, 3) + (
        np.array([0.05, -0.01, -0.06]) if patient.female else 0
    )
    stretch = [(790.0, hips), (1000.0, hips), (1120.0, 1.0), (1270.0, chest), (1440.0, shoulders)]
    depth = rng.normal(1, 0.04)
    cavity = _scaled(_CAVITY, stretch, depth, patient, square=0.25)
    lean = _scaled(_LEAN_TRUNK, stretch, depth, patient, square=0.45)
    wall = 7 * (patient.muscle - 1)
    lean = lean.grown(wall, wall, wall)
    side, front, back = (
        np.interp(lean.z, _FAT[:, 0], column) * patient.fat_mm for column in _FAT[:, 1:].T
    )
    head = Contour.through(_SKIN_HEAD, square=0.15)
    jowl = np.interp(head.z, [1440, 1540, 1600], [0.3, 0.35, 0.0]) * patient.fat_mm
    head = head.grown(jowl * 0.6, jowl * 0.6, jowl * 0.5)
    scalp = 4.5 + jowl * 0.6
    return Shape(
        skin=lean.grown(side + 2, front + 2, back + 2),
        lean=lean,
        cavity=cavity,
        head_skin=head,
        head_lean=head.grown(-scalp, -scalp, -scalp),
    )


def _scaled(
    rows: NDArray[np.float64],
    stretch: list[tuple[float, float]],
    depth: float,
    patient: Patient,
    *,
    square: float,
) -> Contour:
    """Return standard outlines stretched to the patient's build and belly."""
    contour = Contour.through(rows, square=square)
    z = contour.z.astype(np.float32)
    wide = along(z, stretch).ravel() - 1
    belly = along(z, _BELLY).ravel() * patient.visceral_mm
    front = (depth - 1) * 80 * np.interp(z, [850, 1000, 1350, 1450], [0, 1, 1, 0])
    return contour.grown(contour.width * wide + 0.3 * belly, front + belly, 0.0)
