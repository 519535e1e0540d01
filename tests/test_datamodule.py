from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.case_folders import write_folder
from helpers.training_options import UNSAVED
from lightning import Trainer

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.volume import annotated_slices
from training.data.case_batches import CaseBatch, CaseDataset
from training.data.patch_batches import refuse_thick_patches
from training.datamodule import SarosDataModule


def datamodule(folder: Path, cache: Path, **options: object) -> SarosDataModule:
    options = {"patch_size": (48, 48), "patches_per_epoch": 12, "batch_size": 4} | options
    module = SarosDataModule(folder, cache_dir=cache, **options)
    module.prepare_data()
    module.setup("fit")
    return module


def test_batch_shapes_with_context(phantoms: Path, cache: Path) -> None:
    batches = list(datamodule(phantoms, cache, context=1).train_dataloader())
    assert [batch.image.shape for batch in batches] == [(4, 3, 48, 48)] * 3
    assert batches[0].masks["body-regions"].shape == (4, 48, 48)


@pytest.mark.parametrize("task", ["body-regions", "body-parts", "joint"])
@pytest.mark.parametrize("augment", [False, True])
def test_training_batches_suit_the_network(
    phantoms: Path, cache: Path, task: str, augment: bool
) -> None:
    module = datamodule(phantoms, cache, task=task, augment=augment)
    for batch in module.train_dataloader():
        seen = module.on_after_batch_transfer(batch, 0)
        assert seen.image.shape == (4, 1, 48, 48)
        assert seen.image.dtype == torch.float32
        assert -1 <= seen.image.min() < seen.image.max() <= 1
        expected = ["body-regions", "body-parts"] if task == "joint" else [task]
        assert list(seen.masks) == expected
        for mask in seen.masks.values():
            assert mask.shape == (4, 48, 48)
            assert mask.dtype == torch.uint8
            assert set(mask.unique().tolist()) <= {*range(14), 255}


def test_three_dimensional_patches(phantoms: Path, cache: Path) -> None:
    module = datamodule(phantoms, cache, patch_size=(32, 32, 8))
    with pytest.raises(UsageError, match=r"patch_size: found .*32, 32, 8.*two-dimensional"):
        refuse_thick_patches(module.patch_size)
    batch = module.on_after_batch_transfer(next(iter(module.train_dataloader())), 0)
    assert batch.image.shape == (4, 1, 32, 32, 8)
    assert batch.masks["body-regions"].shape == (4, 32, 32, 8)


def test_compressed_slices_give_the_same_patches(phantoms: Path, cache: Path) -> None:
    plain = list(datamodule(phantoms, cache).train_dataloader())
    packed = list(datamodule(phantoms, cache, compress=True).train_dataloader())
    for one, other in zip(plain, packed, strict=True):
        assert torch.equal(one.image, other.image)


def test_labels_are_drawn_by_weight(phantoms: Path, cache: Path) -> None:
    weights = {"body-regions": [0.0] * 10 + [1.0] + [0.0] * 3}  # brain
    module = datamodule(phantoms, cache, label_weights=weights)
    for batch in module.train_dataloader():
        assert (batch.masks["body-regions"][:, 24, 24] == 10).all()


