"""What the case table says of one CT, and the licence its pixels came under."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..folds import Fold
from .licenses import License, license_of

Sex: TypeAlias = Literal["female", "male"]
AnatomicRegion: TypeAlias = Literal["abdomen", "thorax", "wholebody"]

PHANTOM_DESCRIPTION = "SYNTHETIC PHANTOM, not a patient"
"""What the header of their NIfTI files says."""


@dataclass(frozen=True)
class Case:
    """One row of the Segmentation Info CSV.

    Attributes:
        case_id: ``case_000`` to ``case_899``.
        patient_id: The collection's own patient name; 16 patients have more than one CT.
        orientation: Orientation code of the label maps, ``LPS`` or ``LAI``.
        fold: The published group, which ``saros_hf.folds`` turns into a split.
    """

    case_id: str
    study_instance_uid: str
    series_instance_uid: str
    collection: str
    patient_id: str
    sex: Sex
    anatomic_region: AnatomicRegion
    has_breast_implant: bool
    orientation: str
    fold: Fold

    @property
    def license(self) -> License:
        """Licence of the CT in NCI Imaging Data Commons v25; the label maps are CC BY 4.0."""
        return license_of(self.collection)
