"""Note in the header of a label map which model and CT made it, to recognise those of others."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from saros_hf.errors import UnreadableFileError
from saros_hf.files import sha256
from saros_hf.nifti import SUFFIXES, read_description, read_labels
from saros_hf.volume import Volume

_DIGITS = 12
"""Three digests fit in the 79 characters of the header's field."""
_UNKNOWN = "0" * _DIGITS
_NOTE = re.compile("predicted by saros-hf" + rf" ([0-9a-f]{{{_DIGITS}}})" * 3)
_NEVER_DICOM = (*SUFFIXES, ".png", ".txt")
"""Files that a prediction writes, maybe into the folder of the series itself."""


@dataclass(frozen=True)
class Origin:
    """The model and the CT that decide the voxels of a label map, as far as they are known.

    Attributes:
        model: Digest of weights, input and options.
        ct: Digest of the CT's files.
    """

    model: str = _UNKNOWN
    ct: str = _UNKNOWN

    def note(self, labels: Volume) -> str:
        """Return the text for the header of a label map."""
        return f"predicted by saros-hf {self.model} {self.ct} {_digest_of_voxels(labels)}"


def origin_of(label_map: Path) -> Origin | None:
    """Return what made a label map, ``None`` if that was not this package."""
    note = _note_in(label_map)
    return note and Origin(note[1], note[2])


def is_untouched(label_map: Path) -> bool:
    """Return whether this package made a label map, and nobody changed it since."""
    note = _note_in(label_map)
    return note is not None and note[3] == _digest_of_voxels(read_labels(label_map))


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


def _note_in(label_map: Path) -> re.Match[str] | None:
    try:
        return _NOTE.search(read_description(label_map))
    except UnreadableFileError:
        return None


def _digest_of_voxels(labels: Volume) -> str:
    voxels = np.ascontiguousarray(labels.array, np.uint8)
    return hashlib.sha256(voxels.data).hexdigest()[:_DIGITS]
