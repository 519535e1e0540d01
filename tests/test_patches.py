from pathlib import Path

import numpy as np
import pytest
import torch

import saros_hf
from training.patches import EpochSampler, PatchDataset
from training.store import SliceStore


@pytest.fixture(scope="module")
def store(phantoms: Path, cache: Path) -> SliceStore:
    rows = saros_hf.load_dataset("slices", data_dir=phantoms, split="train", cache_dir=str(cache))
    return SliceStore(rows, "body-regions")


def dataset(store: SliceStore, **options: object) -> PatchDataset:
    options = {"augment": False, "seed": 0, "patch_size": (48, 40)} | options
    return PatchDataset(store, task="body-regions", window=(-250.0, 350.0), **options)


def test_a_patch_has_the_shapes_and_types_a_network_wants(store: SliceStore) -> None:
    for augment in (False, True):
        patch = dataset(store, augment=augment)[3]
        assert patch["image"].shape == (1, 48, 40)
        assert patch["image"].dtype == torch.float32
        assert -1 <= patch["image"].min() <= patch["image"].max() <= 1
        assert patch["mask"].shape == (48, 40)
        assert patch["mask"].dtype == torch.int64


def test_a_patch_is_a_function_of_seed_and_number(store: SliceStore) -> None:
    for augment in (False, True):
        one, same = dataset(store, augment=augment), dataset(store, augment=augment)
        torch.manual_seed(5)
        first = one[7]["image"]
        before = torch.get_rng_state()
        assert torch.equal(same[7]["image"], first)
        assert torch.equal(torch.get_rng_state(), before)  # nobody else's draws change
        assert not torch.equal(one[8]["image"], first)
        assert not torch.equal(dataset(store, augment=augment, seed=1)[7]["image"], first)


def test_centres_are_spread_evenly_over_all_labels(store: SliceStore) -> None:
    patches = dataset(store)
    centres = [int(patches[n]["mask"][24, 20]) for n in range(700)]
    present = [label for label, slices in enumerate(store.slices_with) if slices.size]
    counts = np.bincount(centres, minlength=14)
    expected = 700 / len(present)
    # Chi-square with 11 to 13 degrees of freedom: 40 lies beyond the 99.98th percentile.
    assert ((counts[present] - expected) ** 2 / expected).sum() < 40
    assert counts.sum() == counts[present].sum()


def test_ranks_and_epochs_share_no_patch() -> None:
    seen: list[int] = []
    for epoch in range(3):
        for rank in range(3):
            sampler = EpochSampler(20, world_size=3, rank=rank)
            sampler.set_epoch(epoch)
            numbers = list(sampler)
            assert len(numbers) == len(sampler) == 6
            seen += numbers
    assert sorted(seen) == list(range(54))
