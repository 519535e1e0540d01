from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.training_options import UNSAVED
from lightning import Trainer, seed_everything

from saros_hf.labels import num_classes
from training.data.patch_batches import PatchBatch
from training.data.tasks import TaskChoice
from training.datamodule import SarosDataModule
from training.fit.watchdog import WastedRunError, Watchdog
from training.module import SarosSegmenter


def trainer(watchdog: Watchdog, epochs: int = 1) -> Trainer:
    return Trainer(max_epochs=epochs, num_sanity_val_steps=0, callbacks=[watchdog], **UNSAVED)


def data(phantoms: Path, cache: Path, **options: Any) -> SarosDataModule:  # noqa: ANN401
    return SarosDataModule(
        phantoms, patch_size=(32, 32), patches_per_epoch=8, batch_size=4, cache_dir=cache, **options
    )


class Spoiled(SarosSegmenter):
    """A network whose loss or prediction is spoiled on request."""

    spoil: str = ""

    def training_step(self, batch: PatchBatch, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * torch.nan if self.spoil == "nan" else loss

    def forward(self, images: torch.Tensor, position: torch.Tensor | None = None) -> torch.Tensor:
        logits = super().forward(images, position)
        if self.spoil == "background" and not self.training:
            # Only the second label map of a joint network.
            first = logits.shape[1] - num_classes(self.tasks[-1])
            logits = logits.clone()
            logits[:, first] = 1e3
        return logits


class Mislabelled(SarosDataModule):
    """Training batches with a label that the network has no output for."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ANN401
        seen = super().on_after_batch_transfer(batch, dataloader_idx)
        if isinstance(seen, PatchBatch):
            seen.masks["body-parts"][0] = 9
        return seen


def spoiled(how: str, task: TaskChoice = "body-regions") -> Spoiled:
    seed_everything(0, verbose=False)
    model = Spoiled(task, options={"decoder_channels": (16, 16, 8, 8, 8)})
    model.spoil = how
    return model


def test_healthy_run_is_not_stopped(phantoms: Path, cache: Path) -> None:
    healthy = trainer(Watchdog())
    healthy.fit(spoiled(""), datamodule=data(phantoms, cache))
    assert healthy.state.finished
    assert healthy.global_step == 2


def test_nan_loss_stops_the_run(phantoms: Path, cache: Path) -> None:
    with pytest.raises(WastedRunError, match=r"step 1: found a loss of nan.*learning_rate"):
        trainer(Watchdog()).fit(spoiled("nan"), datamodule=data(phantoms, cache))


@pytest.mark.parametrize(
    ("task", "dead"), [("body-regions", "body-regions"), ("joint", "body-parts")]
)
def test_background_only_stops_the_run_after_the_warm_up(
    phantoms: Path, cache: Path, task: TaskChoice, dead: str
) -> None:
    message = f"epoch 1, {dead}: found background alone.*--data.window"
    with pytest.raises(WastedRunError, match=message):
        trainer(Watchdog(warmup_epochs=1), epochs=4).fit(
            spoiled("background", task), datamodule=data(phantoms, cache, task=task)
        )


def test_label_of_another_task_stops_the_run(phantoms: Path, cache: Path) -> None:
    wrong = Mislabelled(
        phantoms,
        task="body-parts",
        patch_size=(32, 32),
        patches_per_epoch=8,
        batch_size=4,
        cache_dir=cache,
    )
    message = "step 0, body-parts: found label 9, expected 0 to 6"
    with pytest.raises(WastedRunError, match=message):
        trainer(Watchdog()).fit(spoiled("", "body-parts"), datamodule=wrong)


def batch(label: int, brightness: float) -> PatchBatch:
    mask = torch.full((2, 4, 4), label, dtype=torch.uint8)
    image = torch.full((2, 1, 4, 4), brightness)
    return PatchBatch(image, {"body-parts": mask}, torch.zeros(2, 2), seed=0)


def train_epoch(watchdog: Watchdog, label: int, brightness: float = 0) -> None:
    state = SimpleNamespace(global_step=7, is_last_batch=True, current_epoch=3)
    watchdog.on_train_epoch_start(state, None)
    watchdog.on_train_batch_start(state, None, batch(label, brightness), 0)
    watchdog.on_train_epoch_end(state, None)


def test_epoch_without_annotation_stops_the_run() -> None:
    with pytest.raises(WastedRunError, match="epoch 3: found no annotated voxel"):
        train_epoch(Watchdog(), 255)


@pytest.mark.parametrize("brightness", [-1.0, 1.0])
def test_images_outside_the_window_stop_the_run(brightness: float) -> None:
    with pytest.raises(WastedRunError, match=r"epoch 3: found 0\.0% of voxels inside the window"):
        train_epoch(Watchdog(), 6, brightness)
