"""The network that Lightning trains, and how it is kept on disk."""

import io
import json
import math
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import segmentation_models_pytorch as smp
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from saros_hf.errors import UnreadableFileError
from saros_hf.labels import Task, label_names, num_classes
from saros_hf.nifti import read_image
from saros_hf.volume import Volume

from .cases import CaseBatch
from .datamodule import SarosDataModule
from .losses import SparseSegmentationLoss, balanced_weights
from .metrics import NormalizedSurfaceDice, SparseDice
from .patches import PatchBatch
from .slicewise import padded_forward, predict_labels
from .spec import InputSpec
from .transforms import DEFAULT_WINDOW, Window

_CONFIG_KEY = "_saros"
"""SMP's loader passes over config entries that start with an underscore."""


class Prediction(NamedTuple):
    """The label map of one CT, in parts: Lightning takes no frozen dataclass from a step."""

    image: str
    array: NDArray[np.uint8]
    affine: NDArray[np.float64]


class SarosSegmenter(LightningModule):
    """An SMP network for one of the two label maps, trained on annotated voxels only.

    Args:
        task: ``body-regions`` or ``body-parts``.
        architecture: Name of an SMP architecture, e.g. ``Unet``, ``FPN``, ``DeepLabV3Plus``.
        encoder_name: Name of an SMP or timm encoder.
        options: Further arguments of the SMP architecture, e.g. ``decoder_channels``.
        encoder_weights: Name of pretrained weights to download, ``None`` for random ones.
        context: Neighbouring slices on each side, as channels.
        window: Hounsfield units that become -1 and 1.
        class_balance: The cross-entropy weighs a label by its frequency to the power of minus
            this: 0 for all alike, 1 for labels of equal total weight.
        learning_rate: Peak of the schedule, see :func:`warmup_cosine`.
        weight_decay: AdamW's decoupled weight decay.
        slices_per_pass: Slices at once in validation and prediction.
    """

    spacing_range_mm: Tensor

    def __init__(  # noqa: PLR0913 - the arguments are the command line
        self,
        task: Task = "body-regions",
        architecture: str = "Unet",
        encoder_name: str = "resnet18",
        encoder_weights: str | None = None,
        options: dict[str, Any] | None = None,
        context: int = 0,
        window: Window = DEFAULT_WINDOW,
        class_balance: float = 0.5,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        slices_per_pass: int = 16,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.task: Task = task
        self.context = context
        self.window: Window = (float(window[0]), float(window[1]))
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.slices_per_pass = slices_per_pass
        network = smp.create_model(
            architecture,
            encoder_name=encoder_name,
            encoder_weights=encoder_weights,
            in_channels=2 * context + 1,
            classes=num_classes(task),
            **(options or {}),
        )
        # The faster layout for convolutions.
        self.network = network.to(memory_format=torch.channels_last)
        self.class_balance = class_balance
        self.loss = SparseSegmentationLoss(class_weights=[1.0] * num_classes(task))
        self.dice = SparseDice(num_classes(task))
        self.surface_dice = NormalizedSurfaceDice(num_classes(task))
        self.register_buffer("spacing_range_mm", torch.tensor([0.0, torch.inf]))

    @property
    def spec(self) -> InputSpec:
        """What the network expects of its input."""
        low, high = self.spacing_range_mm.tolist()
        return InputSpec(
            task=self.task,
            context=self.context,
            window=self.window,
            spacing_range_mm=(low, high),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes, I, J) of images (B, C, I, J) in [-1, 1], any I and J."""
        return padded_forward(self.network, images)

    def on_fit_start(self) -> None:
        """Learn from the training cases what spacing they have and how rare each label is."""
        datamodule: SarosDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        self.spacing_range_mm.copy_(torch.tensor(datamodule.in_plane_spacing_mm()))
        frequencies = datamodule.train_dataset().label_frequencies(self.task)
        self.loss.class_weights = balanced_weights(frequencies, self.class_balance).to(self.device)

    def training_step(self, batch: PatchBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of one batch of patches."""
        images = batch.image.contiguous(memory_format=torch.channels_last)
        loss: Tensor = self.loss(self(images), batch.masks[self.task].long())
        self.log(
            "train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(images)
        )
        return loss

    def validation_step(self, batch: CaseBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Score the annotated slices of one case."""
        predicted = self._labels(batch.image)
        if batch.counted:
            self.dice.update(predicted, batch.masks[self.task])

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice of the labels seen, and that of each."""
        self._log_scores("val", {"dice": self.dice})

    def test_step(self, batch: CaseBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Score the annotated slices of one case, contours included."""
        predicted = self._labels(batch.image)
        if batch.counted:
            self.dice.update(predicted, batch.masks[self.task])
            # Slices as the last axis: the protocol "slice" looks at them one by one.
            volumes = predicted.movedim(0, -1), batch.masks[self.task].movedim(0, -1)
            self.surface_dice.update(*volumes, spacing_mm=batch.spacing_mm)

    def on_test_epoch_end(self) -> None:
        """Log both scores, as a mean over labels and of each."""
        self._log_scores("test", {"dice": self.dice, "nsd": self.surface_dice})

    def predict_step(self, batch: str, batch_idx: int) -> Prediction:  # noqa: ARG002
        """Return the label map of the CT at path ``batch``."""
        labels = self.predict_volume(read_image(Path(batch)))
        return Prediction(batch, labels.array, labels.affine)

    def predict_volume(self, image: Volume, **options: Any) -> Volume:  # noqa: ANN401
        """Return the label map of a CT; options as of :func:`training.slicewise.predict_labels`."""
        self.eval()
        options.setdefault("batch_size", self.slices_per_pass)
        return predict_labels(self.network, image, self.spec, **options)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW whose rate rises and falls once over the whole run."""
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        # A function of the step, so that a resumed run may be longer than the one it goes on with.
        schedule = LambdaLR(optimizer, partial(warmup_cosine, total_steps=steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well."""
        self.network.save_pretrained(folder)
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config[_CONFIG_KEY] = {
            "input": asdict(self.spec),
            "hyperparameters": dict(self.hparams) | {"encoder_weights": None},
            "labels": label_names(self.task),
        }
        path.write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Return the network that :meth:`save_pretrained` wrote, ready to predict.

        Raises:
            UnreadableFileError: The folder does not hold such a network.
        """
        path = Path(folder) / "config.json"
        try:
            config = json.loads(path.read_text())[_CONFIG_KEY]
            with redirect_stdout(io.StringIO()):  # the Hub's loader prints where it reads from
                network = smp.from_pretrained(folder)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UnreadableFileError(
                path,
                found=f"no model of this package ({type(error).__name__}: {error})",
                expected="a folder with config.json and model.safetensors",
                remedy="Give the folder that training or the demo wrote, e.g. demo/model.",
            ) from error
        segmenter = cls(**config["hyperparameters"])
        segmenter.network = network.to(memory_format=torch.channels_last)
        spacing = torch.tensor(config["input"]["spacing_range_mm"])
        segmenter.spacing_range_mm.copy_(spacing)
        return segmenter.eval()

    def _labels(self, images: Tensor) -> Tensor:
        """Return uint8 labels (N, I, J) of a case's slices, a few at a time."""
        chunks = images.split(self.slices_per_pass)
        return torch.cat([self(chunk).argmax(dim=1).to(torch.uint8) for chunk in chunks])

    def _log_scores(
        self, stage: str, metrics: dict[str, SparseDice | NormalizedSurfaceDice]
    ) -> None:
        names = label_names(self.task)
        for name, metric in metrics.items():
            scores = metric.compute()
            self.log(f"{stage}_{name}", metric.macro().float(), prog_bar=True)
            for label, score in zip(names[1:], scores[1:], strict=True):
                if not score.isnan():
                    self.log(f"{stage}_{name}/{label}", score.float())
            metric.reset()


def warmup_cosine(step: int, *, total_steps: int, warmup: float = 0.2) -> float:
    """Return the share of the peak rate at a step: linear rise, then half a cosine down to 0.

    >>> [round(warmup_cosine(step, total_steps=10), 2) for step in (0, 1, 2, 6, 10)]
    [0.33, 0.67, 1.0, 0.5, 0.0]
    """
    rise = round(warmup * total_steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = min((step - rise) / max(total_steps - rise, 1), 1.0)
    return (1 + math.cos(math.pi * progress)) / 2
