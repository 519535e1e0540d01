"""Saves the best network of a run as a model folder, and publishes it on the Hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from saros_hf.hub.client import Destination, check_destination

from ..module import SarosSegmenter
from ..publish.model_folder import (
    push_model,
    read_networks,
    refuse_controlled,
    refuse_other_task,
    write_model_folder,
)
from .checkpoints import LAST, MODEL_FOLDER, RunCheckpoint


class ModelExporter(Callback):
    """Writes the folder ``model`` beside the best checkpoint when training ends, on rank zero.

    Without any validation, it holds the network of the latest checkpoint.

    Errors become warnings: the run is on disk, and ``saros publish-model`` can publish it later.

    Args:
        push_to_hub: ``user/model``; nothing is published if ``None``.
        private: Make the repository visible to its owner alone.
    """

    def __init__(self, push_to_hub: str | None = None, private: bool = False) -> None:
        self.to = None if push_to_hub is None else Destination(push_to_hub, "model", private)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn at the start about what would stop the upload hours later."""
        if self.to is None or not trainer.is_global_zero:
            return
        with _errors_as_warnings("Fix it meanwhile: it is tried again when training is over."):
            check_destination(self.to)
            if isinstance(pl_module, SarosSegmenter):
                refuse_other_task(self.to, pl_module.tasks)
        with _errors_as_warnings("The run goes on, but will not be published automatically."):
            if isinstance(pl_module, SarosSegmenter):
                refuse_controlled([pl_module], allowed=False)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the network with the best validation score, and publish it."""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, RunCheckpoint):
                    folder = Path(callback.dirpath or "")
                    if not callback.best_model_path:
                        rank_zero_warn(f"no epoch was validated: {MODEL_FOLDER}/ is from {LAST}")
                    self._export(Path(callback.best_model_path or folder / LAST))

    def _export(self, best: Path) -> None:
        name = "user/model" if self.to is None else self.to.repo_id
        with _errors_as_warnings(f"The network is in {best}: saros publish-model {best} {name}"):
            folder = best.parent / MODEL_FOLDER
            networks = read_networks(best)
            files = write_model_folder(folder, networks, [], repo_id=name)
            if self.to is not None:
                refuse_controlled(networks, allowed=False)
                push_model(folder, files, self.to)


@contextmanager
def _errors_as_warnings(remedy: str) -> Iterator[None]:
    """Turn any error into a warning, so that it does not end the run."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - an upload must not cost the training
        rank_zero_warn(f"not published: {error} ({remedy})")
