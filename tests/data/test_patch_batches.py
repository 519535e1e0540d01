import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

import saros_hf
from saros_hf.labels import TASKS, num_classes
from saros_hf.load import views
from saros_hf.load.codec import unpack
from training.data.loaders import EpochSampler
from training.data.patch_batches import PatchDataset
from training.data.slice_store import SliceStore


@pytest.fixture(scope="module")
def store(phantoms: Path, cache: Path) -> SliceStore:
    return open_store(phantoms, cache)


def open_store(phantoms: Path, cache: Path, **options: Any) -> SliceStore:  # noqa: ANN401
    rows = saros_hf.load_dataset(
        "slices", data_dir=phantoms, split="train", cache_dir=str(cache), **options
    )
    return SliceStore(rows, TASKS)


def patches(store: SliceStore, **options: Any) -> PatchDataset:  # noqa: ANN401
    return PatchDataset(store, **({"seed": 0, "patch_size": (48, 40), "batch_size": 6} | options))


def test_batch_holds_hounsfield_units_and_both_masks(store: SliceStore) -> None:
    batch = patches(store)[3]
    assert batch.image.shape == (6, 1, 48, 40)
    assert batch.image.dtype == torch.int16
    assert list(batch.masks) == ["body-regions", "body-parts"]
    for mask in batch.masks.values():
        assert mask.shape == (6, 48, 40)
        assert mask.dtype == torch.uint8


def test_every_patch_is_a_crop_of_its_slice(store: SliceStore) -> None:
    dataset = patches(store)
    rng = np.random.default_rng([0, 3])
    centres = dataset._centres.draw(rng, 6)
    batch = dataset[3]
    reaching_over = 0
    for n, (row, i, j) in enumerate(centres):
        image = np.pad(store.image(row)[0], 60, constant_values=-1024)
        mask = np.pad(store.mask("body-regions", row), 60, constant_values=255)
        box = slice(60 + i - 24, 60 + i + 24), slice(60 + j - 20, 60 + j + 20)
        assert np.array_equal(batch.image[n, 0].numpy(), image[box])
        assert np.array_equal(batch.masks["body-regions"][n].numpy(), mask[box])
        reaching_over += (mask[box] == 255).any()
    assert reaching_over > 0


def test_compressed_slices_give_the_same_batches(
    store: SliceStore, phantoms: Path, cache: Path
) -> None:
    packed = patches(open_store(phantoms, cache, compress=True))
    for number in range(5):
        one, other = patches(store)[number], packed[number]
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.masks["body-parts"], other.masks["body-parts"])


