"""The network with its training, validation and prediction steps for Lightning."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from saros_hf.errors import UsageError
from saros_hf.labels import Task, num_classes
from saros_hf.nifti import read_image

from .data.case_batches import CaseBatch
from .data.patch_batches import PatchBatch, refuse_thick_patches
from .data.tasks import TaskChoice, tasks_of
from .datamodule import SHARED, SarosDataModule
from .losses import SparseSegmentationLoss, balanced_weights
from .model.architecture import make_network
from .model.epoch_scores import StageScores, by_task, module_for
from .model.network import SarosNetwork
from .model.optimizer import Decay, Optimisation, OptimizerName
from .model.predict_volume import Prediction
from .model.run_record import record_of, validation_dice
from .model.test_time_averaging import padded_forward
from .model.training_record import TrainingRecord
from .transforms import DEFAULT_WINDOW, Window

_RECORD = "saros_training"


class SarosSegmenter(SarosNetwork):
    """An SMP network for one of the two label maps or both, trained on annotated voxels only.

    Args:
        task: ``body-regions``, ``body-parts``, or ``joint`` for both from one encoder and decoder.
        architecture: Name of an SMP architecture, e.g. ``Unet``, ``FPN``, ``DeepLabV3Plus``.
        encoder_name: Name of an SMP or timm encoder.
        encoder_weights: Name of pretrained weights to download, ``None`` for random ones.
        options: Further arguments of the SMP architecture, e.g. ``decoder_channels``.
        context: Neighbouring slices on each side, as channels.
        position: Give the network the position of a slice along the scan, as two more channels.
        window: Hounsfield units that become -1 and 1.
        class_balance: Class weights of the cross-entropy are ``frequency ** -class_balance``: 0
            weights all labels alike, 1 gives all labels the same total weight.
        dice_weight: Factor of the Dice loss; that of the cross-entropy is 1.
        dice_smooth: Smoothing term of :func:`training.losses.sparse_dice_loss`.
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum, which needs a rate of about 0.01.
        learning_rate: Peak of the schedule.
        momentum: SGD momentum.
        weight_decay: Weight decay: decoupled with AdamW, added to the gradient with SGD.
        warmup: Fraction of the run in which the learning rate rises, see
            :func:`training.model.optimizer.rate_at`.
        decay: Shape of the schedule after the warm-up.
        compile_network: Train through ``torch.compile``: minutes to start, faster on a GPU.
        slices_per_pass: Slices in one forward pass of validation and prediction.
    """

    def __init__(  # noqa: PLR0913 - the arguments are the command line
        self,
        task: TaskChoice = "body-regions",
        architecture: str = "Unet",
        encoder_name: str = "resnet18",
        encoder_weights: str | None = None,
        options: dict[str, Any] | None = None,
        context: int = 0,
        position: bool = False,
        window: Window = DEFAULT_WINDOW,
        class_balance: float = 0.5,
        dice_weight: float = 1.0,
        dice_smooth: float = 0.0,
        optimizer: OptimizerName = "adamw",
        learning_rate: float = 2e-3,
        momentum: float = 0.99,
        weight_decay: float = 1e-2,
        warmup: float = 0.2,
        decay: Decay = "cosine",
        compile_network: bool = False,
        slices_per_pass: int = 16,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.task: TaskChoice = task
        self.tasks = tasks_of(task)
        self.context = context
        self.position = position
        self.window: Window = (float(window[0]), float(window[1]))
        self.optimisation = Optimisation(
            optimizer, learning_rate, weight_decay, warmup, decay, momentum
        )
        if slices_per_pass < 1:
            raise UsageError("--model.slices_per_pass", str(slices_per_pass), "1 or more")
        self.slices_per_pass = slices_per_pass
        self.register_buffer("spacing_range_mm", torch.tensor([0.0, torch.inf]))
        self.register_buffer("slice_spacing_mm", torch.tensor(5.0))
        network = make_network(
            architecture,
            encoder_name,
            encoder_weights,
            options or {},
            channels=(self.spec.channels, sum(num_classes(one) for one in self.tasks)),
        )
        # Convolutions are faster in this layout.
        self.network = network.to(memory_format=torch.channels_last)
        self.class_balance = class_balance
        self.losses = by_task(
            self.tasks,
            lambda classes: SparseSegmentationLoss(
                dice_weight=dice_weight, dice_smooth=dice_smooth, class_weights=[1.0] * classes
            ),
        )
        self.scores = StageScores(self.tasks)
        self.compile_network = compile_network
        self._compiled: Callable[[Tensor], Tensor] | None = None

    def setup(self, stage: str) -> None:
        """Raise unless data and network agree on what both are given.

        Raises:
            UsageError: They differ, or training has no :class:`SarosDataModule`.
        """
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(datamodule, SarosDataModule):
            if stage != "predict":  # which reads the CTs itself
                _refuse_other_input(datamodule, self)
        elif stage == "fit":
            expected = "a SarosDataModule, which measures the training cases"
            raise UsageError("datamodule", type(datamodule).__name__, expected)

    def on_fit_start(self) -> None:
        """Measure the spacing and the label frequencies of the training cases."""
        datamodule: SarosDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        refuse_thick_patches(datamodule.patch_size)
        slices = datamodule.stores["train"]
        self.spacing_range_mm.copy_(torch.tensor(slices.in_plane_spacing_mm()))
        self.slice_spacing_mm.fill_(slices.slice_spacing_mm())
        patches = datamodule.train_dataset()
        for task in self.tasks:
            weights = balanced_weights(patches.label_frequencies(task), self.class_balance)
            module_for(self.losses, task).class_weights = weights.to(self.device)
        self.record = record_of(self.trainer, datamodule)
        if self.compile_network:
            # Not the module, which logs: torch.compile cannot trace that.
            self._compiled = torch.compile(self.network.forward)

    def on_train_start(self) -> None:
        """Train with the options given now, or the learning rate that a LearningRateFinder found.

        The state of optimizer and schedule may be that of a checkpoint with other options.
        """
        self.optimisation = replace(self.optimisation, learning_rate=self.hparams["learning_rate"])
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LambdaLR):
                self.optimisation.take_over(config.scheduler)

    def on_train_batch_start(self, batch: PatchBatch, batch_idx: int) -> None:
        """Seed dropout once an epoch, so that a resumed run draws the same as an uninterrupted one."""
        if batch_idx == 0:
            torch.manual_seed(batch.seed + 1)  # augmentation of the batch uses the seed itself

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the training record with the weights."""
        if self.record is not None:
            scores = validation_dice(self.trainer)
            now = replace(self.record, validation=scores, epoch=self.current_epoch)
            checkpoint[_RECORD] = now.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the training record, and which pretrained weights the training started from."""
        self.record = TrainingRecord.from_dict(checkpoint.get(_RECORD))
        trained = checkpoint.get("hyper_parameters", {})
        self.hparams["encoder_weights"] = trained.get("encoder_weights")

    def training_step(self, batch: PatchBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of one batch of patches."""
        images = batch.image.to(self.dtype, memory_format=torch.channels_last)
        position = batch.position if self.position else None
        network: Any = self._compiled or self.network
        try:
            logits = padded_forward(network, images, position)
        except ValueError as error:
            if len(images) > 1:
                raise
            expected = "2 or more for this network, which normalises over the batch"
            raise UsageError("--data.batch_size", "1", expected) from error
        loss = self.loss(logits, batch.masks)
        self.log(
            "train_loss",
            loss,
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(images),
        )
        return loss

    def loss(self, logits: Tensor, masks: dict[Task, Tensor]) -> Tensor:
        """Return the sum over tasks of the losses of logits (B, classes, I, J)."""
        terms = [
            module_for(self.losses, task)(of_task, masks[task].long())
            for task, of_task in self.spec.by_task(logits).items()
        ]
        return torch.stack(terms).sum()

    def validation_step(self, batch: CaseBatch, batch_idx: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Score the annotated slices of one case and return their labels (N, I, J) by task."""
        predicted = self._labels(batch)
        self.scores.update(batch, predicted, surfaces=False)
        return dict(predicted.items())

    def on_validation_epoch_end(self) -> None:
        """Log the Dice of each label, and their mean."""
        self._log_scores("val", surfaces=False)

    def test_step(self, batch: CaseBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Score the annotated slices of one case, including the surface Dice of contours."""
        self.scores.update(batch, self._labels(batch), surfaces=True)

    def on_test_epoch_end(self) -> None:
        """Log Dice and surface Dice of each label, and their means."""
        self._log_scores("test", surfaces=True)

    def predict_step(self, batch: str, batch_idx: int) -> Prediction:  # noqa: ARG002
        """Return the label maps of the CT file ``batch``."""
        maps = self.predict_maps(read_image(Path(batch)))
        affine = maps[self.tasks[0]].affine
        return Prediction(batch, {task: labels.array for task, labels in maps.items()}, affine)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its learning-rate schedule over the whole run."""
        return self.optimisation.configure(self.parameters(), self.trainer)

    def _labels(self, batch: CaseBatch) -> dict[Task, Tensor]:
        """Return each task's uint8 labels (N, I, J), predicted ``slices_per_pass`` at a time."""
        count = self.slices_per_pass
        parts = zip(batch.image.split(count), batch.position.split(count), strict=True)
        chunks = [self.spec.by_task(self(images, position)) for images, position in parts]
        return {
            task: torch.cat([chunk[task].argmax(dim=1).to(torch.uint8) for chunk in chunks])
            for task in self.tasks
        }

    def _log_scores(self, stage: str, *, surfaces: bool) -> None:
        for name, value in self.scores.finish(stage, surfaces=surfaces).items():
            self.log(name, value, prog_bar="/" not in name)


def _refuse_other_input(data: SarosDataModule, network: SarosSegmenter) -> None:
    for name in SHARED:
        ours, theirs = getattr(network, name), getattr(data, name)
        if ours != theirs:
            found = f"{theirs} of the data and {ours} of the network"
            raise UsageError(name, found, "the same", "Give it to both.")
