from pathlib import Path

import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from training.datamodule import SarosDataModule
from training.loaders import EpochSampler
from training.module import SarosSegmenter


@pytest.mark.parametrize("skip", [0, 1, 4])
def test_a_sampler_leaves_out_what_is_done(skip: int) -> None:
    sampler = EpochSampler(4, world_size=2, rank=1)
    whole = list(sampler)
    sampler.skip = skip
    assert list(sampler) == whole[skip:]
    assert len(sampler) == 4


def run(
    phantoms: Path, cache: Path, folder: Path, resume: Path | None, workers: int
) -> SarosSegmenter:
    """Train two epochs of four steps, with a checkpoint every three steps."""
    seed_everything(5, verbose=False)
    datamodule = SarosDataModule(
        phantoms,
        patch_size=(32, 32),
        patches_per_epoch=8,
        batch_size=2,
        cache_dir=cache,
        num_workers=workers,
    )
    segmenter = SarosSegmenter(options={"decoder_channels": (16, 16, 8, 8, 8)})
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[
            ModelCheckpoint(folder, "{step}", every_n_train_steps=3, save_top_k=-1),
            EMAWeightAveraging(decay=0.9),
        ],
    )
    trainer.fit(segmenter, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return segmenter


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_cut_off_in_an_epoch_ends_as_if_it_had_not_been(
    phantoms: Path, cache: Path, tmp_path: Path, workers: int
) -> None:
    whole = run(phantoms, cache, tmp_path / "whole", None, workers)
    for step in (3, 6):
        resumed = run(
            phantoms, cache, tmp_path / str(step), tmp_path / "whole" / f"step={step}.ckpt", workers
        )
        for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(one, other)
