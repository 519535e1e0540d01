"""Feeds Lightning: patches for training, all annotated slices of a case for validation."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

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
from .data.loaders import EpochSampler, ResumableLoader, ShareSampler, leave_signals_to_parent
from .data.memory import warn_if_larger_than_memory
from .data.patch_batches import PatchBatch, PatchDataset, PatchSize
from .data.slice_store import SliceStore, split_store
from .data.tasks import TaskChoice, tasks_of
from .transforms import (
    DEFAULT_WINDOW,
    Augmentation,
    BatchedAugmentation,
    Normalisation,
    PerPatchAugmentation,
    Window,
    normalise_hu,
    refuse_bad_window,
)


class SarosDataModule(LightningDataModule):
    """SAROS as Lightning wants it.

    Args:
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        task: ``body-regions``, ``body-parts``, or ``joint`` for both label maps of each image.
        fold: Number 1..5 of the validation fold.
        context: Neighbouring slices on each side, as channels.
        patch_size: Voxels of a training patch along i and j, or along i, j and k.
        patches_per_epoch: Training patches of one epoch over all ranks.
        batch_size: Patches of one step on each rank.
        window: Hounsfield units that become -1 and 1.
        augment: Change training patches at random.
        augmentation: Bounds of these changes.
        augment_on: ``device`` for all patches of a batch at once where the network is, ``workers``
            for TorchIO's transforms, patch by patch, where they are cut.
        label_weights: For each task, how often each label id is drawn; evenly if ``None``, and
            from a label map that is not named.
        compress: Keep slices packed: a third of the size on disk and in memory, and the better
            choice as soon as the plain ones do not fit into memory.
        num_workers: Processes that cut patches; 0 cuts them in the training process.
        cache_dir: Where `datasets` keeps its Arrow files.
        seed: Seed of the patches; ``None`` takes that of ``seed_everything``.

    Raises:
        UsageError: An option has a value that cannot be used.
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
        augment_on: Literal["device", "workers"] = "device",
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
        self.window = window
        self.augment = augment
        self.augmentation = augmentation
        self.augment_on = augment_on
        self.label_weights = label_weights
        self.compress = compress
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self._loader: ResumableLoader | None = None
        self._done = 0
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
        refuse_bad_options(self)

    def prepare_data(self) -> None:
        """Build the Arrow cache once, before the ranks open it; prediction needs none."""
        if self.trainer is None or self.trainer.state.fn != TrainerFn.PREDICTING:
            self._load()

    def setup(self, stage: str) -> None:
        """Open the splits that ``stage`` reads; prediction reads NIfTI files instead."""
        splits: dict[str, tuple[SplitName, ...]] = {
            "fit": ("train", "validation"),
            "validate": ("validation",),
            "test": ("test",),
        }
        if stage in splits:
            dataset = self._load()
            self.stores = {split: self._store(dataset, split) for split in splits[stage]}

    def train_dataset(self) -> PatchDataset:
        """Return the batches of training patches of all epochs and ranks."""
        in_workers, _ = self._transforms()
        return PatchDataset(
            self.stores["train"],
            patch_size=self.patch_size,
            batch_size=self.batch_size,
            seed=self.seed,
            label_weights=self.label_weights,
            transform=in_workers,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ANN401, ARG002
        """Return a batch as the network sees it, made so where the network is."""
        if isinstance(batch, CaseBatch):
            return replace(batch, image=normalise_hu(batch.image, self.window))
        _, on_device = self._transforms()
        return on_device(batch) if isinstance(batch, PatchBatch) and on_device else batch

    def train_dataloader(self) -> DataLoader[PatchBatch]:
        """Return batches of patches in Hounsfield units, a function of (seed, epoch, rank)."""
        world_size, rank = self._ranks()
        if self.patches_per_epoch < self.batch_size * world_size:
            raise UsageError(
                "--data.patches_per_epoch",
                str(self.patches_per_epoch),
                f"at least {self.batch_size * world_size}, a batch for each rank",
                "Raise it, or lower --data.batch_size.",
            )
        batches = self.patches_per_epoch // (self.batch_size * world_size)
        sampler = EpochSampler(batches, world_size=world_size, rank=rank)
        sampler.skip, self._done = self._done, 0  # later loaders begin with an epoch
        self._loader = ResumableLoader(
            self.train_dataset(),
            batch_size=None,
            sampler=sampler,
            collate_fn=_as_it_is,
            worker_init_fn=leave_signals_to_parent,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        return self._loader

    def state_dict(self) -> dict[str, int]:
        """Return the fold and how much of the current epoch is done, for the checkpoint.

        Lightning 2.6 keeps the loader's own state as well, but does not give it back to a loader
        that was asked for the length of the run before.
        """
        return {"fold": self.fold} | ({} if self._loader is None else self._loader.state_dict())

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on there with the next training loader.

        Raises:
            UsageError: The network was trained on this validation fold.
        """
        self._done = state_dict.get("batches", 0)
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

    def _transforms(self) -> tuple[Callable[[PatchBatch], PatchBatch] | None, ...]:
        """Return what happens to training patches where they are cut, and on the device."""
        if not self.augment:
            return None, Normalisation(self.window)
        if self.augment_on == "device":
            return None, BatchedAugmentation(self.augmentation, self.window)
        return PerPatchAugmentation(self.augmentation, self.window), None

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

    def _store(self, dataset: DatasetDict, split: SplitName) -> SliceStore:
        store = split_store(dataset, split, tasks_of(self.task), self.data_dir)
        if split == "train" and not self.compress:
            warn_if_larger_than_memory(dataset[split])
        return store

    def _case_loader(self, split: Literal["validation", "test"]) -> DataLoader[CaseBatch]:
        world_size, rank = self._ranks()
        share = CaseDataset(self.stores[split], world_size=world_size, rank=rank)
        sampler = ShareSampler(share)
        return DataLoader(share, batch_size=None, sampler=sampler, collate_fn=_as_it_is)

    def _ranks(self) -> tuple[int, int]:
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - items are batches already
    return batch


class DataOptions(Protocol):
    """The options of :class:`training.datamodule.SarosDataModule` that can be wrong by themselves."""

    task: TaskChoice
    context: int
    patch_size: PatchSize
    batch_size: int
    window: Window
    augment_on: Literal["device", "workers"]
    label_weights: dict[Task, list[float]] | None
    num_workers: int


def refuse_bad_options(options: DataOptions) -> None:
    """Raise unless all options can be used.

    Raises:
        UsageError: Names the first that cannot.
    """
    size = options.patch_size
    tasks = get_args(TaskChoice)
    legal = {
        "task": (options.task in tasks, " or ".join(tasks)),
        "patch_size": (len(size) in (2, 3) and min(size) > 0, "2 or 3 numbers from 1 on"),
        "context": (len(size) == 2 or not options.context, "0 with a patch_size of 3 numbers"),
        "batch_size": (options.batch_size > 0, "1 or more"),
        "num_workers": (options.num_workers >= 0, "0 or more"),
        "augment_on": (options.augment_on in ("device", "workers"), "device or workers"),
    }
    for option, (is_legal, expected) in legal.items():
        if not is_legal:
            found, remedy = str(getattr(options, option)), "Choose one of them."
            raise UsageError(f"--data.{option}", found, expected, remedy)
    refuse_bad_window(options.window)
    refuse_bad_task_weights(options.label_weights, tasks_of(options.task))
