"""Two real gloo processes: three cases to validate, one to test and predict."""

import hashlib
import json
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.samplers import places, sampler
from helpers.training_options import UNSAVED
from lightning import Trainer, seed_everything
from torch import multiprocessing

from saros_hf.cases.files import find_cases
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.folds import Fold
from training.data.case_batches import CaseBatch
from training.data.patch_batches import PatchBatch
from training.datamodule import SarosDataModule
from training.module import SarosSegmenter

RANKS = 2
FOLDS: tuple[Fold, ...] = ("fold-2", "fold-1", "fold-1", "fold-1", "test")


class Recorder(SarosSegmenter):
    """An untrained network that records which cases it gets."""

    def __init__(self) -> None:
        super().__init__(options={"decoder_channels": (16, 16, 8, 8, 8)})
        self.seen: dict[str, list[str]] = {"val": [], "test": [], "predict": []}

    def validation_step(self, batch: CaseBatch, batch_idx: int) -> Any:  # noqa: ANN401
        self._remember("val", batch)
        return super().validation_step(batch, batch_idx)

    def test_step(self, batch: CaseBatch, batch_idx: int) -> None:
        self._remember("test", batch)
        super().test_step(batch, batch_idx)

    def training_step(self, batch: PatchBatch, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.latest_loss = loss.item()
        return loss

    def predict_step(self, batch: str, batch_idx: int) -> None:  # noqa: ARG002
        self.seen["predict"].append(Path(batch).parent.name)

    def _remember(self, stage: str, batch: CaseBatch) -> None:
        if batch.counted:
            self.seen[stage].append(batch.case_id)


def score(folder: Path, devices: int) -> dict[str, Any]:
    """Validate, test and predict; return the cases this process got, and the scores."""
    torch.set_num_threads(1)
    seed_everything(3, verbose=False)
    network = Recorder()
    datamodule = SarosDataModule(folder / "data", cache_dir=folder / "cache")
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        logger=False,
        default_root_dir=folder / f"log{devices}",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (val,) = trainer.validate(network, datamodule=datamodule, verbose=False)
    (test,) = trainer.test(network, datamodule=datamodule, verbose=False)
    trainer.predict(network, datamodule=datamodule, return_predictions=False)
    return {"seen": network.seen, "scores": val | test}


def train(folder: Path) -> dict[str, Any]:
    """Train two seconds, one step an epoch, with a schedule that follows the clock."""
    seed_everything(3, verbose=False)
    options = {"patch_size": (32, 32), "patches_per_epoch": 2 * RANKS, "batch_size": 2}
    datamodule = SarosDataModule(folder / "data", cache_dir=folder / "cache", **options)
    network = Recorder()
    trainer = Trainer(
        **UNSAVED,
        devices=RANKS,
        strategy="ddp",
        default_root_dir=folder / "train",
        max_epochs=-1,
        max_time={"seconds": 2},
        limit_val_batches=0,
    )
    trainer.fit(network, datamodule=datamodule)
    weights = torch.cat([one.detach().flatten() for one in network.parameters()])
    return {
        "loss": network.latest_loss,
        "logged": float(trainer.callback_metrics["train_loss"]),
        "weights": hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
    }


def _as_rank(rank: int, port: int, folder: Path) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(RANKS),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    results = score(folder, RANKS)
    results["training"] = train(folder)
    one = sampler((4, 4, 1))
    results["places"] = places(one)
    one.set_epoch(0)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(one))  # as a spawned worker gets it
    (folder / f"{rank}.json").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def folder(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five phantoms, split into the folds above."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "data").mkdir()
    cases = [files.case for files in find_cases(phantoms)][: len(FOLDS)]
    for case in cases:
        (folder / "data" / case.case_id).symlink_to(phantoms / case.case_id)
    dealt = [replace(case, fold=fold) for case, fold in zip(cases, FOLDS, strict=True)]
    write_case_table(folder / "data" / TABLE_NAME, dealt)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Any]]:
    """Return the results of each rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_as_rank, (port, folder), nprocs=RANKS)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("val", [1, 2, 3]), ("test", [4]), ("predict", [4])],
)
def test_every_case_is_seen_by_one_rank_once(
    results: list[dict[str, Any]], stage: str, expected: list[int]
) -> None:
    """Lightning must not split the ranks' shares once more."""
    seen = sorted(case_id for one in results for case_id in one["seen"][stage])
    assert seen == [f"case_{n:03}" for n in expected]


def test_scores_equal_those_of_one_process(results: list[dict[str, Any]], folder: Path) -> None:
    alone = score(folder, 1)["scores"]
    assert {"val_dice", "test_dice", "test_nsd"} <= alone.keys()
    for one in results:
        assert one["scores"] == pytest.approx(alone, abs=1e-6)


def test_ranks_end_with_the_same_weights_though_their_clocks_differ(
    results: list[dict[str, Any]],
) -> None:
    first, second = (one["training"]["weights"] for one in results)
    assert first == second


def test_training_loss_is_the_mean_over_ranks(results: list[dict[str, Any]]) -> None:
    losses = [one["training"]["loss"] for one in results]
    assert losses[0] != losses[1]
    for one in results:
        assert one["training"]["logged"] == pytest.approx(sum(losses) / RANKS)


def test_ranks_draw_from_different_streams(results: list[dict[str, Any]], folder: Path) -> None:
    """A spawned worker knows its rank without a process group."""
    drawn = [one["places"] for one in results]
    assert drawn[0] != drawn[1]
    for rank in range(RANKS):
        assert places(pickle.loads((folder / f"{rank}.pickle").read_bytes())) == drawn[rank]
