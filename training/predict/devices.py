"""The Lightning trainer that predicts: on which devices, and what it leaves alone."""

import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
from lightning import Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy

from saros_hf.errors import UsageError

from .predictor import Predictor

_PATIENCE = timedelta(days=365)
"""A device may have done its share long before the others; Lightning gives up after half an hour."""


@dataclass(frozen=True)
class Devices:
    """Where to predict, in Lightning's words.

    Attributes:
        accelerator: E.g. ``auto``, ``gpu``, ``cpu``.
        devices: How many, or which; or ``auto``.
        num_nodes: Machines.
        precision: E.g. ``bf16-mixed``; what is fast on this machine if ``None``.
    """

    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = 1
    precision: str | None = None

    @property
    def are_several(self) -> bool:
        """Return whether more than one process predicts."""
        if self.devices in ("auto", "-1"):
            return self.num_nodes > 1 or torch.cuda.device_count() > 1
        return self.num_nodes > 1 or self.devices != "1"


def run_predictor(predictor: Predictor, where: Devices, *, bar: bool) -> Trainer:
    """Predict what is left of a predictor's CTs; return the trainer, which knows its rank.

    Args:
        predictor: Holds in ``tally`` what became of them.
        where: The devices.
        bar: Show a bar of CTs.

    Raises:
        UsageError: This machine has no such devices.
    """
    # Where the command is run, Lightning would take up the checkpoint of a training.
    with TemporaryDirectory(prefix="saros-") as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Total length of `DataLoader`")  # all may be done
        trainer = make_trainer(where, Path(folder), bar=bar)
        trainer.predict(predictor, return_predictions=False)
    return trainer


def make_trainer(where: Devices, folder: Path, *, bar: bool) -> Trainer:
    """Return a trainer that takes up nothing but what is in ``folder``, see :func:`run_predictor`."""
    # Lightning would save a checkpoint of what is no training, and have the job start again.
    on_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    try:
        return Trainer(
            default_root_dir=folder,
            accelerator=where.accelerator,
            devices=int(where.devices) if where.devices.isdigit() else where.devices,
            num_nodes=where.num_nodes,
            strategy=DDPStrategy(timeout=_PATIENCE) if where.are_several else "auto",
            plugins=[SLURMEnvironment(auto_requeue=False)] if on_slurm else None,
            precision=where.precision or best_precision(),  # type: ignore[arg-type] # checked there
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bar,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise UsageError(
            "--accelerator, --devices, --num-nodes, --precision",
            str(error),
            "what this machine has",
            "Leave them out for the defaults.",
        ) from error


def best_precision() -> Literal["bf16-mixed", "32-true"]:
    """Return Lightning's name of bfloat16 where it is quicker than float32."""
    return "bf16-mixed" if _has_fast_bf16() else "32-true"


def _has_fast_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # torch 2.6 cannot tell yet.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
