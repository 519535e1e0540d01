"""What a network learned from, kept with its weights: whoever gets them ought to know."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Self

from lightning import Trainer

from saros_hf.archive.idc_index import find_public
from saros_hf.case_table import find_table, read_case_table
from saros_hf.cases import Case, License
from saros_hf.errors import UsageError
from saros_hf.rights import LICENSES, rights

from .datamodule import SarosDataModule
from .store import Source

CONTROLLED = "NIH controlled access"
SYNTHETIC = "synthetic"
NON_COMMERCIAL = "CC BY-NC 3.0"
_PHANTOM_UID = "2.25."
"""Root of the UIDs of phantoms; archives hand out others."""


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


def record_of(trainer: Trainer, data: SarosDataModule) -> TrainingRecord:
    """Return the record of a run that is about to start."""
    sources = data.stores["train"].sources()
    licenses = believed_licenses(sources, read_case_table(find_table(data.data_dir)))
    return TrainingRecord(
        fold=data.fold,
        collections=dict(sorted(Counter(one.collection for one in sources).items())),
        licenses=dict(sorted(Counter(licenses).items())),
        settings={
            "encoder_weights": trainer.lightning_module.hparams["encoder_weights"],
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


def archive_licenses(cases: Sequence[Case]) -> dict[str, License] | None:
    """Return the licence of each series that the archive hands out, by SeriesInstanceUID.

    Phantoms are in no archive, so that for them alone it is not asked. ``None`` if its index is
    not installed.
    """
    if all(case.license == SYNTHETIC for case in cases):
        return {}
    try:
        found = find_public(case.series_instance_uid for case in cases)
    except UsageError:
        return None
    return {uid: series.license for uid, series in found.items()}


def witnessed(cases: Sequence[Case], archive: Mapping[str, License]) -> set[str]:
    """Return the ids of the cases under a free or non-commercial licence that is no mere claim.

    The case table is a file that anybody can edit: the archive must say the same, or the table
    hold phantoms and nothing else.
    """
    if all(one.license == SYNTHETIC for one in cases):
        return {one.case_id for one in cases if one.series_instance_uid.startswith(_PHANTOM_UID)}
    known = rights([one for one in cases if one.license != SYNTHETIC], archive)
    return {case_id for part in LICENSES for case_id in known.allowed[part]}


def believed_licenses(sources: Sequence[Source], cases: Sequence[Case]) -> list[str]:
    """Return the licence of each CT: what the data says, ``unknown`` where the archive differs.

    Args:
        sources: CTs with the licence that follows from the case table.
        cases: All rows of that table.
    """
    archive = archive_licenses(cases)
    if archive is None:
        return [one.license for one in sources]
    certain = witnessed(cases, archive)
    return [
        one.license if one.case_id in certain or one.license == CONTROLLED else "unknown"
        for one in sources
    ]
