"""The one case that stands for an evaluation where a single picture is shown."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from saros_hf.cases.case import Case
from saros_hf.cases.licenses import LICENSES
from saros_hf.errors import UsageError
from saros_hf.files import write_atomically
from saros_hf.publish.rights import objections, public_licenses

PICTURE, ABOUT = "example.png", "example.json"

SHOWN = LICENSES["cc-by"]
"""Licences of CTs that may be seen wherever the picture goes."""


@dataclass(frozen=True)
class Example:
    """A picture of CT, truth and prediction.

    Attributes:
        case_id: Of the case.
        collection: That its CT is from.
        license: Of the CT.
        dice: Mean over the labels in its truth.
        png: The picture.
    """

    case_id: str
    collection: str
    license: str
    dice: float
    png: bytes

    @classmethod
    def of(cls, case: Case, dice: float, png_base64: str) -> "Example":
        """Return the example of a case from its picture as pages embed it."""
        png = base64.b64decode(png_base64)
        return cls(case.case_id, case.collection, case.license, dice, png)


def median_case(
    means: Mapping[str, tuple[float, float]], cases: Mapping[str, Case], showable: Sequence[str]
) -> str | None:
    """Return the id of the case in the middle by Dice, neither the best nor the worst.

    Args:
        means: Dice and NSD by case id.
        cases: By case id; those that table and archive together do not clear are passed over.
        showable: Ids of cases with a CT and a prediction.

    Returns:
        ``None`` if no case may be shown.
    """
    rows, public = tuple(cases.values()), {}
    with suppress(UsageError):  # without the IDC index only phantoms are shown
        public = public_licenses(rows)
    hidden = objections(rows, public)
    ranked = sorted(
        (means[case_id][0], case_id)
        for case_id in showable
        if case_id not in hidden and cases[case_id].license in SHOWN
        if not math.isnan(means[case_id][0])
    )
    return ranked[len(ranked) // 2][1] if ranked else None


def write_example(folder: Path, example: Example | None) -> None:
    """Write picture and particulars, or take away those of before."""
    if example is None:
        for name in (PICTURE, ABOUT):
            (folder / name).unlink(missing_ok=True)
        return
    about = {name: value for name, value in asdict(example).items() if name != "png"}
    with write_atomically(folder / PICTURE) as aside:
        aside.write_bytes(example.png)
    with write_atomically(folder / ABOUT) as aside:
        aside.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_example(folder: Path) -> Example | None:
    """Return what :func:`write_example` wrote, ``None`` if there is none that may be shown."""
    if not (folder / PICTURE).is_file() or not (folder / ABOUT).is_file():
        return None
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    example = Example(**about, png=(folder / PICTURE).read_bytes())
    return example if example.license in SHOWN else None
