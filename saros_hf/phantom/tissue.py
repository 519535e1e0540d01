"""What a phantom is made of: every tissue, its SAROS label and its Hounsfield units.

Fat has the same Hounsfield units wherever it lies, and muscle, organs and glands overlap, so
that a label cannot be had by thresholds.
"""

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyRegion
from .waves import Floats


class Tissue(IntEnum):
    """Tissue ids of the finely sampled phantom."""

    AIR = 0
    TABLE_SHELL = auto()
    TABLE_FOAM = auto()
    SKIN = auto()
    SUBCUTANEOUS_FAT = auto()
    BREAST_GLAND = auto()
    MUSCLE = auto()
    MUSCLE_FAT = auto()
    NECK_VESSEL = auto()
    AIRWAY = auto()
    EYE = auto()
    CORTEX = auto()
    MARROW = auto()
    CARTILAGE = auto()
    DISC = auto()
    TOOTH = auto()
    SINUS = auto()
    METAL = auto()
    VISCERAL_FAT = auto()
    LIVER = auto()
    SPLEEN = auto()
    KIDNEY = auto()
    PANCREAS = auto()
    BOWEL_WALL = auto()
    BOWEL_FLUID = auto()
    FAECES = auto()
    BOWEL_GAS = auto()
    BILE = auto()
    URINE = auto()
    PELVIC_ORGAN = auto()
    ABDOMINAL_BLOOD = auto()
    LUNG = auto()
    LUNG_VESSEL = auto()
    MEDIASTINAL_FAT = auto()
    MEDIASTINAL_BLOOD = auto()
    OESOPHAGUS = auto()
    TRACHEA = auto()
    EPICARDIAL_FAT = auto()
    MYOCARDIUM = auto()
    HEART_BLOOD = auto()
    GREY_MATTER = auto()
    WHITE_MATTER = auto()
    VENTRICLE = auto()
    CORD = auto()
    SPINAL_FLUID = auto()
    PAROTID = auto()
    SUBMANDIBULAR = auto()
    THYROID = auto()
    IMPLANT = auto()


class _Row(NamedTuple):
    region: BodyRegion
    hu: float
    spread: float  # standard deviation of the mean between patients
    texture: float  # standard deviation within the tissue
    uptake: float = 0.0  # rise with full contrast


