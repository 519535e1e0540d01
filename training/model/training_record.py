"""The record of a network's training, kept with its weights."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TrainingRecord:
    """Training cases and options of a network.

    Attributes:
        fold: Number of the validation fold, which was not trained on.
        collections: Number of training CTs by collection.
        licenses: Number of training CTs by licence; ``unknown`` where case table and IDC index
            differ.
        settings: Options by name, without paths.
        validation: Mean Dice over the validation cases when the weights were saved, by label and
            as ``average``; NaN and inf are dropped.
        epoch: Epoch in which the weights were saved, from 0 on.
    """

    fold: int
    collections: Mapping[str, int]
    licenses: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    epoch: int | None = None

    def __post_init__(self) -> None:
        finite = {name: one for name, one in self.validation.items() if math.isfinite(one)}
        object.__setattr__(self, "validation", finite)

    @property
    def cases(self) -> int:
        """Number of training CTs."""
        return sum(self.licenses.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, for a checkpoint or JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """Return the record that :meth:`to_dict` gave, ``None`` for ``None``.

        Raises:
            ValueError: A number is impossible.
            TypeError: A value is of another type.
        """
        if plain is None:
            return None
        record = cls(**plain)
        if not 1 <= record.fold <= 5 or not all(0 <= d <= 1 for d in record.validation.values()):
            raise ValueError("a fold outside 1 to 5, or a Dice outside 0 to 1")
        for counts in (record.collections, record.licenses):
            if not all(isinstance(number, int) and number >= 0 for number in counts.values()):
                raise TypeError("counts of CTs that are none")
        dict(record.settings)
        return record
