"""The network that Lightning trains, and how it is kept on disk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import segmentation_models_pytorch as smp
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from saros_hf.labels import Task, label_names, num_classes
from saros_hf.nifti import read_image
from saros_hf.volume import Volume

from .averaging import PredictOptions, padded_forward
from .cases import CaseBatch
from .datamodule import SarosDataModule
from .losses import SparseSegmentationLoss, balanced_weights
from .patches import PatchBatch, refuse_thick_patches
from .pretrained import model_folder, read_pretrained, refuse_other_versions, write_pretrained
from .record import TrainingRecord, record_of, validation_dice
from .schedule import Decay, Optimisation, OptimizerName
from .slicewise import Prediction, predict_maps
from .spec import InputSpec, TaskChoice, tasks_of
from .stage_scores import StageScores, by_task, of
from .transforms import DEFAULT_WINDOW, Window

_RECORD = "saros_training"


class SarosSegmenter(LightningModule):
    """An SMP network for one of the two label maps or both, trained on annotated voxels only.

    Args:
        task: ``body-regions``, ``body-parts``, or ``joint`` for both from one encoder and decoder.
        architecture: Name of an SMP architecture, e.g. ``Unet``, ``FPN``, ``DeepLabV3Plus``.
        encoder_name: Name of an SMP or timm encoder.
        options: Further arguments of the SMP architecture, e.g. ``decoder_channels``.
        encoder_weights: Name of pretrained weights to download, ``None`` for random ones.
        context: Neighbouring slices on each side, as channels.
        position: Tell the network, in two channels more, where along the scan a slice lies.
        window: Hounsfield units that become -1 and 1.
        class_balance: The cross-entropy weighs a label by its frequency to the power of minus
            this: 0 for all alike, 1 for labels of equal total weight.
        dice_weight: Factor of the Dice loss, that of the cross-entropy being 1.
        dice_smooth: As of :func:`training.losses.sparse_dice_loss`.
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum, which wants a rate of 0.01.
        learning_rate: Peak of the schedule.
        momentum: Of SGD.
        weight_decay: Decoupled with AdamW, in the gradient with SGD.
        warmup: Share of the run in which the rate rises, see :func:`training.schedule.rate_at`.
        decay: How it falls afterwards.
        compile_network: Train through ``torch.compile``: minutes to start, faster on a GPU.
        slices_per_pass: Slices at once in validation and prediction.
    """

    spacing_range_mm: Tensor
    slice_spacing_mm: Tensor
    record: TrainingRecord | None = None
    """What it learned from; ``None`` before training."""
    options = PredictOptions()
    """How it predicts volumes unless told otherwise."""

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
        self.slices_per_pass = slices_per_pass
        self.register_buffer("spacing_range_mm", torch.tensor([0.0, torch.inf]))
        self.register_buffer("slice_spacing_mm", torch.tensor(5.0))
        network = smp.create_model(
            architecture,
            encoder_name=encoder_name,
            encoder_weights=encoder_weights,
            in_channels=self.spec.channels,
            classes=sum(num_classes(one) for one in self.tasks),
            **(options or {}),
        )
        # The faster layout for convolutions.
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
        self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def spec(self) -> InputSpec:
        """What the network expects of its input."""
        low, high = self.spacing_range_mm.tolist()
        return InputSpec(
            task=self.task,
            context=self.context,
            window=self.window,
            spacing_range_mm=(low, high),
            position=self.position,
            slice_spacing_mm=self.slice_spacing_mm.item(),
        )

    def forward(self, images: Tensor, position: Tensor | None = None) -> Tensor:
        """Return logits (B, classes, I, J) of images (B, C, I, J) in [-1, 1], any I and J.

        The classes of all tasks one after another. ``position`` as of
        :func:`training.position.with_position`, needed by a network that is told it.
        """
        return padded_forward(self.network, images, position if self.position else None)

    def on_fit_start(self) -> None:
        """Learn from the training cases what spacing they have and how rare each label is."""
        datamodule: SarosDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        refuse_thick_patches(datamodule.patch_size)
        self.spacing_range_mm.copy_(torch.tensor(datamodule.in_plane_spacing_mm()))
        self.slice_spacing_mm.fill_(datamodule.slice_spacing_mm())
        patches = datamodule.train_dataset()
        for task in self.tasks:
            weights = balanced_weights(patches.label_frequencies(task), self.class_balance)
            of(self.losses, task).class_weights = weights.to(self.device)
        self.record = record_of(self.trainer, datamodule)
        if self.compile_network:
            self._compiled = torch.compile(self.forward)

    def on_train_batch_start(self, batch: PatchBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Make dropout a function of the batch, so that a resumed run draws what it would have."""
        torch.manual_seed((batch.seed + 1) % 2**63)  # its augmentation begins at the seed itself

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the record with the weights."""
        if self.record is not None:
            now = replace(self.record, validation=validation_dice(self.trainer))
            checkpoint[_RECORD] = now.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the record back; the options given now hold, not those of the checkpoint."""
        self.record = TrainingRecord.from_dict(checkpoint.get(_RECORD))
        self.optimisation.take_over(checkpoint)

    def training_step(self, batch: PatchBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of one batch of patches."""
        images = batch.image.contiguous(memory_format=torch.channels_last)
        forward = self._compiled or self.forward
        loss = self.loss(forward(images, batch.position), batch.masks)
        self.log(
            "train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(images)
        )
        return loss

    def loss(self, logits: Tensor, masks: dict[Task, Tensor]) -> Tensor:
        """Return the loss, added up over tasks, of logits (B, classes, I, J) and their truth."""
        shares = self.spec.by_task(logits)
        terms = [of(self.losses, task)(share, masks[task].long()) for task, share in shares.items()]
        return torch.stack(terms).sum()

    def validation_step(self, batch: CaseBatch, batch_idx: int) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Score the annotated slices of one case and return their labels (N, I, J) by task."""
        predicted = self._labels(batch)
        self.scores.update(batch, predicted, surfaces=False)
        return dict(predicted.items())

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice of the labels seen, and that of each."""
        self._log_scores("val", surfaces=False)

    def test_step(self, batch: CaseBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Score the annotated slices of one case, contours included."""
        self.scores.update(batch, self._labels(batch), surfaces=True)

    def on_test_epoch_end(self) -> None:
        """Log both scores, as a mean over labels and of each."""
        self._log_scores("test", surfaces=True)

    def predict_step(self, batch: str, batch_idx: int) -> Prediction:  # noqa: ARG002
        """Return the label maps of the CT at path ``batch``."""
        maps = self.predict_maps(read_image(Path(batch)))
        affine = maps[self.tasks[0]].affine
        return Prediction(batch, {task: labels.array for task, labels in maps.items()}, affine)

    def predict_maps(self, image: Volume) -> dict[Task, Volume]:
        """Return each task's label map, see :func:`training.slicewise.predict_maps`."""
        self.eval()
        options = replace(self.options, batch_size=self.slices_per_pass)
        return predict_maps([self.network], image, self.spec, options)

    def predict_volume(self, image: Volume) -> Volume:
        """Return the label map of a CT, of a joint network that of the body regions."""
        return self.predict_maps(image)[self.tasks[0]]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, whose rate rises and falls once over the whole run."""
        return self.optimisation.configure(self.parameters(), self.trainer)

    def save_pretrained(self, folder: Path, *, members: Sequence[str] = ()) -> None:
        """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well.

        ``members`` are folders inside it with the other networks of an ensemble.
        """
        config = {
            "input": asdict(self.spec) | {"orientation": "RAS"},
            "hyperparameters": dict(self.hparams) | {"encoder_weights": None},
            "labels": {task: label_names(task) for task in self.tasks},
            "prediction": {"mirror": self.options.mirror, "clean": self.options.clean},
            "training": None if self.record is None else self.record.to_dict(),
            "members": list(members),
        }
        write_pretrained(self.network, folder, config)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Return the network that :meth:`save_pretrained` wrote, ready to predict.

        Args:
            name: Folder, or on the Hub ``user/name`` or ``user/name@revision``. Of an ensemble it
                is the first network; :func:`training.ensemble.read_ensemble` returns all.

        Raises:
            UnreadableFileError: The folder does not hold such a network.
            HubError: The Hub does not hand it out.
        """
        folder = model_folder(name)
        network, config = read_pretrained(folder)
        with refuse_other_versions(folder, config):
            segmenter = cls(**config["hyperparameters"])
            segmenter.spacing_range_mm.copy_(torch.tensor(config["input"]["spacing_range_mm"]))
            segmenter.slice_spacing_mm.fill_(config["input"]["slice_spacing_mm"])
            segmenter.options = PredictOptions(**config["prediction"])
            segmenter.record = TrainingRecord.from_dict(config["training"])
        segmenter.network = network.to(memory_format=torch.channels_last)
        return segmenter.eval()

    def _labels(self, batch: CaseBatch) -> dict[Task, Tensor]:
        """Return each task's uint8 labels (N, I, J) of a case's slices, a few at a time."""
        few = self.slices_per_pass
        parts = zip(batch.image.split(few), batch.position.split(few), strict=True)
        chunks = [self.spec.by_task(self(images, position)) for images, position in parts]
        return {
            task: torch.cat([chunk[task].argmax(dim=1).to(torch.uint8) for chunk in chunks])
            for task in self.tasks
        }

    def _log_scores(self, stage: str, *, surfaces: bool) -> None:
        for name, value in self.scores.finish(stage, surfaces=surfaces).items():
            self.log(name, value, prog_bar="/" not in name)
