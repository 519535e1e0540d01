"""Streams of patches around annotated voxels, ours and other packages', from the same cases.

Each function returns an endless iterator of (image, mask) batches. Peers are set up as in their
documentation, with all possible preprocessing done beforehand.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from saros_hf.cases.files import CaseFiles, find_cases
from saros_hf.nifti import read_image, read_mask

Stream: TypeAlias = Iterator[tuple[Any, Any]]
Size: TypeAlias = tuple[int, ...]
BATCH = 8
IGNORED = 14
"""Replaces 255 for peers that need consecutive labels."""


class BareMemoryMap(Dataset):
    """Random crops of two raw files, copied into one buffer per batch: an upper bound."""

    def __init__(self, folder: Path, size: Size) -> None:
        shape = tuple(np.load(folder / "shape.npy").tolist())
        self.image = np.memmap(folder / "image.raw", np.int16, "r", shape=shape)
        self.mask = np.memmap(folder / "mask.raw", np.uint8, "r", shape=shape)
        self.size = size if len(size) == 2 else (size[2], *size[:2])

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(number)
        image = np.empty((BATCH, *self.size), np.int16)
        mask = np.empty((BATCH, *self.size), np.uint8)
        depth = self.size[0] if len(self.size) == 3 else 1
        rows = rng.integers(0, len(self.image) - depth + 1, BATCH).tolist()
        height, width = self.size[-2:]
        places = rng.integers(0, np.array(self.image.shape[1:]) - (height, width) + 1, (BATCH, 2))
        for n, (row, (i, j)) in enumerate(zip(rows, places.tolist(), strict=True)):
            piece = slice(row, row + depth) if len(self.size) == 3 else row
            image[n] = self.image[piece, i : i + height, j : j + width]
            mask[n] = self.mask[piece, i : i + height, j : j + width]
        return torch.from_numpy(image), torch.from_numpy(mask)

    def __len__(self) -> int:
        return 2**40


def write_raw(folder: Path, cases: list[CaseFiles], *, every: bool) -> None:
    """Write the annotated slices, or all slices, of the cases as two raw files."""
    folder.mkdir(parents=True)
    images, masks = [], []
    for files in cases:
        mask = read_mask(files.mask("body-regions"), "body-regions").to_ras().array
        image = read_image(files.image).to_ras().array
        keep = np.arange(mask.shape[2]) if every else np.flatnonzero((mask != 255).all((0, 1)))
        images.append(np.moveaxis(image[..., keep], 2, 0))
        masks.append(np.moveaxis(mask[..., keep], 2, 0))
    stacked = np.concatenate(images).astype(np.int16)
    np.save(folder / "shape.npy", stacked.shape)
    stacked.tofile(folder / "image.raw")
    np.concatenate(masks).astype(np.uint8).tofile(folder / "mask.raw")


def bare(folder: Path, size: Size) -> Stream:
    """A DataLoader without workers around the bare memory map."""
    data = BareMemoryMap(folder / ("raw3d" if len(size) == 3 else "raw"), size)
    return iter(DataLoader(data, batch_size=None, collate_fn=_same))


def ours(folder: Path, size: Size, *, form: str = "int16", compress: bool = False) -> Stream:
    """The train loader's batches: as read, normalised, or augmented on the device (here the CPU)."""
    from training.data.patch_batches import PatchDataset
    from training.data.slice_store import SliceStore
    from training.transforms import (
        DEFAULT_WINDOW,
        Augmentation,
        BatchedAugmentation,
        Normalisation,
    )

    kind = ("packed" if compress else "plain") + ("3d" if len(size) == 3 else "")
    store = SliceStore(datasets.load_from_disk(folder / kind), ["body-regions"])
    dataset = PatchDataset(store, patch_size=size, batch_size=BATCH, seed=0)
    transform = {
        "int16": lambda batch: batch,
        "normalised": Normalisation(DEFAULT_WINDOW),
        "batched": BatchedAugmentation(Augmentation(), DEFAULT_WINDOW),
    }[form]
    loader = DataLoader(dataset, batch_size=None, sampler=count(), collate_fn=_same)
    for batch in loader:
        done = transform(batch)
        yield done.image, done.masks["body-regions"]


def torchio(folder: Path, size: Size, *, processes: int) -> Stream:
    """Queue and LabelSampler, even over the labels without 255; processes load subjects."""
    import torchio as tio

    subjects = [
        tio.Subject(image=tio.ScalarImage(c.image), mask=tio.LabelMap(c.mask("body-regions")))
        for c in find_cases(folder / "cases")
    ]
    thick = len(size) == 3
    sampler = tio.LabelSampler(
        size if thick else (*size, 1), "mask", dict.fromkeys(range(14), 1) | {255: 0}
    )
    samples = 8 if thick else 24
    data = tio.SubjectsDataset(subjects)
    queue = tio.Queue(data, 4 * samples, samples, sampler, num_workers=processes)
    loader = tio.SubjectsLoader(queue, batch_size=BATCH, num_workers=0)
    while True:
        for batch in loader:
            yield batch["image"][tio.DATA], batch["mask"][tio.DATA]


