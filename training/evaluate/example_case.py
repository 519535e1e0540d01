"""The case with median Dice, whose picture illustrates an evaluation on the model card."""

import json
import math
from collections.abc import Iterable, Mapping
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
"""Licences of CTs that may be shown in public."""


@dataclass(frozen=True)
class Example:
    """A picture of CT, truth and prediction.

    Attributes:
        case_id: Case id.
        collection: Collection of the CT.
        license: Licence of the CT.
        dice: Mean Dice over the labels in the truth.
        png: PNG file as bytes.
    """

    case_id: str
    collection: str
    license: str
    dice: float
    png: bytes


def median_case(
    means: Mapping[str, tuple[float, float]], cases: Mapping[str, Case], showable: Iterable[str]
) -> str | None:
    """Return the id of the case with the median Dice, ``None`` if no case may be shown.

    Args:
        means: Dice and NSD by case id.
        cases: Cases by id. Only those whose licence is CC BY both in the table and in the archive
            may be shown.
        showable: Ids of the cases that have a CT and a prediction.
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
    """Write the picture and its description, or delete old ones if there is no example."""
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
    """Return the example that :func:`write_example` wrote, ``None`` if none may be shown.

    Raises:
        ValueError: Its description is damaged.
        TypeError: Likewise.
    """
    if not (folder / PICTURE).is_file() or not (folder / ABOUT).is_file():
        return None
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    example = Example(**about, png=(folder / PICTURE).read_bytes())
    words = (example.case_id, example.collection, example.license)
    if not all(isinstance(one, str) for one in words) or not 0 <= example.dice <= 1:
        raise ValueError(f"{ABOUT} describes no case")
    return example if example.license in SHOWN else None
