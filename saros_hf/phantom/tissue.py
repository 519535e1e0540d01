"""Tissues of the phantom, with their SAROS labels and Hounsfield units.

All fat has the same Hounsfield units, and muscle, organs and glands overlap, so that thresholds
cannot separate the labels.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyRegion
from .geometry import Floats


class Tissue(IntEnum):
    """Tissues of the finely sampled phantom, numbered from 0.

    Attributes:
        region: Body region that the tissue is labelled as.
        hu: Mean in Hounsfield units; fat is relative to the fat of the patient.
        spread: Standard deviation of the mean between patients.
        texture: Standard deviation within the tissue.
        uptake: Rise in HU with full intravenous contrast.
    """

    region: BodyRegion
    hu: float
    spread: float
    texture: float
    uptake: float

    def __new__(
        cls, region: BodyRegion, hu: float, spread: float, texture: float, uptake: float = 0.0
    ) -> Self:
        """Number the members in the order of their definition."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.region, member.hu, member.spread = region, hu, spread
        member.texture, member.uptake = texture, uptake
        return member

    AIR = BodyRegion.BACKGROUND, -1000, 0, 0
    TABLE_SHELL = BodyRegion.BACKGROUND, 60, 60, 20
    TABLE_FOAM = BodyRegion.BACKGROUND, -900, 40, 5
    SKIN = BodyRegion.SUBCUTANEOUS_TISSUE, 10, 15, 15
    SUBCUTANEOUS_FAT = BodyRegion.SUBCUTANEOUS_TISSUE, 0, 2, 7
    BREAST_GLAND = BodyRegion.SUBCUTANEOUS_TISSUE, 15, 15, 15, 20
    MUSCLE = BodyRegion.MUSCLE, 52, 5, 9, 9
    MUSCLE_FAT = BodyRegion.MUSCLE, 22, 8, 12
    NECK_VESSEL = BodyRegion.MUSCLE, 43, 3, 3, 125
    AIRWAY = BodyRegion.MUSCLE, -960, 10, 0
    EYE = BodyRegion.MUSCLE, 12, 3, 3
    CORTEX = BodyRegion.BONES, 680, 90, 70
    MARROW = BodyRegion.BONES, 160, 50, 40
    CARTILAGE = BodyRegion.BONES, 110, 20, 25
    DISC = BodyRegion.BONES, 88, 8, 6, 5
    TOOTH = BodyRegion.BONES, 1700, 150, 150
    SINUS = BodyRegion.BONES, -940, 10, 0
    METAL = BodyRegion.BONES, 3071, 0, 0
    VISCERAL_FAT = BodyRegion.ABDOMINAL_CAVITY, 2, 2, 8
    LIVER = BodyRegion.ABDOMINAL_CAVITY, 54, 9, 5, 52
    SPLEEN = BodyRegion.ABDOMINAL_CAVITY, 48, 4, 4, 68
    KIDNEY = BodyRegion.ABDOMINAL_CAVITY, 33, 4, 9, 130
    PANCREAS = BodyRegion.ABDOMINAL_CAVITY, 36, 7, 18, 50
    BOWEL_WALL = BodyRegion.ABDOMINAL_CAVITY, 40, 6, 10, 35
    BOWEL_FLUID = BodyRegion.ABDOMINAL_CAVITY, 18, 10, 12
    FAECES = BodyRegion.ABDOMINAL_CAVITY, -20, 40, 90
    BOWEL_GAS = BodyRegion.ABDOMINAL_CAVITY, -920, 20, 0
    BILE = BodyRegion.ABDOMINAL_CAVITY, 9, 5, 3
    URINE = BodyRegion.ABDOMINAL_CAVITY, 5, 3, 2
    PELVIC_ORGAN = BodyRegion.ABDOMINAL_CAVITY, 44, 5, 8, 35
    ABDOMINAL_BLOOD = BodyRegion.ABDOMINAL_CAVITY, 43, 3, 3, 115
    LUNG = BodyRegion.THORACIC_CAVITY, -830, 40, 28
    LUNG_VESSEL = BodyRegion.THORACIC_CAVITY, 30, 10, 10, 70
    MEDIASTINAL_FAT = BodyRegion.MEDIASTINUM, 4, 2, 10
    MEDIASTINAL_BLOOD = BodyRegion.MEDIASTINUM, 43, 3, 3, 125
    OESOPHAGUS = BodyRegion.MEDIASTINUM, 38, 5, 10, 15
    TRACHEA = BodyRegion.MEDIASTINUM, -970, 10, 0
    EPICARDIAL_FAT = BodyRegion.PERICARDIUM, 6, 3, 8
    MYOCARDIUM = BodyRegion.PERICARDIUM, 46, 4, 5, 55
    HEART_BLOOD = BodyRegion.PERICARDIUM, 43, 3, 4, 120
    GREY_MATTER = BodyRegion.BRAIN, 38, 2, 3, 4
    WHITE_MATTER = BodyRegion.BRAIN, 29, 2, 2, 2
    VENTRICLE = BodyRegion.BRAIN, 8, 2, 1
    CORD = BodyRegion.SPINAL_CORD, 38, 4, 3, 4
    SPINAL_FLUID = BodyRegion.SPINAL_CORD, 14, 4, 3
    PAROTID = BodyRegion.PAROTID_GLANDS, -10, 14, 20, 22
    SUBMANDIBULAR = BodyRegion.SUBMANDIBULAR_GLANDS, 46, 7, 6, 38
    THYROID = BodyRegion.THYROID_GLANDS, 104, 10, 8, 62
    IMPLANT = BodyRegion.BREAST_IMPLANT, 60, 45, 2


_FAT = (
    Tissue.SUBCUTANEOUS_FAT,
    Tissue.MUSCLE_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.MEDIASTINAL_FAT,
    Tissue.EPICARDIAL_FAT,
)

REGION_OF: NDArray[np.uint8] = np.array([tissue.region for tissue in Tissue], np.uint8)
"""Body region per tissue id."""


@dataclass(frozen=True, eq=False)
class Palette:
    """Hounsfield units of one scan: mean and texture per tissue id."""

    mean: Floats
    texture: Floats


def draw_palette(rng: np.random.Generator, *, contrast: float, oral: float) -> Palette:
    """Draw the tissue values of a scan.

    Args:
        rng: Generator for the differences between patients.
        contrast: Intravenous contrast, 0 for none to about 1.3.
        oral: Oral contrast in the bowel, 0 for none.
    """
    uptake = contrast * rng.uniform(0.7, 1.2, len(Tissue))
    mean = np.array([t.hu + rng.normal(0, t.spread) + uptake[t] * t.uptake for t in Tissue])
    mean[list(_FAT)] += rng.normal(-105, 5)
    mean[Tissue.BOWEL_FLUID] += 230 * oral
    texture = np.array([tissue.texture for tissue in Tissue])
    return Palette(mean.astype(np.float32), texture.astype(np.float32))
