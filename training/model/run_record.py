"""The record of a run that is about to start."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from lightning import Trainer

from saros_hf.cases.case import Case
from saros_hf.cases.table import find_table, read_case_table
from saros_hf.publish.rights import CONTROLLED, archive_licenses, witnessed

from ..data.slice_store import Source
from ..datamodule import SarosDataModule
from .training_record import TrainingRecord


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
