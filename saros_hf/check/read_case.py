"""Read the files of one case whole, and tell what is wrong with them instead of raising it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..cases.files import CaseFiles
from ..cases.source import SOURCE_NAME, source_uid
from ..errors import MissingFileError, SarosError, UnknownLabelError
from ..labels import Task
from ..nifti import read_image, read_mask
from ..volume import Volume
from .case_checks import Check, CtSummary, Finding, check_case
from .label_counts import LabelCounts, count_labels

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class CheckedCase:
    """What reading a case brought to light.

    Attributes:
        files: The case and its folder.
        findings: What is wrong with it, or worth knowing.
        counts: One entry for each label map that could be read.
        has_body_parts: Whether there is a body parts map, readable or not.
    """

    files: CaseFiles
    findings: tuple[Finding, ...]
    counts: tuple[LabelCounts, ...]
    has_body_parts: bool


def read_and_check(files: CaseFiles) -> CheckedCase:
    """Read every file of a case to its last byte and check what they say.

    An unreadable file is a finding, and the others are checked without it.
    """
    reader = _Reader(files.case.case_id)
    masks: dict[Task, Volume] = {}
    ct = reader.read(files.image, _summary)
    has_body_parts = files.body_parts is not None
    tasks: tuple[Task, ...] = (
        ("body-regions", "body-parts") if has_body_parts else ("body-regions",)
    )
    for task in tasks:
        mask = reader.read(files.mask(task), partial(read_mask, task=task))
        if mask is not None:
            masks[task] = mask
    reader.check_source(files)
    found = check_case(
        files.case, ct=ct, regions=masks.get("body-regions"), parts=masks.get("body-parts")
    )
    return CheckedCase(
        files=files,
        findings=(*reader.findings, *found),
        counts=tuple(count_labels(mask.array, task) for task, mask in masks.items()),
        has_body_parts=has_body_parts,
    )


@dataclass
class _Reader:
    """Reads files of a case and keeps what goes wrong."""

    case_id: str
    findings: list[Finding] = field(default_factory=list)

    def read(self, path: Path, how: Callable[[Path], _Read]) -> _Read | None:
        """Return what ``how`` makes of a file, ``None`` if it is not there or damaged."""
        try:
            return how(path)
        except MissingFileError:
            self._add("missing-file", f"no {path.name}")
        except UnknownLabelError as error:
            self._add("unknown-label", _told(path, error))
        except (SarosError, OSError) as error:
            self._add("unreadable-file", _told(path, error))
        return None

    def check_source(self, files: CaseFiles) -> None:
        """Compare the series that the CT was converted from with that of the case table."""
        expected = files.case.series_instance_uid
        try:
            found = source_uid(files.folder)
        except (SarosError, OSError) as error:
            self._add("source", _told(files.folder / SOURCE_NAME, error))
            return
        if found not in ("", expected):
            self._add("source", f"CT of series {found}, the case table says {expected}")

    def _add(self, check: Check, message: str) -> None:
        self.findings.append(Finding(self.case_id, check, message))


def _summary(path: Path) -> CtSummary:
    image = read_image(path)
    return CtSummary(
        grid=Volume(np.broadcast_to(np.int16(0), image.shape), image.affine),
        lowest_hu=int(image.array.min()),
        highest_hu=int(image.array.max()),
    )


def _told(path: Path, error: SarosError | OSError) -> str:
    if isinstance(error, SarosError):
        return f"{path.name}: found {error.found}, expected {error.expected}"
    return f"{path.name} cannot be read ({type(error).__name__}: {error})"
