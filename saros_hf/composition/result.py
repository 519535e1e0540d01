"""Results of a measurement: volumes, slices, levels, ratios and flags, with units in the names.

A value is NaN where it is not known; it is 0 only where a tissue is truly absent from a region that
the label map shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..labels import BodyPart
from ..volume import Volume
from .levels import LevelWay

__all__ = [
    "EXTENTS",
    "Area",
    "Composition",
    "Flag",
    "FlagName",
    "HuStatistics",
    "LevelRow",
    "RatioRow",
    "Severity",
    "SliceRow",
    "VolumeRow",
]

_LIMBS = (BodyPart.LEG_RIGHT, BodyPart.LEG_LEFT, BodyPart.ARM_RIGHT, BodyPart.ARM_LEFT)

EXTENTS: Mapping[str, tuple[BodyPart, ...]] = {
    "whole": tuple(BodyPart),
    "without_limbs": tuple(part for part in BodyPart if part not in _LIMBS),
    "torso": (BodyPart.TORSO,),
    "head": (BodyPart.HEAD,),
    **{part.name.lower(): (part,) for part in _LIMBS},
}
"""Parts of the scan that are measured. All but the whole need a label map of body parts."""

SLICE_EXTENTS = ("whole", "without_limbs", "torso")
"""Those of them that are measured in slices and at levels."""

Severity: TypeAlias = Literal["note", "warning"]
"""A note says what the numbers cover, a warning that some may be wrong."""

FlagName: TypeAlias = Literal[
    "scan-edge", "field-of-view", "missing", "sparse", "few-slices", "arms", "level", "attenuation"
]


@dataclass(frozen=True)
class Flag:
    """Something to know before the numbers are used."""

    name: FlagName
    severity: Severity
    text: str


@dataclass(frozen=True)
class HuStatistics:
    """HU of the voxels of a structure; NaN if there are none."""

    mean_hu: float
    sd_hu: float
    min_hu: float
    first_quartile_hu: float
    median_hu: float
    third_quartile_hu: float
    max_hu: float


@dataclass(frozen=True)
class VolumeRow:
    """The volume of a tissue or body region in a part of the scan.

    Attributes:
        extent: Part of the scan, see :data:`EXTENTS`.
        kind: Whether the structure is a tissue or a body region.
        structure: Name of the tissue or body region.
        volume_ml: Sum of the slices' areas times the gaps they stand for.
        standard_error_ml: Error of the volume by the slices that are not annotated; 0 if all are.
        low_95_ml: Lower limit of the 95 % interval by that error.
        high_95_ml: Upper limit.
        one_voxel_ml: Volume of the outermost voxels of its regions in the slices: what moving the
            contours inwards by one voxel would take away.
        hu: HU of its voxels.
        incomplete: What cuts it, ``scan edge``, ``field of view`` or both; empty if nothing does.
        missing: Whether the label maps show no voxel of its regions or of the extent.
    """

    extent: str
    kind: Literal["tissue", "region"]
    structure: str
    volume_ml: float
    standard_error_ml: float
    low_95_ml: float
    high_95_ml: float
    one_voxel_ml: float
    hu: HuStatistics
    incomplete: str
    missing: bool


@dataclass(frozen=True)
class Area:
    """A tissue in a slice, or its mean over several slices.

    Attributes:
        area_cm2: Area.
        one_voxel_cm2: Area of the outermost pixels of its regions.
        mean_hu: Mean HU, NaN if the area is 0.
    """

    area_cm2: float
    one_voxel_cm2: float
    mean_hu: float


@dataclass(frozen=True)
class SliceRow:
    """The tissues of an annotated slice.

    Attributes:
        slice: Index along k, from 0.
        height_mm: Height of its centre in the patient's coordinates, as DICOM states it.
        extent: ``whole``, ``without_limbs`` or ``torso``.
        truncated_share: Share of the body's contour at the edge of the field of view.
        tissues: Every tissue by name.
    """

    slice: int
    height_mm: float
    extent: str
    truncated_share: float
    tissues: Mapping[str, Area]


@dataclass(frozen=True)
class LevelRow:
    """The tissues at a level of the spine.

    Attributes:
        level: ``L3``, ``slice 57`` or ``-804.5 mm``.
        way: How the level is measured, see :data:`~.levels.LevelWay`.
        extent: ``whole``, ``without_limbs`` or ``torso``.
        first_slice: Index of the lowest slice, from 0.
        last_slice: Index of the highest one.
        height_mm: Mean height of the slices in the patient's coordinates.
        thickness_mm: Thickness of all its slices together.
        truncated_share: Largest share of the contour at the edge of the field of view.
        muscle_index_cm2_per_m2: Muscle area over the square of the height, NaN without a height.
        incomplete: What cuts the level, see :class:`VolumeRow`.
        note: Why there is no value, empty if there is one.
        tissues: Every tissue by name.
    """

    level: str
    way: LevelWay
    extent: str
    first_slice: int
    last_slice: int
    height_mm: float
    thickness_mm: float
    truncated_share: float
    muscle_index_cm2_per_m2: float
    incomplete: str
    note: str
    tissues: Mapping[str, Area]


@dataclass(frozen=True)
class RatioRow:
    """The ratio of two tissues' volumes in a part of the scan."""

    extent: str
    ratio: str
    value: float


@dataclass(frozen=True, eq=False)
class Composition:
    """The body composition of one CT.

    Attributes:
        volumes: Tissues and body regions in every extent.
        ratios: Ratios in every extent.
        slices: Tissues in every annotated slice.
        levels: Tissues at every level of the spine.
        flags: What to know before the numbers are used.
        tissue_map: Label map of the tissues on the CT's grid.
        spacing_mm: Distance between voxels along i, j and k.
        slices_in_scan: Number of slices of the CT.
        slices_measured: Number of annotated slices; the volumes are estimates if it is less.
        height_cm: Height of the patient, ``None`` if not given.
        median_filter: Whether tissues were decided by the in-plane 3x3 median of the CT.
    """

    volumes: tuple[VolumeRow, ...]
    ratios: tuple[RatioRow, ...]
    slices: tuple[SliceRow, ...]
    levels: tuple[LevelRow, ...]
    flags: tuple[Flag, ...]
    tissue_map: Volume
    spacing_mm: tuple[float, float, float]
    slices_in_scan: int
    slices_measured: int
    height_cm: float | None
    median_filter: bool

    def volume(
        self,
        structure: str,
        extent: str = "whole",
        *,
        kind: Literal["tissue", "region"] = "tissue",
    ) -> VolumeRow:
        """Return the row of a tissue or body region."""
        wanted = (structure, extent, kind)
        return next(r for r in self.volumes if (r.structure, r.extent, r.kind) == wanted)
