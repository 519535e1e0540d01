"""What made a label map: noted in its header, so that maps of other models and CTs are told apart."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from saros_hf.errors import UnreadableFileError
from saros_hf.files import sha256
from saros_hf.nifti import read_description

_DIGITS = 16
_NOTE = re.compile(rf"predicted by saros-hf(?: ([0-9a-f]{{{_DIGITS}}}) ([0-9a-f]{{{_DIGITS}}}))?$")
_NEVER_DICOM = (".nii", ".nii.gz", ".png", ".txt")
"""Files that a prediction writes, maybe into the folder of the series itself."""


class Origin(NamedTuple):
    """What decides the voxels of a label map; both parts are empty if that is not known.

    Attributes:
        model: Digest of weights, input and options.
        ct: Digest of the CT's files.
    """

    model: str = ""
    ct: str = ""

    @property
    def note(self) -> str:
        """Text for the header of the label map."""
        return " ".join(["predicted by saros-hf", *filter(None, self)])


def origin_of(label_map: Path) -> Origin | None:
    """Return what made a label map, ``None`` if that was not this package."""
    try:
        found = _NOTE.search(read_description(label_map))
    except UnreadableFileError:
        return None
    return found and Origin(*(part or "" for part in found.groups()))


def digest_of_model(networks: nn.Module, *settings: object) -> str:
    """Return a digest of weights and of the settings that decide the labels."""
    whole = hashlib.sha256(repr(settings).encode())
    for name, values in networks.state_dict().items():
        whole.update(name.encode())
        whole.update(values.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()[:_DIGITS]


def digest_of_ct(source: Path) -> str:
    """Return a digest of a NIfTI file, a ZIP, or all files in a folder of DICOM."""
    if source.is_file():
        return sha256(source)[:_DIGITS]
    inside = sorted(path for path in source.rglob("*") if path.is_file())
    dicom = [path for path in inside if not path.name.endswith(_NEVER_DICOM)]
    return hashlib.sha256("".join(map(sha256, dicom)).encode()).hexdigest()[:_DIGITS]
