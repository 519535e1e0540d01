import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from helpers.training_options import UNSAVED
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateFinder
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

from saros_hf.errors import UnreadableFileError, UsageError
from saros_hf.nifti import read_image
from training.data.patch_batches import PatchBatch
from training.datamodule import SarosDataModule
from training.module import SarosSegmenter

OPTIONS = {"decoder_channels": (16, 16, 8, 8, 8)}


def segmenter(**options: object) -> SarosSegmenter:
    return SarosSegmenter(encoder_name="resnet18", options=OPTIONS, **options)


def fit(folder: Path, cache: Path, **options: object) -> SarosSegmenter:
    seed_everything(3, verbose=False)
    datamodule = SarosDataModule(
        folder, patch_size=(32, 32), patches_per_epoch=8, batch_size=4, cache_dir=cache, seed=3
    )
    trained = segmenter(**options)
    trainer = Trainer(max_steps=4, **UNSAVED)
    trainer.fit(trained, datamodule=datamodule)
    assert 0 <= trainer.callback_metrics["val_dice"] <= 1
    return trained


@pytest.fixture(scope="module")
def trained(phantoms: Path, cache: Path) -> SarosSegmenter:
    return fit(phantoms, cache)


def test_same_seed_gives_the_same_weights(
    trained: SarosSegmenter, phantoms: Path, cache: Path
) -> None:
    again = fit(phantoms, cache)
    for one, other in zip(trained.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_compiled_network_learns_the_same_weights(
    trained: SarosSegmenter,
    phantoms: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The eager backend: the default one rounds differently."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    counters.clear()
    compiled = fit(phantoms, cache, compile_network=True)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    for one, other in zip(trained.parameters(), compiled.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_measures_spacing_and_label_frequencies(trained: SarosSegmenter) -> None:
    low, high = trained.spec.spacing_range_mm
    assert 5 < low < high < 8  # 64 pixels over 380 to 500 mm
    assert trained.spec.slice_spacing_mm == 5
    weights = trained.losses["body-regions"].class_weights
    assert weights is not None
    assert weights[13] > 3 * weights[2] > 0  # submandibular glands against muscle


def test_saved_model_predicts_the_same_labels(
    trained: SarosSegmenter, phantoms: Path, tmp_path: Path
) -> None:
    trained.save_pretrained(tmp_path)
    assert {"config.json", "model.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("*.bin"))
    back = SarosSegmenter.from_pretrained(tmp_path)
    assert back.spec == trained.spec
    image = read_image(phantoms / "case_000" / "image.nii.gz")
    one, other = trained.predict_volume(image), back.predict_volume(image)
    assert np.array_equal(one.array, other.array)
    assert one.same_grid(image)


def test_smp_alone_loads_the_network(trained: SarosSegmenter, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path)
    network = smp.from_pretrained(tmp_path).eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), trained.eval().network(images))
    weights = trained.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_folder_without_a_model_is_refused(trained: SarosSegmenter, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"config\.json: found no model"):
        SarosSegmenter.from_pretrained(tmp_path)
    trained.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UnreadableFileError, match="found no model"):
        SarosSegmenter.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_model_class": "Unet"}))
    with pytest.raises(UnreadableFileError, match="_saros"):
        SarosSegmenter.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "options", [{"window": (-1000, 1000)}, {"context": 1}, {"task": "joint"}], ids=str
)
def test_network_and_data_must_agree(
    phantoms: Path, cache: Path, options: dict[str, object]
) -> None:
    data = SarosDataModule(phantoms, cache_dir=cache, **options)
    (name,) = options
    for run in (Trainer(**UNSAVED).fit, Trainer(**UNSAVED).validate):
        with pytest.raises(UsageError, match=f"{name}: found .* of the data and .*, expected the"):
            run(segmenter(), datamodule=data)


def test_training_needs_the_data_module() -> None:
    batches = DataLoader(torch.zeros(2, 1), batch_size=None)
    with pytest.raises(UsageError, match="found NoneType, expected a SarosDataModule"):
        Trainer(**UNSAVED).fit(segmenter(), batches)


