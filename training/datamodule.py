"""Feeds Lightning: patches for training, all annotated slices of a case for validation."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from datasets import DatasetDict
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import saros_hf
from saros_hf.case_files import find_cases
from saros_hf.errors import MissingFileError, UsageError
from saros_hf.folds import SplitName, split_of
from saros_hf.labels import Task

from .patches import EpochSampler, PatchBatch, PatchDataset
from .store import SliceStore
from .transforms import DEFAULT_WINDOW, Window, normalise_hu


@dataclass(frozen=True, eq=False)
class CaseBatch:
    """All annotated slices of one case.

    Attributes:
        image: float32 (N, C, I, J) in [-1, 1].
        mask: uint8 (N, I, J).
        counted: False for the copies that even out the ranks' shares; they are not scored.
    """

    case_id: str
    image: Tensor
    mask: Tensor
    spacing_mm: tuple[float, float, float]
    counted: bool

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "CaseBatch":
        """Return a copy with its tensors on ``device``; Lightning calls this."""
        image = self.image.to(device, non_blocking=non_blocking)
        mask = self.mask.to(device, non_blocking=non_blocking)
        return replace(self, image=image, mask=mask)


class SarosDataModule(LightningDataModule):
    """SAROS as Lightning wants it.

    Args:
        data_dir: Folder of ``case_XXX`` folders with the Segmentation Info CSV.
        task: ``body-regions`` or ``body-parts``.
        fold: Number 1..5 of the validation fold.
        context: Neighbouring slices on each side, as channels.
        patch_size: Voxels of a training patch along i and j.
        patches_per_epoch: Training patches of one epoch over all ranks.
        batch_size: Patches of one step on each rank.
        window: Hounsfield units that become -1 and 1.
        augment: Scale, rotate, mirror and add noise to training patches.
        num_workers: Processes that cut patches; 0 cuts them in the training process.
        cache_dir: Where `datasets` keeps its Arrow files.
        seed: Seed of the patches; ``None`` takes that of ``seed_everything``.
    """

    def __init__(  # noqa: PLR0913 - the arguments are the command line
        self,
        data_dir: Path,
        task: Task = "body-regions",
        fold: int = 1,
        context: int = 0,
        patch_size: tuple[int, int] = (256, 256),
        patches_per_epoch: int = 2000,
        batch_size: int = 8,
        window: Window = DEFAULT_WINDOW,
        augment: bool = True,
        num_workers: int = 0,
        cache_dir: Path | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.data_dir = Path(data_dir)
        self.task = task
        self.fold = fold
        self.context = context
        self.patch_size = patch_size
        self.patches_per_epoch = patches_per_epoch
        self.batch_size = batch_size
        self.window = window
        self.augment = augment
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed

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
        """Return the training patches of all epochs and ranks."""
        return PatchDataset(
            self.stores["train"],
            task=self.task,
            patch_size=self.patch_size,
            window=self.window,
            augment=self.augment,
            seed=self.seed,
        )

    def train_dataloader(self) -> DataLoader[PatchBatch]:
        """Return batches of patches, a function of (seed, epoch, rank)."""
        world_size, rank = self._ranks()
        if self.patches_per_epoch < self.batch_size * world_size:
            raise UsageError(
                "--data.patches_per_epoch",
                found=str(self.patches_per_epoch),
                expected=f"at least {self.batch_size * world_size}, a batch for each rank",
                remedy="Raise it, or lower --data.batch_size.",
            )
        sampler = EpochSampler(self.patches_per_epoch, world_size=world_size, rank=rank)
        return DataLoader(
            self.train_dataset(),
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            drop_last=True,
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
        paths = [str(files.image) for files in test[rank::world_size]]
        return DataLoader(cast("Dataset[str]", paths), batch_size=None, shuffle=False)

    def in_plane_spacing_mm(self) -> tuple[float, float]:
        """Return the smallest and largest in-plane spacing among the training slices."""
        return self.stores["train"].in_plane_spacing_mm()

    def _load(self) -> DatasetDict:
        return saros_hf.load_dataset(
            "slices",
            data_dir=self.data_dir,
            fold=self.fold,
            context=self.context,
            cache_dir=None if self.cache_dir is None else str(self.cache_dir),
        )

    def _store(self, dataset: DatasetDict, split: SplitName) -> SliceStore:
        store = SliceStore(dataset[split], self.task) if split in dataset else None
        if store is None or not len(store):
            raise MissingFileError(
                self.data_dir,
                found=f"no {self.task} annotation in the {split} split",
                expected=f"at least one annotated case in {split}",
                remedy="Add cases of its folds, or choose another --data.fold.",
            )
        return store

    def _case_loader(self, split: Literal["validation", "test"]) -> DataLoader[CaseBatch]:
        world_size, rank = self._ranks()
        dataset = _CaseDataset(self.stores[split], self.window, world_size=world_size, rank=rank)
        return DataLoader(dataset, batch_size=None, shuffle=False)

    def _ranks(self) -> tuple[int, int]:
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank


class _CaseDataset(Dataset[CaseBatch]):
    """One rank's share of the cases, as many items on every rank.

    Ranks with unequal numbers of steps wait for one another for ever, so short shares are filled
    up with cases that are not counted.
    """

    def __init__(self, store: SliceStore, window: Window, *, world_size: int, rank: int) -> None:
        self.store = store
        self.window = window
        cases = sorted(store.cases().items())
        length = -(-len(cases) // world_size)
        numbers = range(rank, length * world_size, world_size)
        self.share = [(*cases[n % len(cases)], n < len(cases)) for n in numbers]

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, index: int) -> CaseBatch:
        case_id, members, counted = self.share[index]
        slices = [self.store[member] for member in members]
        image = torch.from_numpy(np.stack([s.image for s in slices]))
        return CaseBatch(
            case_id=case_id,
            image=normalise_hu(image, self.window),
            mask=torch.from_numpy(np.stack([s.mask for s in slices])),
            spacing_mm=slices[0].spacing_mm,
            counted=counted,
        )
