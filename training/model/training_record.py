"""What a network learned from, kept with its weights: whoever gets them ought to know."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TrainingRecord:
    """A network's training cases, and how it was trained on them.

    Attributes:
        fold: Number of the validation fold, which was not trained on.
        collections: Training CTs of each collection.
        licenses: Training CTs under each licence; ``unknown`` where table and archive differ.
        settings: Options by name; no path and nothing of the machine but its devices.
        validation: Mean Dice of each label, and of all as ``average``, over the validation cases
            when the weights were saved; scores that are no numbers are left out.
    """

    fold: int
    collections: Mapping[str, int]
    licenses: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        finite = {name: one for name, one in self.validation.items() if math.isfinite(one)}
        object.__setattr__(self, "validation", finite)

    @property
    def cases(self) -> int:
        """Number of training CTs."""
        return sum(self.licenses.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it in plain types, for a checkpoint or JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """Return what :meth:`to_dict` gave, ``None`` for ``None``."""
        return None if plain is None else cls(**plain)