def test_workers_give_the_same_batches(phantoms: Path, cache: Path) -> None:
    alone = list(datamodule(phantoms, cache, augment=False).train_dataloader())
    helped = list(datamodule(phantoms, cache, augment=False, num_workers=2).train_dataloader())
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.masks["body-regions"], other.masks["body-regions"])


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_case_counts_once_for_any_number_of_ranks(
    phantoms: Path, cache: Path, world_size: int
) -> None:
    store = datamodule(phantoms, cache).stores["validation"]
    shares = [CaseDataset(store, world_size=world_size, rank=rank) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1  # unequal ranks wait for ever
    counted = [
        case.case_id
        for share in shares
        for case in (share[n] for n in range(len(share)))
        if case.counted
    ]
    assert sorted(counted) == sorted(store.cases())


def test_validation_item_holds_all_annotated_slices_of_a_case(phantoms: Path, cache: Path) -> None:
    module = datamodule(phantoms, cache, task="joint")
    for case in module.val_dataloader():
        regions, parts = case.masks["body-regions"], case.masks["body-parts"]
        assert case.image.shape == (len(regions), 1, 64, 64)
        assert annotated_slices(regions.movedim(0, -1).numpy()).size == len(regions)
        assert annotated_slices(parts.movedim(0, -1).numpy()).size in (0, len(regions))
        assert case.spacing_mm[2] == 5.0
        seen = module.on_after_batch_transfer(case, 0)
        assert isinstance(seen, CaseBatch)
        assert -1 <= seen.image.min() <= seen.image.max() <= 1


def test_splits_share_no_case(phantoms: Path, cache: Path) -> None:
    module = datamodule(phantoms, cache)
    module.setup("test")
    test = set(module.stores["test"].cases())
    module.setup("fit")
    train, validation = (set(module.stores[s].cases()) for s in ("train", "validation"))
    assert train
    assert validation
    assert test
    assert not train & validation
    assert not train & test
    assert not validation & test


UNUSABLE: list[tuple[dict[str, object], str]] = [
    ({"task": "bones"}, "task: found bones, expected body-regions or body-parts or joint"),
    ({"patch_size": (32, 0)}, r"patch_size: found \(32, 0\), expected 2 or 3 numbers"),
    ({"patch_size": (32, 32, 8), "context": 1}, "context: found 1, expected .*0 with a patch_size"),
    ({"context": -1}, "context: found -1, expected 0 or more"),
    ({"batch_size": 0}, "batch_size: found 0, expected 1 or more"),
    ({"num_workers": -1}, "num_workers: found -1"),
    ({"window": (350, -250)}, "window: found 350 to -250 HU, expected a lower end"),
    ({"window": (50, 50)}, "window: found 50 to 50 HU"),
    ({"label_weights": {"body-regions": [1.0] * 13}}, "found 13 weights, expected 14"),
    ({"label_weights": {"body-regions": [0.0] * 14}}, "found no weight above 0"),
    ({"label_weights": {"body-regions": [-1.0] + [1.0] * 13}}, "found -1, expected numbers from 0"),
    ({"label_weights": {"body-parts": [1.0] * 7}}, "found 'body-parts', expected body-regions"),
]


@pytest.mark.parametrize(("options", "message"), UNUSABLE)
def test_bad_options_are_refused_before_data_is_read(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        SarosDataModule(Path("nowhere"), **options)
    assert "\n" not in str(refused.value)


def test_task_without_weights_is_drawn_evenly(phantoms: Path, cache: Path) -> None:
    weights = {"body-regions": [0.0] * 10 + [1.0] + [0.0] * 3}  # brain
    options = {"task": "joint", "label_weights": weights, "batch_size": 40, "augment": False}
    module = datamodule(phantoms, cache, patches_per_epoch=40, **options)
    (batch,) = module.train_dataloader()
    brain = batch.masks["body-regions"][:, 24, 24] == 10
    parts = batch.masks["body-parts"][~brain, 24, 24]
    # Binomial (40, 1/2): 20 with a deviation of 3, and the others from 7 labels.
    assert 5 < brain.sum() < 35
    assert len(parts.unique()) > 2


def test_weights_only_for_absent_labels_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    weights = {"body-regions": [0.0] * 8 + [1.0] + [0.0] * 5}  # breast implant
    with pytest.raises(UsageError, match="body-regions: found no slice with a label that has a"):
        datamodule(folder, tmp_path, label_weights=weights).train_dataset()


def test_trainer_that_repeats_batches_is_refused(phantoms: Path, cache: Path) -> None:
    module = datamodule(phantoms, cache)
    module.trainer = Trainer(overfit_batches=2, **UNSAVED)
    with pytest.raises(
        UsageError, match=r"overfit_batches: found 2, expected 0.*patches_per_epoch"
    ):
        module.train_dataloader()


@pytest.mark.parametrize(("megabytes", "fits"), [(0, False), (1, False), (2, True)])
def test_small_shared_memory_is_refused(
    phantoms: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int, fits: bool
) -> None:
    """Two workers, each with two batches of 40 patches of 48 x 48 with 3 bytes a voxel: 1.1 MB."""
    usage = SimpleNamespace(free=megabytes * 10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    module = datamodule(phantoms, cache, batch_size=40, patches_per_epoch=40, num_workers=2)
    refusal = pytest.raises(UsageError, match=r"/dev/shm: found .* 1\.1 MB .*--data\.num_workers")
    with nullcontext() if fits else refusal:
        module.train_dataloader()


def test_epoch_without_a_batch_is_refused(phantoms: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="patches_per_epoch: found 3, expected at least 4"):
        datamodule(phantoms, cache, patches_per_epoch=3).train_dataloader()


def test_each_label_map_needs_training_cases(tmp_path: Path) -> None:
    """To validate on, one of them will do."""
    folder = write_folder(tmp_path / "data")
    (folder / "case_001" / "body-parts.nii.gz").unlink()  # validation
    assert datamodule(folder, tmp_path, task="joint").stores["validation"].holds("body-regions")
    (folder / "case_000" / "body-parts.nii.gz").unlink()  # training
    with pytest.raises(MissingFileError, match="no body-parts annotation in the train split"):
        datamodule(folder, tmp_path, task="joint")


def test_split_without_cases_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ("fold-2", "test"))
    with pytest.raises(MissingFileError, match="no body-regions annotation in the validation"):
        datamodule(folder, tmp_path)
