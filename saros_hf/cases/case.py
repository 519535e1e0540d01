"""A row of the case table, and the licence of its CT."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..folds import Fold
from .licenses import License, license_of

Sex: TypeAlias = Literal["female", "male"]
AnatomicRegion: TypeAlias = Literal["abdomen", "thorax", "wholebody"]

PHANTOM_DESCRIPTION = "SYNTHETIC PHANTOM, not a patient"
"""Header text of NIfTI files of phantoms."""


@dataclass(frozen=True)
class Case:
    """One row of the Segmentation Info CSV.

    Attributes:
        case_id: ``case_000`` to ``case_899``.
        collection: TCIA collection of the CT.
        patient_id: Pseudonym in the collection; 16 patients have more than one CT.
        orientation: Orientation code of the label maps, ``LPS`` or ``LAI``.
        fold: Published fold, from which :func:`saros_hf.folds.split_of` derives the split.
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
