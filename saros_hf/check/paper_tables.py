"""Tables 1 and 3 of the paper (Koitka et al., Scientific Data 2024)."""

from collections.abc import Iterator, Mapping

from ..folds import FOLDS
from ..labels import TASKS, Label, Task, display_name, labels
from .label_counts import LabelTable, Presence

NUM_CASES = 900

TABLE_1: Mapping[str, tuple[int, int, int]] = {
    "ACRIN-FLT-Breast": (0, 0, 32),
    "ACRIN-HNSCC-FDG-PET-CT": (0, 0, 48),
    "ACRIN-NSCLC-FDG-PET": (0, 78, 51),
    "Anti-PD-1_Lung": (0, 0, 12),
    "Anti-PD-1_MELANOMA": (0, 0, 2),
    "C4KC-KiTS": (175, 0, 0),
    "COVID-19-NY-SBU": (0, 0, 1),
    "CPTAC-CM": (0, 0, 1),
    "CPTAC-LSCC": (0, 0, 3),
    "CPTAC-LUAD": (0, 0, 1),
    "CPTAC-PDA": (8, 0, 0),
    "CPTAC-UCEC": (25, 0, 1),
    "HNSCC": (0, 0, 17),
    "Head-Neck Cetuximab": (0, 0, 12),
    "LIDC-IDRI": (0, 133, 0),
    "Lung-PET-CT-Dx": (0, 15, 2),
    "NSCLC Radiogenomics": (0, 0, 7),
    "NSCLC-Radiomics": (0, 56, 0),
    "NSCLC-Radiomics-Genomics": (0, 18, 2),
    "Pancreas-CT": (58, 0, 0),
    "QIN-HEADNECK": (0, 0, 94),
    "Soft-tissue-Sarcoma": (0, 0, 6),
    "TCGA-HNSC": (0, 0, 1),
    "TCGA-LIHC": (32, 0, 1),
    "TCGA-LUAD": (0, 0, 2),
    "TCGA-LUSC": (0, 0, 3),
    "TCGA-STAD": (2, 0, 0),
    "TCGA-UCEC": (0, 0, 1),
}
"""CTs of the abdomen, thorax and whole body per collection, named as in the case table."""

# Label, then CTs/slices with it in fold-1 to fold-5, test, and overall.
_TABLE_3: Mapping[Task, str] = {
    "body-regions": """
Abdominal Cavity      150/1838 150/1839 150/1802 150/1759 150/1863 150/1855 900/10956
Background            150/3360 150/3429 150/3278 150/3268 150/3420 150/3395 900/20150
Bones                 150/3333 150/3407 150/3267 150/3249 150/3405 150/3374 900/20035
Brain                   41/186   43/206   44/191   45/210   47/213   42/181  262/1187
Breast Implant            3/11     3/16     3/12     3/12     3/16     3/16     18/83
Mediastinum           150/1185 150/1202 150/1204 150/1196 150/1197 150/1213  900/7197
Muscle                150/3327 150/3396 150/3262 150/3242 150/3398 150/3367 900/19992
Parotid Glands          48/106   45/100    45/91    45/98   48/109    43/96   274/600
Pericardium            143/576  148/594  148/588  149/593  149/583  147/588  884/3522
Spinal Cord           150/2552 150/2558 150/2526 150/2506 150/2561 150/2584 900/15287
Subcutaneous Tissue   150/3335 150/3407 150/3267 150/3249 150/3404 150/3374 900/20036
Submandibular Glands     49/67    46/56    47/61    46/62    44/59    43/57   275/362
Thoracic Cavity       150/1386 150/1416 150/1417 150/1412 150/1420 150/1415  900/8466
Thyroid Glands          98/166  100/186   96/167   96/176   98/173   99/195  587/1063
""",
    "body-parts": """
Arm Left                98/941 100/1028  97/1029   99/928  100/997  99/1011  593/5934
Arm Right              100/969  98/1033  98/1000   98/929   99/981   99/967  592/5879
Background            150/3360 150/3429 150/3278 150/3268 150/3420 150/3395 900/20150
Head                    75/414   81/437   73/407   79/434   88/465   78/413  474/2570
Leg Left                65/283   68/324   63/248   58/240   70/277   70/274  394/1646
Leg Right               65/284   68/322   63/247   59/240   71/279   71/273  397/1645
Torso                 150/2848 150/2860 150/2820 150/2764 150/2899 150/2905 900/17096
""",
}


def _rows() -> Iterator[tuple[Task, Label, list[Presence]]]:
    for task, text in _TABLE_3.items():
        by_name = {display_name(label): label for label in labels(task)}
        for line in text.strip().splitlines():
            words = line.split()
            pairs = [word.split("/") for word in words[-len(FOLDS) - 1 :]]
            label = by_name[" ".join(words[: -len(pairs)])]
            yield task, label, [Presence(int(cts), int(slices)) for cts, slices in pairs]


_CELLS = {
    (task, label, fold): presence
    for task, label, row in _rows()
    for fold, presence in zip(FOLDS, row[:-1], strict=True)
}
TABLE_3 = LabelTable(
    cells=_CELLS,
    cases={
        (task, fold): _CELLS[task, labels(task)[0], fold].cts for task in TASKS for fold in FOLDS
    },
)
"""CTs and annotated slices with each label; 20,150 slices in all.

The paper's text gives 20,157 annotated slices elsewhere.
"""

TABLE_3_OVERALL: Mapping[tuple[Task, Label], Presence] = {
    (task, label): row[-1] for task, label, row in _rows()
}
"""The printed column of Table 3 with the sums over the folds."""
