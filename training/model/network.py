"""Base class of trained networks: prediction, saving and loading."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

import torch
from lightning import LightningModule
from safetensors.torch import load_model
from torch import Tensor, nn

from saros_hf.labels import Task, label_names
from saros_hf.volume import Volume

from ..data.tasks import TaskChoice
from ..transforms import Window
from .input_spec import InputSpec
from .predict_volume import predict_maps
from .pretrained import WEIGHTS, explain_unreadable, model_folder, read_config, write_pretrained
from .test_time_averaging import PredictOptions, padded_forward
from .training_record import TrainingRecord


class SarosNetwork(LightningModule):
    """An SMP network that labels CTs; :class:`training.module.SarosSegmenter` trains it.

    The encoder is chosen there with ``encoder_name`` and ``encoder_weights``; ``options`` there
    holds further arguments of the SMP architecture, e.g. ``decoder_channels``.

    Attributes:
        record: Data and settings of the training, ``None`` before training.
        options: Default options for the prediction of volumes.
    """

    network: nn.Module
    task: TaskChoice
    tasks: tuple[Task, ...]
    context: int
    position: bool
    window: Window
    slices_per_pass: int
    spacing_range_mm: Tensor
    slice_spacing_mm: Tensor
    record: TrainingRecord | None = None
    options = PredictOptions()

    @property
    def spec(self) -> InputSpec:
        """Description of the network's input and output."""
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

        Args:
            images: Batch of slices.
            position: (B, 2), see :func:`training.model.input_spec.with_position`; ignored by a
                network without position channels.

        Returns:
            Logits, the classes of all tasks one after another.
        """
        images = images.to(self.dtype)  # float32 unless trained with --trainer.precision bf16-true
        return padded_forward(self.network, images, position if self.position else None)

    def predict_maps(self, image: Volume) -> dict[Task, Volume]:
        """Return each task's label map, see :func:`training.model.predict_volume.predict_maps`."""
        self.eval()
        options = replace(self.options, batch_size=self.slices_per_pass)
        return predict_maps([self.network], image, self.spec, options)

    def predict_volume(self, image: Volume) -> Volume:
        """Return the label map of a CT; for a joint network, that of the body regions."""
        return self.predict_maps(image)[self.tasks[0]]

    def save_pretrained(self, folder: Path, *, members: Sequence[str] = ()) -> None:
        """Write safetensors and config.json that ``smp.from_pretrained(folder)`` reads as well.

        Args:
            folder: Folder to write to, made if missing.
            members: Subfolders with the other networks of an ensemble.
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
        """Return a network that :meth:`save_pretrained` wrote, in eval mode.

        Args:
            name: Folder, or ``user/name`` or ``user/name@revision`` on the Hub. For an ensemble,
                this returns the first network;
                :func:`training.predict.ensemble.read_ensemble` returns all.

        Raises:
            UnreadableFileError: The folder does not hold such a network.
            HubError: The model cannot be downloaded.
        """
        folder = model_folder(name)
        config = read_config(folder)
        with explain_unreadable(folder / "config.json", config):
            # The folder holds all weights: those that training started from are not downloaded.
            segmenter = cls(**config["hyperparameters"] | {"encoder_weights": None})
            segmenter.spacing_range_mm.copy_(torch.tensor(config["input"]["spacing_range_mm"]))
            segmenter.slice_spacing_mm.fill_(config["input"]["slice_spacing_mm"])
            segmenter.options = PredictOptions(**config["prediction"])
            segmenter.record = TrainingRecord.from_dict(config["training"])
        with explain_unreadable(folder / WEIGHTS, config):
            load_model(segmenter.network, folder / WEIGHTS)
        return segmenter.eval()
