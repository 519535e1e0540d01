"""What the case table says of one CT, and the licence its pixels came under."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .folds import Fold

Sex: TypeAlias = Literal["female", "male"]
AnatomicRegion: TypeAlias = Literal["abdomen", "thorax", "wholebody"]
License: TypeAlias = Literal[
    "CC BY 3.0", "CC BY 4.0", "CC BY-NC 3.0", "NIH controlled access", "synthetic", "unknown"
]

PHANTOM_COLLECTION = "SYNTHETIC-PHANTOM"
"""Collection name of generated cases, so that nobody takes them for patients."""
PHANTOM_DESCRIPTION = "SYNTHETIC PHANTOM, not a patient"
"""What the header of their NIfTI files says."""

_COLLECTIONS: dict[License, tuple[str, ...]] = {
    "CC BY 3.0": (
        "ACRIN-FLT-Breast",
        "ACRIN-NSCLC-FDG-PET",
        "Anti-PD-1_Lung",
        "C4KC-KiTS",
        "LIDC-IDRI",
        "NSCLC Radiogenomics",
        "Pancreas-CT",
        "Soft-tissue-Sarcoma",
        "TCGA-LIHC",
        "TCGA-LUAD",
        "TCGA-LUSC",
        "TCGA-STAD",
        "TCGA-UCEC",
    ),
    "CC BY 4.0": (
        "COVID-19-NY-SBU",
        "CPTAC-CM",
        "CPTAC-LSCC",
        "CPTAC-LUAD",
        "CPTAC-PDA",
        "CPTAC-UCEC",
        "Lung-PET-CT-Dx",
    ),
    "CC BY-NC 3.0": ("NSCLC-Radiomics", "NSCLC-Radiomics-Genomics"),
    "NIH controlled access": (
        "ACRIN-HNSCC-FDG-PET-CT",
        "Anti-PD-1_MELANOMA",
        "HNSCC",
        "Head-Neck Cetuximab",
        "QIN-HEADNECK",
        "TCGA-HNSC",
    ),
    "synthetic": (PHANTOM_COLLECTION,),
}
_LICENSE_OF = {name: license_ for license_, names in _COLLECTIONS.items() for name in names}


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
        return _LICENSE_OF.get(self.collection, "unknown")
