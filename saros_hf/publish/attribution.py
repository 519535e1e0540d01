"""The DOI by which each source collection is cited."""

from collections.abc import Mapping

SOURCE_DOI: Mapping[str, str] = {
    "ACRIN-FLT-Breast": "10.7937/K9/TCIA.2017.ol20zmxg",
    "ACRIN-HNSCC-FDG-PET-CT": "10.7937/K9/TCIA.2016.JQEJZZNG",
    "ACRIN-NSCLC-FDG-PET": "10.7937/tcia.2019.30ilqfcl",
    "Anti-PD-1_Lung": "10.7937/tcia.2019.zjjwb9ip",
    "Anti-PD-1_MELANOMA": "10.7937/TCIA.2019.1AE0QTCU",
    "C4KC-KiTS": "10.7937/TCIA.2019.IX49E8NX",
    "COVID-19-NY-SBU": "10.7937/TCIA.BBAG-2923",
    "CPTAC-CM": "10.7937/K9/TCIA.2018.ODU24GZE",
    "CPTAC-LSCC": "10.7937/K9/TCIA.2018.6EMUB5L2",
    "CPTAC-LUAD": "10.7937/K9/TCIA.2018.PAT12TBS",
    "CPTAC-PDA": "10.7937/K9/TCIA.2018.SC20FO18",
    "CPTAC-UCEC": "10.7937/K9/TCIA.2018.3R3JUISW",
    "HNSCC": "10.7937/K9/TCIA.2020.A8SH-7363",
    "Head-Neck Cetuximab": "10.7937/K9/TCIA.2015.7AKGJUPZ",
    "LIDC-IDRI": "10.7937/K9/TCIA.2015.LO9QL9SX",
    "Lung-PET-CT-Dx": "10.7937/TCIA.2020.NNC2-0461",
    "NSCLC Radiogenomics": "10.7937/K9/TCIA.2017.7hs46erv",
    "NSCLC-Radiomics": "10.7937/K9/TCIA.2015.PF0M9REI",
    "NSCLC-Radiomics-Genomics": "10.7937/K9/TCIA.2015.L4FRET6Z",
    "Pancreas-CT": "10.7937/K9/TCIA.2016.tNB1kqBU",
    "QIN-HEADNECK": "10.7937/K9/TCIA.2015.K0F5CGLI",
    "Soft-tissue-Sarcoma": "10.7937/K9/TCIA.2015.7GO2GSKS",
    "TCGA-HNSC": "10.7937/K9/TCIA.2016.LXKQ47MS",
    "TCGA-LIHC": "10.7937/K9/TCIA.2016.IMMQW8UQ",
    "TCGA-LUAD": "10.7937/K9/TCIA.2016.JGNIHEP5",
    "TCGA-LUSC": "10.7937/K9/TCIA.2016.TYGKKFMQ",
    "TCGA-STAD": "10.7937/K9/TCIA.2016.GDHL9KIM",
    "TCGA-UCEC": "10.7937/K9/TCIA.2016.GKJ0ZWAC",
}
"""Of all 28 collections, by name as in the case table.

Of the 22 whose CTs are public as NCI Imaging Data Commons v25 lists them, of the six under
controlled access as the paper's references do; a DOI's letters mean the same in either case.
"""
