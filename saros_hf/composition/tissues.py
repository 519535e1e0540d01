"""Tissues as data: which Hounsfield units of which body region are muscle, bone or adipose tissue.

The rules are those of the paper's pipeline (Figure 3) as its authors' tool BOA applies them. Limits
are half-open, and HU are rounded to integers first, so that no value falls between two tissues.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..labels import BodyRegion

__all__ = ["RATIOS", "TISSUES", "HuRange", "Ratio", "Tissue", "hounsfield"]

_AIR_HU = -1024


@dataclass(frozen=True)
class HuRange:
    """The voxels of a body region with ``low_hu <= HU < end_hu``."""

    region: BodyRegion
    low_hu: int
    end_hu: int


@dataclass(frozen=True)
class Tissue:
    """A tissue, and where it is found.

    Attributes:
        name: Name in columns and files.
        title: Name in reports.
        ranges: Voxels that belong to it.
        map_label: Label in the tissue map, BOA's id; 0 for a tissue made of others or within one.
    """

    name: str
    title: str
    ranges: tuple[HuRange, ...]
    map_label: int = 0

    @property
    def regions(self) -> tuple[BodyRegion, ...]:
        """Body regions in which the tissue is found."""
        return tuple(one.region for one in self.ranges)


@dataclass(frozen=True)
class Ratio:
    """The quotient of two tissues' volumes."""

    name: str
    numerator: str
    denominator: str


def _adipose(region: BodyRegion) -> HuRange:
    return HuRange(region, -190, -29)


_ADIPOSE = (
    Tissue(
        "subcutaneous_adipose",
        "Subcutaneous adipose tissue",
        (_adipose(BodyRegion.SUBCUTANEOUS_TISSUE),),
        map_label=3,
    ),
    Tissue(
        "visceral_adipose",
        "Visceral adipose tissue",
        (_adipose(BodyRegion.ABDOMINAL_CAVITY),),
        map_label=4,
    ),
    Tissue(
        "intermuscular_adipose",
        "Intermuscular adipose tissue",
        (_adipose(BodyRegion.MUSCLE),),
        map_label=5,
    ),
    Tissue(
        "paracardial_adipose",
        "Paracardial adipose tissue",
        (_adipose(BodyRegion.MEDIASTINUM),),
        map_label=6,
    ),
    Tissue(
        "epicardial_adipose",
        "Epicardial adipose tissue",
        (_adipose(BodyRegion.PERICARDIUM),),
        map_label=7,
    ),
)

TISSUES: tuple[Tissue, ...] = (
    Tissue("muscle", "Muscle", (HuRange(BodyRegion.MUSCLE, -29, 151),), map_label=1),
    Tissue(
        "low_attenuation_muscle",
        "Low attenuation muscle",
        (HuRange(BodyRegion.MUSCLE, -29, 30),),
    ),
    Tissue(
        "normal_attenuation_muscle",
        "Normal attenuation muscle",
        (HuRange(BodyRegion.MUSCLE, 30, 151),),
    ),
    Tissue("bone", "Bone", (HuRange(BodyRegion.BONES, -1000, 3001),), map_label=2),
    *_ADIPOSE,
    Tissue(
        "total_adipose",
        "Total adipose tissue",
        tuple(one for tissue in _ADIPOSE for one in tissue.ranges),
    ),
)
"""All tissues in the order of the tables."""

RATIOS = (
    Ratio("muscle_to_bone", "muscle", "bone"),
    Ratio("muscle_to_total_adipose", "muscle", "total_adipose"),
    Ratio("bone_to_total_adipose", "bone", "total_adipose"),
    Ratio("visceral_to_subcutaneous_adipose", "visceral_adipose", "subcutaneous_adipose"),
    Ratio("intermuscular_to_total_adipose", "intermuscular_adipose", "total_adipose"),
    Ratio("low_attenuation_to_all_muscle", "low_attenuation_muscle", "muscle"),
)
"""Ratios of bone, muscle and adipose tissues, which the paper names as biomarkers."""


def hounsfield(array: NDArray[np.generic]) -> NDArray[np.int16]:
    """Return HU as int16: fractions are rounded, NaN becomes air, values beyond int16 are clipped."""
    if array.dtype == np.int16:
        return array.view(np.int16)
    numbers = np.nan_to_num(array.astype(np.float64), nan=_AIR_HU)
    return np.clip(np.rint(numbers), -32768, 32767).astype(np.int16)
