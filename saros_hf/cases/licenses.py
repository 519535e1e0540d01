"""License of each collection's CTs, and the groups that users filter and publish by."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

License: TypeAlias = Literal[
    "CC BY 3.0", "CC BY 4.0", "CC BY-NC 3.0", "NIH controlled access", "synthetic", "unknown"
]

LicenseGroup: TypeAlias = Literal["cc-by", "cc-by-nc"]
LICENSES: Mapping[LicenseGroup, tuple[License, ...]] = {
    "cc-by": ("CC BY 3.0", "CC BY 4.0", "synthetic"),
    "cc-by-nc": ("CC BY-NC 3.0",),
}
"""Licenses under which CTs may be published, by group."""

PHANTOM_COLLECTION = "SYNTHETIC-PHANTOM"
"""Collection name of generated cases, so that nobody takes them for patients."""


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


def license_of(collection: str) -> License:
    """Return the license of a collection's CTs, ``unknown`` if SAROS has no such collection."""
    return _LICENSE_OF.get(collection, "unknown")