def test_learning_rate_finder_sets_the_peak_of_the_schedule(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    data = SarosDataModule(
        phantoms, patch_size=(32, 32), patches_per_epoch=64, batch_size=2, cache_dir=cache
    )
    finder = LearningRateFinder(min_lr=1e-5, max_lr=0.1, num_training_steps=30)
    network = segmenter(warmup=0.0)
    trainer = Trainer(
        max_epochs=1, default_root_dir=tmp_path, callbacks=[finder], limit_val_batches=0, **UNSAVED
    )
    trainer.fit(network, datamodule=data)
    found = finder.optimal_lr.suggestion()
    schedule = trainer.lr_scheduler_configs[0].scheduler
    assert network.hparams.learning_rate == schedule.base_lrs[0] == found != 2e-3
    assert schedule.get_last_lr()[0] < found


def test_checkpoint_tells_which_pretrained_weights_it_started_from() -> None:
    network = segmenter()
    network.on_load_checkpoint({"hyper_parameters": {"encoder_weights": "imagenet"}})
    assert network.hparams["encoder_weights"] == "imagenet"


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_training_and_prediction_in_another_precision(
    phantoms: Path, cache: Path, precision: str, tmp_path: Path
) -> None:
    data = SarosDataModule(
        phantoms, patch_size=(32, 32), patches_per_epoch=8, batch_size=4, cache_dir=cache
    )
    network = segmenter(position=True)
    trainer = Trainer(max_steps=2, precision=precision, **UNSAVED)
    trainer.fit(network, datamodule=data)
    assert 0 < trainer.callback_metrics["train_loss"] < 10
    trainer.validate(network, datamodule=data, verbose=False)
    network.predict_volume(read_image(phantoms / "case_000" / "image.nii.gz"))
    network.save_pretrained(tmp_path)
    assert SarosSegmenter.from_pretrained(tmp_path).dtype == torch.float32


def test_batch_of_one_is_refused_where_it_has_no_variance(phantoms: Path, cache: Path) -> None:
    data = SarosDataModule(
        phantoms, patch_size=(64, 64), patches_per_epoch=8, batch_size=1, cache_dir=cache
    )
    network = SarosSegmenter(architecture="DeepLabV3Plus")
    with pytest.raises(UsageError, match=r"batch_size: found 1, expected 2 or more"):
        Trainer(max_steps=1, num_sanity_val_steps=0, **UNSAVED).fit(network, datamodule=data)


def test_trap_batch_without_annotation_keeps_training_finite() -> None:
    network = segmenter()
    loss = network.training_step(
        PatchBatch(
            image=torch.zeros(2, 1, 32, 32),
            masks={"body-regions": torch.full((2, 32, 32), 255, dtype=torch.uint8)},
            position=torch.zeros(2, 2),
            seed=0,
        ),
        0,
    )
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("architecture", ["Unet", "FPN", "DeepLabV3Plus"])
@pytest.mark.parametrize("context", [0, 2])
def test_any_smp_architecture_takes_any_size(architecture: str, context: int) -> None:
    network = SarosSegmenter(
        task="body-parts", architecture=architecture, encoder_name="resnet18", context=context
    ).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 2 * context + 1, 70, 45)).shape == (1, 7, 70, 45)


def test_both_tasks_are_learned_from_one_network(
    phantoms: Path, cache: Path, tmp_path: Path
) -> None:
    seed_everything(3, verbose=False)
    data = SarosDataModule(
        phantoms,
        task="joint",
        patch_size=(32, 32),
        patches_per_epoch=8,
        batch_size=4,
        cache_dir=cache,
    )
    both = segmenter(task="joint")
    before = [p.clone() for p in both.network.segmentation_head.parameters()]
    trainer = Trainer(max_steps=2, **UNSAVED)
    trainer.fit(both, datamodule=data)
    # 14 regions and 7 parts: the weights of all 21 outputs have changed.
    weight = both.network.segmentation_head[0].weight
    assert len(weight) == 21
    assert ((weight - before[0]).abs().amax(dim=(1, 2, 3)) > 0).all()
    logged = trainer.callback_metrics
    assert {"val_dice", "val_dice/muscle", "val_dice/torso"} <= set(logged)
    both.save_pretrained(tmp_path / "model")
    back = SarosSegmenter.from_pretrained(tmp_path / "model")
    image = read_image(phantoms / "case_000" / "image.nii.gz")
    maps, again = both.predict_maps(image), back.predict_maps(image)
    assert list(maps) == ["body-regions", "body-parts"]
    for task, labels in maps.items():
        assert np.array_equal(labels.array, again[task].array)
    assert maps["body-parts"].array.max() < 7