_R, _T = BodyRegion, Tissue
_ROWS: dict[Tissue, _Row] = {
    _T.AIR: _Row(_R.BACKGROUND, -1000, 0, 0),
    _T.TABLE_SHELL: _Row(_R.BACKGROUND, 60, 60, 20),
    _T.TABLE_FOAM: _Row(_R.BACKGROUND, -900, 40, 5),
    _T.SKIN: _Row(_R.SUBCUTANEOUS_TISSUE, 10, 15, 15),
    _T.SUBCUTANEOUS_FAT: _Row(_R.SUBCUTANEOUS_TISSUE, 0, 2, 7),
    _T.BREAST_GLAND: _Row(_R.SUBCUTANEOUS_TISSUE, 15, 15, 15, 20),
    _T.MUSCLE: _Row(_R.MUSCLE, 52, 5, 9, 9),
    _T.MUSCLE_FAT: _Row(_R.MUSCLE, 22, 8, 12),
    _T.NECK_VESSEL: _Row(_R.MUSCLE, 43, 3, 3, 125),
    _T.AIRWAY: _Row(_R.MUSCLE, -960, 10, 0),
    _T.EYE: _Row(_R.MUSCLE, 12, 3, 3),
    _T.CORTEX: _Row(_R.BONES, 680, 90, 70),
    _T.MARROW: _Row(_R.BONES, 160, 50, 40),
    _T.CARTILAGE: _Row(_R.BONES, 110, 20, 25),
    _T.DISC: _Row(_R.BONES, 88, 8, 6, 5),
    _T.TOOTH: _Row(_R.BONES, 1700, 150, 150),
    _T.SINUS: _Row(_R.BONES, -940, 10, 0),
    _T.METAL: _Row(_R.BONES, 3071, 0, 0),
    _T.VISCERAL_FAT: _Row(_R.ABDOMINAL_CAVITY, 2, 2, 8),
    _T.LIVER: _Row(_R.ABDOMINAL_CAVITY, 54, 9, 5, 52),
    _T.SPLEEN: _Row(_R.ABDOMINAL_CAVITY, 48, 4, 4, 68),
    _T.KIDNEY: _Row(_R.ABDOMINAL_CAVITY, 33, 4, 9, 130),
    _T.PANCREAS: _Row(_R.ABDOMINAL_CAVITY, 36, 7, 18, 50),
    _T.BOWEL_WALL: _Row(_R.ABDOMINAL_CAVITY, 40, 6, 10, 35),
    _T.BOWEL_FLUID: _Row(_R.ABDOMINAL_CAVITY, 18, 10, 12),
    _T.FAECES: _Row(_R.ABDOMINAL_CAVITY, -20, 40, 90),
    _T.BOWEL_GAS: _Row(_R.ABDOMINAL_CAVITY, -920, 20, 0),
    _T.BILE: _Row(_R.ABDOMINAL_CAVITY, 9, 5, 3),
    _T.URINE: _Row(_R.ABDOMINAL_CAVITY, 5, 3, 2),
    _T.PELVIC_ORGAN: _Row(_R.ABDOMINAL_CAVITY, 44, 5, 8, 35),
    _T.ABDOMINAL_BLOOD: _Row(_R.ABDOMINAL_CAVITY, 43, 3, 3, 115),
    _T.LUNG: _Row(_R.THORACIC_CAVITY, -830, 40, 28),
    _T.LUNG_VESSEL: _Row(_R.THORACIC_CAVITY, 30, 10, 10, 70),
    _T.MEDIASTINAL_FAT: _Row(_R.MEDIASTINUM, 4, 2, 10),
    _T.MEDIASTINAL_BLOOD: _Row(_R.MEDIASTINUM, 43, 3, 3, 125),
    _T.OESOPHAGUS: _Row(_R.MEDIASTINUM, 38, 5, 10, 15),
    _T.TRACHEA: _Row(_R.MEDIASTINUM, -970, 10, 0),
    _T.EPICARDIAL_FAT: _Row(_R.PERICARDIUM, 6, 3, 8),
    _T.MYOCARDIUM: _Row(_R.PERICARDIUM, 46, 4, 5, 55),
    _T.HEART_BLOOD: _Row(_R.PERICARDIUM, 43, 3, 4, 120),
    _T.GREY_MATTER: _Row(_R.BRAIN, 38, 2, 3, 4),
    _T.WHITE_MATTER: _Row(_R.BRAIN, 29, 2, 2, 2),
    _T.VENTRICLE: _Row(_R.BRAIN, 8, 2, 1),
    _T.CORD: _Row(_R.SPINAL_CORD, 38, 4, 3, 4),
    _T.SPINAL_FLUID: _Row(_R.SPINAL_CORD, 14, 4, 3),
    _T.PAROTID: _Row(_R.PAROTID_GLANDS, -10, 14, 20, 22),
    _T.SUBMANDIBULAR: _Row(_R.SUBMANDIBULAR_GLANDS, 46, 7, 6, 38),
    _T.THYROID: _Row(_R.THYROID_GLANDS, 104, 10, 8, 62),
    _T.IMPLANT: _Row(_R.BREAST_IMPLANT, 60, 45, 2),
}
_FAT = (
    Tissue.SUBCUTANEOUS_FAT,
    Tissue.MUSCLE_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.MEDIASTINAL_FAT,
    Tissue.EPICARDIAL_FAT,
)

REGION_OF: NDArray[np.uint8] = np.array([_ROWS[t].region for t in Tissue], np.uint8)
"""Body region per tissue id."""


@dataclass(frozen=True, eq=False)
class Palette:
    """Hounsfield units of one scan: mean and texture per tissue id."""

    mean: Floats
    texture: Floats


def draw_palette(rng: np.random.Generator, *, contrast: float, oral: float) -> Palette:
    """Draw the tissue values of a scan.

    Args:
        rng: Source of the differences between patients.
        contrast: Intravenous contrast, 0 for none to about 1.3.
        oral: Oral contrast in the bowel, 0 for none.
    """
    rows = [_ROWS[tissue] for tissue in Tissue]
    uptake = contrast * rng.uniform(0.7, 1.2, len(rows))
    mean = np.array(
        [r.hu + rng.normal(0, r.spread) + u * r.uptake for r, u in zip(rows, uptake, strict=True)]
    )
    mean[list(_FAT)] += rng.normal(-105, 5)  # rows of fat are relative to the patient's own
    mean[Tissue.BOWEL_FLUID] += 230 * oral
    texture = np.array([r.texture for r in rows])
    return Palette(mean.astype(np.float32), texture.astype(np.float32))
