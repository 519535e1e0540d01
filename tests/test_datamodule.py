from pathlib import Path

import pytest
import torch
from case_folders import write_folder

from saros_hf.errors import MissingFileError, UsageError
from saros_hf.volume import annotated_slices
from training.datamodule import SarosDataModule, _CaseDataset


def datamodule(folder: Path, cache: Path, **options: object) -> SarosDataModule:
    options = {"patch_size": (48, 48), "patches_per_epoch": 12, "batch_size": 4} | options
    module = SarosDataModule(folder, cache_dir=cache, **options)
    module.prepare_data()
    module.setup("fit")
    return module


def test_batches_have_the_shapes_a_step_wants(phantoms: Path, cache: Path) -> None:
    batches = list(datamodule(phantoms, cache, context=1).train_dataloader())
    assert [batch["image"].shape for batch in batches] == [(4, 3, 48, 48)] * 3
    assert batches[0]["mask"].shape == (4, 48, 48)


def test_workers_change_nothing(phantoms: Path, cache: Path) -> None:
    alone = list(datamodule(phantoms, cache, augment=False).train_dataloader())
    helped = list(datamodule(phantoms, cache, augment=False, num_workers=2).train_dataloader())
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["mask"], other["mask"])


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_case_counts_once_whatever_the_number_of_ranks(
    phantoms: Path, cache: Path, world_size: int
) -> None:
    store = datamodule(phantoms, cache).stores["validation"]
    shares = [
        _CaseDataset(store, (-250.0, 350.0), world_size=world_size, rank=rank)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1  # unequal ranks wait for ever
    counted = [
        case.case_id
        for share in shares
        for case in (share[n] for n in range(len(share)))
        if case.counted
    ]
    assert sorted(counted) == sorted(store.cases())


def test_an_item_is_all_annotated_slices_of_a_case(phantoms: Path, cache: Path) -> None:
    for case in datamodule(phantoms, cache).val_dataloader():
        assert case.image.shape == (len(case.mask), 1, 64, 64)
        assert annotated_slices(case.mask.movedim(0, -1).numpy()).size == len(case.mask)
        assert case.spacing_mm[2] == 5.0


def test_validation_and_test_share_no_case_with_training(phantoms: Path, cache: Path) -> None:
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


def test_an_epoch_without_a_batch_is_refused(phantoms: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="patches_per_epoch: found 3, expected at least 4"):
        datamodule(phantoms, cache, patches_per_epoch=3).train_dataloader()


def test_a_split_without_cases_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ("fold-2", "test"))
    with pytest.raises(MissingFileError, match="no body-regions annotation in the validation"):
        datamodule(folder, tmp_path)