def test_batch_unpacks_no_slice_twice(
    phantoms: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = patches(open_store(phantoms, cache, compress=True))
    unpacked: list[int] = []

    def counting(data: memoryview) -> NDArray[Any]:
        unpacked.append(len(data))
        return unpack(data)

    monkeypatch.setattr(views, "unpack", counting)
    batch = packed[3]
    # An image and two masks for each of six patches; two patches may share a slice.
    assert 0 < len(unpacked) <= 3 * len(batch.image)


def test_context_channels_are_the_neighbouring_slices(phantoms: Path, cache: Path) -> None:
    every = open_store(phantoms, cache, unannotated=True)
    thick = patches(open_store(phantoms, cache, context=2))[1].image
    assert thick.shape == (6, 5, 48, 40)
    stacked = patches(every, patch_size=(48, 40, 5))[1].image
    assert stacked.shape == (6, 1, 48, 40, 5)
    # Beyond the last slice there is air in three dimensions, a copy of that slice in 2.5-D.
    inside = (stacked != -1024).any(dim=(1, 2, 3))
    for n in range(6):
        for k in range(5):
            if inside[n, k]:
                assert torch.equal(thick[n, k], stacked[n, 0, ..., k])
    assert inside.sum() > 20


def test_thick_patch_is_annotated_where_its_slices_are(phantoms: Path, cache: Path) -> None:
    every = open_store(phantoms, cache, unannotated=True)
    batch = patches(every, patch_size=(64, 64, 16))[0]
    for mask in batch.masks.values():
        assert mask.shape == (6, 64, 64, 16)
    mask = batch.masks["body-regions"]
    seen = (mask != 255).any(dim=(1, 2))
    assert seen[:, 8].all()  # the centre is annotated
    assert 0.1 < seen.float().mean() < 0.4
    # A slice is annotated completely or not at all.
    within = (batch.image[:, 0] != -1024) & seen[:, None, None]
    assert (mask[within] != 255).float().mean() > 0.99


def test_batch_depends_on_seed_and_number_alone(store: SliceStore) -> None:
    first = patches(store)[7]
    same = patches(store)[7]
    assert torch.equal(same.image, first.image)
    assert same.seed == first.seed
    assert not torch.equal(patches(store)[8].image, first.image)
    assert not torch.equal(patches(store, seed=1)[7].image, first.image)


def test_rare_labels_are_drawn_as_often_as_any_other(store: SliceStore) -> None:
    dataset = patches(store, patch_size=(1, 1), batch_size=100)
    masks = [dataset[n].masks for n in range(20)]
    regions = torch.cat([one["body-regions"].flatten() for one in masks]).numpy()
    # Half of the patches are drawn for regions, evenly over those present.
    present = [n for n, label in enumerate(store.index["body-regions"]) if label.rows.size]
    rare = [n for n in present if n in (6, 8, 12, 13)]
    assert len(rare) > 1
    expected = 2000 / 2 / len(present)
    for label in rare:
        assert stats.binomtest(int((regions == label).sum()), 2000, expected / 2000).pvalue > 1e-5


def test_ranks_and_epochs_share_no_batch() -> None:
    seen: list[int] = []
    for epoch in range(3):
        for rank in range(3):
            sampler = EpochSampler(6, world_size=3, rank=rank)
            sampler.set_epoch(epoch)
            numbers = list(sampler)
            assert len(numbers) == len(sampler) == 6
            seen += numbers
    assert sorted(seen) == list(range(54))


def test_label_frequencies_are_counted_in_the_patches(store: SliceStore) -> None:
    dataset = patches(store)
    mask = torch.cat([dataset[n].masks["body-regions"].flatten() for n in range(4)]).numpy()
    counts = np.bincount(mask[mask != 255], minlength=14)
    absent = [not one.rows.size for one in store.index["body-regions"]]
    counts[counts == 0] = counts[counts > 0].min()  # brain and glands are missing in so few patches
    counts[absent] = 0
    found = dataset.label_frequencies("body-regions", 4 * 6)
    assert found == pytest.approx(counts / counts.sum())


@pytest.mark.parametrize("batch_size", [1, 6])
def test_every_annotated_label_has_a_frequency(store: SliceStore, batch_size: int) -> None:
    muscle = {task: np.eye(num_classes(task))[2].tolist() for task in TASKS}
    for weights in (None, muscle):
        dataset = patches(store, batch_size=batch_size, patch_size=(8, 8), label_weights=weights)
        for task in TASKS:
            present = [one.rows.size > 0 for one in store.index[task]]
            assert (dataset.label_frequencies(task) > 0).tolist() == present


def test_pickled_dataset_holds_no_slices(store: SliceStore) -> None:
    sent = pickle.dumps(patches(store))
    assert len(sent) < 0.1 * len(store) * store.image(0).nbytes
    assert torch.equal(pickle.loads(sent)[2].image, patches(store)[2].image)


def _private_memory() -> int:
    """Return the anonymous memory in KiB that a worker adds by reading every slice."""

    def used() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    before = used()
    for row in range(len(_SHARED[0])):
        assert _SHARED[0].image(row).max() > -1025
    return used() - before


_SHARED: list[SliceStore] = []


def test_workers_share_memory_pages(store: SliceStore) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    _SHARED[:] = [store]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        grown = pool.apply(_private_memory)
    size = len(store) * store.image(0).nbytes // 1024
    assert size > 1000
    assert grown < size / 4
