"""Make the record of a run when its training starts."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from lightning import Trainer

from saros_hf.cases.case import Case
from saros_hf.cases.table import find_table, read_case_table
from saros_hf.errors import UsageError
from saros_hf.publish.rights import objections, public_licenses

from ..data.slice_store import Source
from ..datamodule import SarosDataModule
from .training_record import TrainingRecord


def record_of(trainer: Trainer, data: SarosDataModule) -> TrainingRecord:
    """Return the record of a run whose training starts."""
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
    """Return the mean Dice of the last validation, by label and as ``average``."""
    logged = trainer.callback_metrics.items()
    found = {name: float(value) for name, value in logged if name.startswith("val_dice")}
    return {name.partition("/")[2] or "average": value for name, value in found.items()}


def believed_licenses(sources: Sequence[Source], cases: Sequence[Case]) -> list[str]:
    """Return the licence of each CT, ``unknown`` where case table and IDC index differ.

    Without the package ``idc-index-data`` the table alone decides.

    Args:
        sources: CTs with the licence that follows from the case table.
        cases: All rows of that table.
    """
    try:
        differ = objections(cases, public_licenses(cases))
    except UsageError:
        return [one.license for one in sources]
    return [
        "unknown"
        if one.case_id in differ and one.license != "NIH controlled access"
        else one.license
        for one in sources
    ]
