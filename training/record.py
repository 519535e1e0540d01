"""What a network learned from, kept with its weights: whoever gets them ought to know."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Self

from lightning import Trainer

from .datamodule import SarosDataModule

CONTROLLED = "NIH controlled access"
SYNTHETIC = "synthetic"
NON_COMMERCIAL = "CC BY-NC 3.0"


@dataclass(frozen=True)
class TrainingRecord:
    """A network's training cases, and how it was trained on them.

    Attributes:
        fold: Number of the validation fold, which was not trained on.
        collections: Training CTs of each collection.
        licenses: Training CTs under each licence.
        settings: Options by name; no path and nothing of the machine but its devices.
        validation: Mean Dice of each label, and of all as ``average``, over the validation cases
            when the weights were saved.
    """

    fold: int
    collections: Mapping[str, int]
    licenses: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)

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


def record_of(trainer: Trainer, data: SarosDataModule) -> TrainingRecord:
    """Return the record of a run that is about to start."""
    sources = data.stores["train"].sources()
    return TrainingRecord(
        fold=data.fold,
        collections=dict(sorted(Counter(one.collection for one in sources).items())),
        licenses=dict(sorted(Counter(one.license for one in sources).items())),
        settings={
            "patch_size": list(data.patch_size),
            "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "patches_per_epoch": data.patches_per_epoch,
            "augment": data.augment,
            "seed": data.seed,
            "max_epochs": trainer.max_epochs,
            "max_steps": trainer.max_steps,
            "precision": str(trainer.precision),
            "gradient_clip_val": trainer.gradient_clip_val,
            "devices": trainer.world_size,
            "saros-hf": version("saros-hf"),
        },
    )


def validation_dice(trainer: Trainer) -> dict[str, float]:
    """Return what the last validation logged, by label."""
    logged = trainer.callback_metrics.items()
    found = {name: float(value) for name, value in logged if name.startswith("val_dice")}
    return {name.partition("/")[2] or "average": value for name, value in found.items()}
