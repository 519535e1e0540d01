"""Scores of the paper's nnU-Net models, for comparison."""

from dataclasses import dataclass

from saros_hf.labels import Task


@dataclass(frozen=True)
class PaperScore:
    """One row of the paper's Table 4: means over the test CTs with the label in truth or prediction.

    Attributes:
        label: Name as in :func:`saros_hf.labels.label_names`.
        dice: Dice score.
        nsd: NSD at 3 mm, comparable only with the protocol ``published``.
    """

    label: str
    dice: float
    nsd: float


TABLE_4: dict[Task, tuple[PaperScore, ...]] = {
    "body-regions": (
        PaperScore("subcutaneous_tissue", 0.980, 0.995),
        PaperScore("muscle", 0.971, 0.994),
        PaperScore("abdominal_cavity", 0.988, 0.997),
        PaperScore("thoracic_cavity", 0.988, 0.997),
        PaperScore("bones", 0.974, 0.996),
        PaperScore("parotid_glands", 0.762, 0.848),
        PaperScore("pericardium", 0.966, 0.985),
        PaperScore("breast_implant", 0.585, 0.599),
        PaperScore("mediastinum", 0.906, 0.957),
        PaperScore("brain", 0.991, 0.997),
        PaperScore("spinal_cord", 0.955, 0.986),
        PaperScore("thyroid_glands", 0.825, 0.931),
        PaperScore("submandibular_glands", 0.560, 0.651),
    ),
    "body-parts": (
        PaperScore("torso", 0.992, 0.995),
        PaperScore("head", 0.739, 0.764),
        PaperScore("leg_right", 0.954, 0.957),
        PaperScore("leg_left", 0.942, 0.945),
        PaperScore("arm_right", 0.868, 0.905),
        PaperScore("arm_left", 0.856, 0.889),
    ),
}
"""Means of each label from Koitka et al., Scientific Data 2024, Table 4, in order of label ids."""

TABLE_4_AVERAGE: dict[Task, PaperScore] = {
    "body-regions": PaperScore("average", 0.881, 0.918),
    "body-parts": PaperScore("average", 0.892, 0.909),
}
"""The row "Average" of the same table, as printed."""
