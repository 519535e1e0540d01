from pathlib import Path

import numpy as np
import pytest
from helpers.training_options import UNSAVED
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.datamodule import SarosDataModule
from training.fit.sample_pictures import SamplePictures
from training.module import SarosSegmenter


@pytest.fixture(scope="module")
def log(phantoms: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log folder of a short run with pictures every second epoch."""
    folder = tmp_path_factory.mktemp("log")
    data = SarosDataModule(
        phantoms,
        task="joint",
        patch_size=(32, 32),
        patches_per_epoch=4,
        batch_size=2,
        cache_dir=cache,
    )
    loggers = [CSVLogger(folder, name="csv"), TensorBoardLogger(folder, name="", version="tb")]
    trainer = Trainer(
        max_epochs=3,
        callbacks=[SamplePictures(every_n_epochs=2)],
        **UNSAVED | {"logger": loggers},
    )
    options = {"decoder_channels": (16, 16, 8, 8, 8)}
    trainer.fit(SarosSegmenter("joint", options=options), datamodule=data)
    return folder


def test_pictures_are_in_the_log_folder(log: Path) -> None:
    pictures = sorted((log / "csv" / "version_0" / "pictures").iterdir())
    assert [path.name for path in pictures] == [
        *("body-parts_epoch_0000.png", "body-parts_epoch_0002.png"),
        *("body-regions_epoch_0000.png", "body-regions_epoch_0002.png"),
    ]
    for path in pictures:
        assert np.asarray(Image.open(path).convert("RGB")).std() > 10  # not blank


def test_pictures_are_in_tensorboard(log: Path) -> None:
    events = EventAccumulator(str(log / "tb"))
    events.Reload()
    tags = events.Tags()["images"]
    assert {tag.split("/")[0] for tag in tags} == {"body-regions", "body-parts"}
    assert [one.step for one in events.Images(tags[0])] == [2, 6]