def monai(folder: Path, size: Size, *, processes: int) -> Stream:
    """CacheDataset with precomputed indices and RandCropByLabelClassesd; processes cut patches."""
    from monai import data as md
    from monai import transforms as mt

    keys = ["image", "mask"]
    thick = len(size) == 3
    chain = mt.Compose(
        [
            mt.LoadImaged(keys, ensure_channel_first=True, dtype=np.float32),
            mt.Lambdad("mask", lambda mask: torch.where(mask == 255, IGNORED, mask)),
            mt.ClassesToIndicesd("mask", num_classes=IGNORED + 1),
            mt.RandCropByLabelClassesd(
                keys,
                label_key="mask",
                spatial_size=size if thick else (*size, 1),
                ratios=[1] * IGNORED + [0],
                num_classes=IGNORED + 1,
                num_samples=BATCH,
                indices_key="mask_cls_indices",
                warn=False,
            ),
        ]
    )
    cases = find_cases(folder / "cases")
    items = [{"image": str(c.image), "mask": str(c.mask("body-regions"))} for c in cases]
    data = md.CacheDataset(items, chain, cache_rate=1.0, num_workers=2, progress=False)
    loader = md.DataLoader(
        data, batch_size=1, shuffle=True, num_workers=processes, persistent_workers=processes > 0
    )
    while True:
        for batch in loader:
            yield batch["image"], batch["mask"]


def write_nnunet(folder: Path, cases: list[CaseFiles], size: Size) -> None:
    """Write cases as nnU-Net's preprocessing does: normalised float32 in Blosc2 files."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import (
        comp_blosc2_params,
        nnUNetDatasetBlosc2,
    )

    folder.mkdir(parents=True)
    patch = (1, *size) if len(size) == 2 else (size[2], *size[:2])
    for files in cases:
        image = read_image(files.image).to_ras().array
        mask = read_mask(files.mask("body-regions"), "body-regions").to_ras().array
        data = np.moveaxis((image.clip(-250, 350) - 50) / 200, 2, 0)[None].astype(np.float32)
        seg = np.moveaxis(np.where(mask == 255, IGNORED, mask), 2, 0)[None].astype(np.int8)
        classes = [*range(1, IGNORED), (-1, *range(IGNORED))]
        locations = DefaultPreprocessor._sample_foreground_locations(seg, classes)
        blocks, chunks = comp_blosc2_params(data.shape, patch, data.itemsize)
        nnUNetDatasetBlosc2.save_case(
            np.ascontiguousarray(data),
            np.ascontiguousarray(seg),
            {"class_locations": locations},
            str(folder / files.case.case_id),
            chunks=chunks,
            blocks=blocks,
            chunks_seg=chunks,
            blocks_seg=blocks,
        )


def nnunet(folder: Path, size: Size, *, processes: int) -> Stream:
    """nnU-Net v2's loader with its default third of patches forced to foreground.

    Processes are started as in its trainer: batchgenerators' augmenter, six batches ahead.
    """
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import (
        NonDetMultiThreadedAugmenter,
    )
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    names = {"background": 0} | {str(n): n for n in range(1, IGNORED)} | {"ignore": IGNORED}
    patch = size if len(size) == 2 else (size[2], *size[:2])
    data = nnUNetDatasetBlosc2(str(folder / f"nnunet{len(size)}d"))
    loader = nnUNetDataLoader(data, BATCH, patch, patch, LabelManager(names, None), 0.33)
    if processes:
        loader = NonDetMultiThreadedAugmenter(loader, None, processes, 6, wait_time=0.002)
    while True:
        batch = next(loader)
        yield batch["data"], batch["target"]


def _same(batch: Any) -> Any:
    return batch


OURS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bare memory map": (bare, {}),
    "ours, int16": (ours, {}),
    "ours, normalised float32": (ours, {"form": "normalised"}),
    "ours, packed, int16": (ours, {"compress": True}),
    "ours, augmented in batches": (ours, {"form": "batched"}),
}
PEERS = {"nnU-Net 2.8": nnunet, "MONAI": monai, "TorchIO": torchio}
CONTENDERS = OURS | {
    f"{peer}, {processes} processes": (stream, {"processes": processes})
    for peer, stream in PEERS.items()
    for processes in (0, 2)
}


def better_settings(rates: dict[str, list[float]]) -> set[str]:
    """Return the setting with the higher median rate for each peer."""
    found = set()
    for peer in PEERS:
        settings = [name for name in rates if name.startswith(peer)]
        found.add(max(settings, key=lambda name: median(rates[name])))
    return found


def unannotated_in(name: str) -> int:
    """Return the value that replaces 255 in a contender's masks; nnU-Net also pads with -1."""
    return IGNORED if name.startswith(("nnU-Net", "MONAI")) else 255
