"""Labels of the two SAROS label maps (paper, Table 2): ids, names and display colours.

A *region* is a tissue, cavity or organ of ``body-regions.nii.gz``. A *part* is the head, the torso
or a limb in ``body-parts.nii.gz``. A *task* is one of these two label maps.
"""

from enum import IntEnum
from typing import Literal, TypeAlias

__all__ = [
    "IGNORE_INDEX",
    "MIRRORED_PARTS",
    "TASKS",
    "BodyPart",
    "BodyRegion",
    "Label",
    "Task",
    "colours",
    "display_name",
    "label_names",
    "labels",
    "num_classes",
]

Task: TypeAlias = Literal["body-regions", "body-parts"]
TASKS: tuple[Task, ...] = ("body-regions", "body-parts")

IGNORE_INDEX = 255
"""Value of every voxel in an axial slice without annotation."""


class BodyRegion(IntEnum):
    """Labels of ``body-regions.nii.gz``."""

    BACKGROUND = 0
    SUBCUTANEOUS_TISSUE = 1
    MUSCLE = 2
    ABDOMINAL_CAVITY = 3
    THORACIC_CAVITY = 4
    BONES = 5
    PAROTID_GLANDS = 6
    PERICARDIUM = 7
    BREAST_IMPLANT = 8
    MEDIASTINUM = 9
    BRAIN = 10
    SPINAL_CORD = 11
    THYROID_GLANDS = 12
    SUBMANDIBULAR_GLANDS = 13


class BodyPart(IntEnum):
    """Labels of ``body-parts.nii.gz``; left and right are the patient's."""

    BACKGROUND = 0
    TORSO = 1
    HEAD = 2
    LEG_RIGHT = 3
    LEG_LEFT = 4
    ARM_RIGHT = 5
    ARM_LEFT = 6


Label: TypeAlias = BodyRegion | BodyPart

MIRRORED_PARTS: tuple[tuple[BodyPart, BodyPart], ...] = (
    (BodyPart.LEG_RIGHT, BodyPart.LEG_LEFT),
    (BodyPart.ARM_RIGHT, BodyPart.ARM_LEFT),
)
"""Label pairs that swap when an image is flipped left to right."""

_COLOURS: dict[Task, tuple[str, ...]] = {
    "body-regions": (
        "#000000",  # background
        "#e6c229",  # subcutaneous tissue
        "#c0392b",  # muscle
        "#27ae60",  # abdominal cavity
        "#2e86de",  # thoracic cavity
        "#f5f0e1",  # bones
        "#e67e22",  # parotid glands
        "#8e1b4f",  # pericardium
        "#ff7ac6",  # breast implant
        "#7d5fff",  # mediastinum
        "#1abc9c",  # brain
        "#fffa65",  # spinal cord
        "#00d8d6",  # thyroid glands
        "#a0522d",  # submandibular glands
    ),
    "body-parts": (
        "#000000",  # background
        "#d63031",  # torso
        "#27ae60",  # head
        "#f1c40f",  # right leg
        "#2e86de",  # left leg
        "#fd79a8",  # right arm
        "#00cec9",  # left arm
    ),
}


def labels(task: Task) -> tuple[Label, ...]:
    """Return the labels of a task in the order of their ids, background first."""
    return tuple(BodyRegion) if task == "body-regions" else tuple(BodyPart)


def num_classes(task: Task) -> int:
    """Return the number of labels of a task, background included."""
    return len(labels(task))


def display_name(label: Label) -> str:
    """Return the name of a label as the paper prints it.

    Example:
        >>> display_name(BodyRegion.SUBCUTANEOUS_TISSUE)
        'Subcutaneous Tissue'
    """
    return label.name.replace("_", " ").title()


def label_names(task: Task) -> list[str]:
    """Return the names of a task's labels; the index is the id.

    Example:
        >>> label_names("body-parts")[:4]
        ['background', 'torso', 'head', 'leg_right']
    """
    return [label.name.lower() for label in labels(task)]


def colours(task: Task) -> tuple[str, ...]:
    """Return one ``#rrggbb`` colour per label id; the background is black."""
    return _COLOURS[task]
