"""The Lightning trainer for prediction: devices, precision, and no training state."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
from lightning import Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy

from saros_hf.errors import UsageError

_PATIENCE = timedelta(days=365)
"""Devices finish at different times; Lightning would give up waiting after half an hour."""


def make_trainer(
    folder: Path,
    *,
    accelerator: str = "auto",
    devices: str = "auto",
    num_nodes: int = 1,
    precision: str | None = None,
    bar: bool = True,
) -> Trainer:
    """Return a trainer for prediction.

    Args:
        folder: Empty folder; in the current one, Lightning would load the checkpoint of a
            training stopped by SLURM.
        accelerator: Lightning's name, e.g. ``auto``, ``gpu`` or ``cpu``.
        devices: Number of devices, a list of them, or ``auto``.
        num_nodes: Number of machines.
        precision: Lightning's name, e.g. ``bf16-mixed``; the faster one on this machine if
            ``None``.
        bar: Show a progress bar of CTs.

    Raises:
        UsageError: This machine has no such devices.
    """
    all_devices = devices in ("auto", "-1")
    several = num_nodes > 1 or (torch.cuda.device_count() > 1 if all_devices else devices != "1")
    # By default Lightning would save a checkpoint and requeue the job when its time is up.
    on_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    try:
        return Trainer(
            default_root_dir=folder,
            accelerator=accelerator,
            devices=int(devices) if devices.isdigit() else devices,
            num_nodes=num_nodes,
            strategy=DDPStrategy(timeout=_PATIENCE) if several else "auto",
            plugins=[SLURMEnvironment(auto_requeue=False)] if on_slurm else None,
            precision=precision or best_precision(),  # type: ignore[arg-type] # checked there
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bar,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError) as error:
        where = "--accelerator, --devices, --num-nodes, --precision"
        remedy = "Leave them out for the defaults."
        raise UsageError(where, str(error), "what this machine has", remedy) from error


def best_precision() -> Literal["bf16-mixed", "32-true"]:
    """Return Lightning's name of bfloat16 where it is faster than float32, else of float32."""
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported()
    else:  # torch 2.6 has no get_capabilities
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bf16-mixed" if fast else "32-true"
