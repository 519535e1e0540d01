"""Lightning data module: patches for training, whole cases for validation and test."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from datasets import DatasetDict
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Dataset

import saros_hf
from saros_hf.cases.files import find_cases
from saros_hf.errors import UsageError
from saros_hf.folds import SplitName, split_of
from saros_hf.labels import Task

from .data.case_batches import CaseBatch, CaseDataset
from .data.label_weights import refuse_bad_task_weights
from .data.loaders import EpochLoader, EpochSampler, ShareSampler, refuse_small_shared_memory
from .data.patch_batches import PatchBatch, PatchDataset, PatchSize
from .data.slice_store import split_store
from .data.tasks import TaskChoice, tasks_of
from .transforms import (
    DEFAULT_WINDOW,
    Augmentation,
    BatchedAugmentation,
    Normalisation,
    Window,
    normalise_hu,
    refuse_bad_window,
)

SHARED = ("task", "context", "window")
"""Options that data and network share."""


class SarosDataModule(LightningDataModule):
    """SAROS as a Lightning data module.

    Args:
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        task: ``body-regions``, ``body-parts``, or ``joint`` for both label maps of each image.
        fold: Number of the validation fold, 1 to 5.
        context: Neighbouring slices on each side, as channels.
        patch_size: Voxels of a training patch along i and j, or along i, j and k.
        patches_per_epoch: Training patches of one epoch over all ranks.
        batch_size: Patches of one step on each rank.
        window: Hounsfield units that become -1 and 1.
        augment: Augment training patches at random.
        augmentation: Ranges of the augmentation.
        label_weights: For each task, a weight for drawing each label id; even for tasks without.
        compress: Keep slices compressed, at a third of the size on disk and in memory: the better
            choice if the training slices exceed the memory.
        num_workers: Processes that cut patches; with 0 the training process cuts them.
        cache_dir: Folder for the Arrow files of `datasets`.
        seed: Seed for the patches; ``None`` takes that of ``seed_everything``.

    Raises:
        UsageError: An option has a value that cannot be used.

    Example:
        >>> data = SarosDataModule("DIR", task="joint", context=1, patch_size=(256, 256))
    """

    def __init__(  # noqa: PLR0913 - the arguments are the command line
        self,
        data_dir: Path,
        task: TaskChoice = "body-regions",
        fold: int = 1,
        context: int = 0,
        patch_size: PatchSize = (256, 256),
        patches_per_epoch: int = 2000,
        batch_size: int = 8,
        window: Window = DEFAULT_WINDOW,
        augment: bool = True,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        label_weights: dict[Task, list[float]] | None = None,
        compress: bool = False,
        num_workers: int = 0,
        cache_dir: Path | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        # A rank may have no CT to predict.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.data_dir = Path(data_dir)
        self.task = task
        self.fold = fold
        self.context = context
        self.patch_size = patch_size
        self.patches_per_epoch = patches_per_epoch
        self.batch_size = batch_size
        self.window: Window = (float(window[0]), float(window[1]))
        self.augment = augment
        self.augmentation = augmentation
        self.label_weights = label_weights
        self.compress = compress
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
        self._refuse_bad_options()

    def prepare_data(self) -> None:
        """Build the Arrow cache in one process, before all ranks open it; prediction needs none."""
        if self.trainer is None or self.trainer.state.fn != TrainerFn.PREDICTING:
            self._load()

    def setup(self, stage: str) -> None:
        """Open the splits that ``stage`` needs; prediction reads NIfTI files instead."""
        splits: dict[str, tuple[SplitName, ...]] = {
            "fit": ("train", "validation"),
            "validate": ("validation",),
            "test": ("test",),
        }
        if stage in splits:
            dataset = self._load()
            tasks = tasks_of(self.task)
            self.stores = {
                split: split_store(dataset, split, tasks, self.data_dir) for split in splits[stage]
            }

    def train_dataset(self) -> PatchDataset:
        """Return the batches of training patches of all epochs and ranks."""
        return PatchDataset(
            self.stores["train"],
            patch_size=self.patch_size,
            batch_size=self.batch_size,
            seed=self.seed,
            label_weights=self.label_weights,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ANN401, ARG002
        """Normalise a batch on the network's device, and augment it if it is for training."""
        if isinstance(batch, CaseBatch):
            return replace(batch, image=normalise_hu(batch.image, self.window))
        if not isinstance(batch, PatchBatch):
            return batch
        if self.augment:
            return BatchedAugmentation(self.augmentation, self.window)(batch)
        return Normalisation(self.window)(batch)

    def train_dataloader(self) -> DataLoader[PatchBatch]:
        """Return batches of patches in Hounsfield units, a function of (seed, epoch, rank).

        Raises:
            UsageError: There is no batch for each rank, no memory to pass batches in, or the
                trainer wants the same batches in each epoch.
        """
        world_size, rank = self._ranks()
        self._refuse_bad_loading()
        if self.patches_per_epoch < self.batch_size * world_size:
            raise UsageError(
                "--data.patches_per_epoch",
                str(self.patches_per_epoch),
                f"at least {self.batch_size * world_size}, a batch for each rank",
                "Raise it, or lower --data.batch_size.",
            )
        batches = self.patches_per_epoch // (self.batch_size * world_size)
        return EpochLoader(
            self.train_dataset(),
            batch_size=None,
            sampler=EpochSampler(batches, world_size=world_size, rank=rank),
            collate_fn=_unchanged,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def state_dict(self) -> dict[str, int]:
        """Return the validation fold, for the checkpoint."""
        return {"fold": self.fold}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Check that the network was not trained on the validation fold.

        Raises:
            UsageError: It was.
        """
        validates = self.trainer and self.trainer.state.fn in ("fit", "validate")
        if validates and state_dict["fold"] != self.fold:
            raise UsageError(
                "--fold",
                str(self.fold),
                f"{state_dict['fold']}, the fold that the checkpoint was not trained on",
                "Give that, or another --ckpt_path.",
            )

    def val_dataloader(self) -> DataLoader[CaseBatch]:
        """Return this rank's share of the validation cases, one a batch."""
        return self._case_loader("validation")

    def test_dataloader(self) -> DataLoader[CaseBatch]:
        """Return this rank's share of the test cases, one a batch."""
        return self._case_loader("test")

    def predict_dataloader(self) -> DataLoader[str]:
        """Return the paths of this rank's share of the test cases' CTs, one a batch."""
        cases = find_cases(self.data_dir)
        test = [c for c in cases if split_of(c.case.fold, validation_fold=self.fold) == "test"]
        world_size, rank = self._ranks()
        share = cast("Dataset[str]", [str(files.image) for files in test[rank::world_size]])
        return DataLoader(share, batch_size=None, sampler=ShareSampler(share))

    def _load(self) -> DatasetDict:
        return saros_hf.load_dataset(
            "slices",
            data_dir=self.data_dir,
            fold=self.fold,
            context=self.context,
            unannotated=len(self.patch_size) == 3,
            compress=self.compress,
            cache_dir=None if self.cache_dir is None else str(self.cache_dir),
        )

    def _case_loader(self, split: Literal["validation", "test"]) -> DataLoader[CaseBatch]:
        world_size, rank = self._ranks()
        share = CaseDataset(self.stores[split], world_size=world_size, rank=rank)
        sampler = ShareSampler(share)
        return DataLoader(share, batch_size=None, sampler=sampler, collate_fn=_unchanged)

    def _ranks(self) -> tuple[int, int]:
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _refuse_bad_loading(self) -> None:
        trainer = self.trainer
        if trainer is not None and trainer.overfit_batches:  # type: ignore[attr-defined]
            found, expected = str(trainer.overfit_batches), "0: each epoch draws other patches"  # type: ignore[attr-defined]
            remedy = "For a few batches an epoch, lower --data.patches_per_epoch."
            raise UsageError("--trainer.overfit_batches", found, expected, remedy)
        voxel_bytes = 2 * (2 * self.context + 1) + len(tasks_of(self.task))  # int16, uint8
        batch_bytes = voxel_bytes * self.batch_size * math.prod(self.patch_size)
        ranks_here = 1 if trainer is None else trainer.num_devices
        refuse_small_shared_memory(self.num_workers * ranks_here, batch_bytes)

    def _refuse_bad_options(self) -> None:
        size, tasks = self.patch_size, get_args(TaskChoice)
        legal = {
            "task": (self.task in tasks, " or ".join(tasks)),
            "patch_size": (len(size) in (2, 3) and min(size) > 0, "2 or 3 numbers from 1 on"),
            "context": (
                self.context == 0 or (self.context > 0 and len(size) == 2),
                "0 or more, 0 with a patch_size of 3 numbers",
            ),
            "batch_size": (self.batch_size > 0, "1 or more"),
            "num_workers": (self.num_workers >= 0, "0 or more"),
        }
        for option, (is_legal, expected) in legal.items():
            if not is_legal:
                raise UsageError(f"--data.{option}", str(getattr(self, option)), expected)
        refuse_bad_window(self.window)
        refuse_bad_task_weights(self.label_weights, tasks_of(self.task))


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 - items are whole batches already
    return batch
