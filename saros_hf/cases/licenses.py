"""Licence and DOI of each source collection, and the groups to filter and publish CTs by."""

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
"""Licences under which CTs may be published, by group."""

PHANTOM_COLLECTION = "SYNTHETIC-PHANTOM"
"""Collection name of generated cases, which no patient can be mistaken for."""

_COLLECTIONS: Mapping[str, tuple[License, str]] = {
    "ACRIN-FLT-Breast": ("CC BY 3.0", "10.7937/K9/TCIA.2017.ol20zmxg"),
    "ACRIN-HNSCC-FDG-PET-CT": ("NIH controlled access", "10.7937/K9/TCIA.2016.JQEJZZNG"),
    "ACRIN-NSCLC-FDG-PET": ("CC BY 3.0", "10.7937/tcia.2019.30ilqfcl"),
    "Anti-PD-1_Lung": ("CC BY 3.0", "10.7937/tcia.2019.zjjwb9ip"),
    "Anti-PD-1_MELANOMA": ("NIH controlled access", "10.7937/TCIA.2019.1AE0QTCU"),
    "C4KC-KiTS": ("CC BY 3.0", "10.7937/TCIA.2019.IX49E8NX"),
    "COVID-19-NY-SBU": ("CC BY 4.0", "10.7937/TCIA.BBAG-2923"),
    "CPTAC-CM": ("CC BY 4.0", "10.7937/K9/TCIA.2018.ODU24GZE"),
    "CPTAC-LSCC": ("CC BY 4.0", "10.7937/K9/TCIA.2018.6EMUB5L2"),
    "CPTAC-LUAD": ("CC BY 4.0", "10.7937/K9/TCIA.2018.PAT12TBS"),
    "CPTAC-PDA": ("CC BY 4.0", "10.7937/K9/TCIA.2018.SC20FO18"),
    "CPTAC-UCEC": ("CC BY 4.0", "10.7937/K9/TCIA.2018.3R3JUISW"),
    "HNSCC": ("NIH controlled access", "10.7937/K9/TCIA.2020.A8SH-7363"),
    "Head-Neck Cetuximab": ("NIH controlled access", "10.7937/K9/TCIA.2015.7AKGJUPZ"),
    "LIDC-IDRI": ("CC BY 3.0", "10.7937/K9/TCIA.2015.LO9QL9SX"),
    "Lung-PET-CT-Dx": ("CC BY 4.0", "10.7937/TCIA.2020.NNC2-0461"),
    "NSCLC Radiogenomics": ("CC BY 3.0", "10.7937/K9/TCIA.2017.7hs46erv"),
    "NSCLC-Radiomics": ("CC BY-NC 3.0", "10.7937/K9/TCIA.2015.PF0M9REI"),
    "NSCLC-Radiomics-Genomics": ("CC BY-NC 3.0", "10.7937/K9/TCIA.2015.L4FRET6Z"),
    "Pancreas-CT": ("CC BY 3.0", "10.7937/K9/TCIA.2016.tNB1kqBU"),
    "QIN-HEADNECK": ("NIH controlled access", "10.7937/K9/TCIA.2015.K0F5CGLI"),
    "Soft-tissue-Sarcoma": ("CC BY 3.0", "10.7937/K9/TCIA.2015.7GO2GSKS"),
    "TCGA-HNSC": ("NIH controlled access", "10.7937/K9/TCIA.2016.LXKQ47MS"),
    "TCGA-LIHC": ("CC BY 3.0", "10.7937/K9/TCIA.2016.IMMQW8UQ"),
    "TCGA-LUAD": ("CC BY 3.0", "10.7937/K9/TCIA.2016.JGNIHEP5"),
    "TCGA-LUSC": ("CC BY 3.0", "10.7937/K9/TCIA.2016.TYGKKFMQ"),
    "TCGA-STAD": ("CC BY 3.0", "10.7937/K9/TCIA.2016.GDHL9KIM"),
    "TCGA-UCEC": ("CC BY 3.0", "10.7937/K9/TCIA.2016.GKJ0ZWAC"),
}
"""Licence of the CTs and DOI of the 28 collections, by their names in the case table.

Public collections follow NCI Imaging Data Commons v25, the six under controlled access the
references of the paper.
"""

SOURCE_DOI: Mapping[str, str] = {name: doi for name, (_, doi) in _COLLECTIONS.items()}
"""DOI by which each collection is cited."""


def license_of(collection: str) -> License:
    """Return the licence of a collection's CTs, ``unknown`` if SAROS has no such collection."""
    if collection == PHANTOM_COLLECTION:
        return "synthetic"
    return _COLLECTIONS[collection][0] if collection in _COLLECTIONS else "unknown"
