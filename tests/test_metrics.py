import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, multiprocessing
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from training.data.case_batches import CaseBatch
from training.functional import dice_per_class, surface_dice_per_class
from training.metrics import NormalizedSurfaceDice, SparseDice
from training.model.epoch_scores import StageScores

Case = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SPACING = (1.0, 1.5, 5.0)


def cases(count: int) -> Iterator[Case]:
    """Random cases of 5 classes, class 3 in the third case only and class 4 nowhere."""
    for case in range(count):
        rng = np.random.default_rng(case)
        pred, target = rng.integers(0, 4 if case == 2 else 3, (2, 9, 11, 5), np.uint8)
        target[..., 1::2] = 255
        yield pred, target


def scores_of(shard: list[int]) -> list[Tensor]:
    everything = list(cases(5))
    dice, surface = SparseDice(5), NormalizedSurfaceDice(5, tolerance_mm=1.0)
    for case in shard:
        dice.update(*everything[case])
        surface.update(*everything[case], SPACING)
    return [dice.compute(), dice.macro(), surface.compute(), surface.macro()]


def test_mean_leaves_out_absent_classes_and_counts_unmatched_ones_as_zero() -> None:
    dice = SparseDice(4)
    dice.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]))  # 2/3, 4/5, -, -
    dice.update(torch.tensor([0, 0, 2, 2]), torch.tensor([0, 0, 0, 255]))  # 4/5, -, 0, -
    result = dice.compute()
    assert result.dtype == torch.float64
    expected = [(2 / 3 + 4 / 5) / 2, 4 / 5, 0.0, math.nan]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-11)
    assert dice.macro().item() == pytest.approx((4 / 5 + 0) / 2, abs=1e-11)


@pytest.mark.parametrize("protocol", ["slice", "volume", "published"])
def test_nsd_is_the_mean_of_the_function(protocol: str) -> None:
    metric = NormalizedSurfaceDice(5, tolerance_mm=1.0, protocol=protocol)
    each = []
    for pred, target in cases(4):
        metric.update(torch.from_numpy(pred), torch.from_numpy(target), SPACING)
        options = {"num_classes": 5, "tolerance_mm": 1.0, "protocol": protocol}
        each.append(surface_dice_per_class(pred, target, spacing_mm=SPACING, **options).numpy())
    with warnings.catch_warnings(action="ignore"):  # nanmean of the absent class
        expected = np.nanmean(each, axis=0)
    result = metric.compute()
    assert result[0].isnan()
    np.testing.assert_allclose(result[1:], expected[1:], rtol=0, atol=1e-9)
    assert metric.macro().item() == pytest.approx(np.nanmean(expected[1:]), abs=1e-9)


def test_macro_is_nan_without_foreground() -> None:
    dice = SparseDice(3)
    dice.update(torch.zeros(4, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8))
    assert dice.compute()[0] == 1
    assert dice.macro().isnan()


def test_perfect_prediction_is_exactly_one() -> None:
    dice, surface = SparseDice(3), NormalizedSurfaceDice(3)
    for _, target in cases(2):
        pred = np.where(target == 255, 0, target)
        dice.update(pred, target)
        surface.update(pred, target, SPACING)
    assert dice.compute().tolist() == [1.0, 1.0, 1.0]
    assert surface.compute().tolist()[1:] == [1.0, 1.0]


def test_order_of_cases_does_not_change_a_bit() -> None:
    for one, other in zip(scores_of([0, 1, 2, 3, 4]), scores_of([3, 0, 4, 2, 1]), strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


def test_forward_returns_the_score_of_the_case_and_keeps_the_mean() -> None:
    dice, reference = SparseDice(5), SparseDice(5)
    for pred, target in cases(2):
        expected = dice_per_class(pred, target, num_classes=5)
        np.testing.assert_allclose(dice(pred, target), expected, rtol=0, atol=1e-11)
        reference.update(pred, target)
    assert torch.equal(dice.compute()[:3], reference.compute()[:3])
    dice.reset()
    assert dice.cases.sum() == 0


def test_state_stays_float64_when_the_model_is_cast() -> None:
    model = torch.nn.Module()
    model.dice = SparseDice(5)
    model.half().to(torch.bfloat16)
    for case in cases(1):
        model.dice.update(*case)
    assert model.dice.total.dtype == model.dice.cases.dtype == torch.float64
    assert model.dice.compute().dtype == torch.float64


class Model(lightning.LightningModule):
    """Validates one case per step and logs its metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.dice = SparseDice(5)
        self.surface = NormalizedSurfaceDice(5, tolerance_mm=1.0)

    def validation_step(self, batch: Case) -> None:
        self.dice.update(*batch)
        self.surface.update(*batch, SPACING)

    def on_validation_epoch_end(self) -> None:
        self.log("dice", self.dice.macro())
        self.log("nsd", self.surface.macro())
        self.dice.reset()
        self.surface.reset()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_lightning_logs_the_same_scores(tmp_path: Path, precision: str) -> None:
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    loader = DataLoader(list(cases(3)), batch_size=None)
    (logged,) = trainer.validate(Model(), loader, verbose=False)
    _, dice, _, surface = scores_of([0, 1, 2])
    assert logged["dice"] == pytest.approx(dice.item(), abs=1e-6)
    assert logged["nsd"] == pytest.approx(surface.item(), abs=1e-6)


SHARDS = {2: [[0, 2, 3, 4], [1]], 3: [[0, 4, 3], [1], [2]]}


def _score_shard(rank: int, world_size: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    torch.save(scores_of(SHARDS[world_size][rank]), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_results_are_bit_identical_for_any_number_of_processes(
    tmp_path: Path, processes: int
) -> None:
    multiprocessing.spawn(_score_shard, (processes, tmp_path), nprocs=processes)
    alone = scores_of([0, 1, 2, 3, 4])
    for rank in range(processes):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for one, other in zip(alone, shared, strict=True):
            assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


def test_metric_resumes_from_its_state() -> None:
    whole, begun, resumed = SparseDice(5), SparseDice(5), SparseDice(5)
    *first, last = cases(3)
    for case in first:
        begun.update(*case)
        whole.update(*case)
    resumed.load_state_dict(begun.state_dict())
    for metric in (whole, resumed):
        metric.update(*last)
    assert torch.equal(resumed.compute().nan_to_num(-1), whole.compute().nan_to_num(-1))


def test_state_of_another_protocol_or_tolerance_is_refused() -> None:
    state = NormalizedSurfaceDice(5, tolerance_mm=1.5).state_dict()
    NormalizedSurfaceDice(5, tolerance_mm=1.5).load_state_dict(state)
    for other in (NormalizedSurfaceDice(5), NormalizedSurfaceDice(5, 1.5, "volume")):
        with pytest.raises(RuntimeError, match="Unexpected key"):
            other.load_state_dict(state)


def test_collection_keeps_protocols_and_tolerances_apart() -> None:
    """All score 1 in the first case, after which torchmetrics merges metrics with equal states."""
    settings = [("slice", 3.0), ("slice", 1.0), ("volume", 1.0), ("published", 1.0)]
    alone = {f"{p}_{t:.0f}": NormalizedSurfaceDice(5, t, p) for p, t in settings}
    together = MetricCollection({name: metric.clone() for name, metric in alone.items()})
    (_, same), other = cases(2)
    same[same == 255] = 0
    for pred, target in ((same, same), other):
        together.update(pred, target, SPACING)
        for metric in alone.values():
            metric.update(pred, target, SPACING)
    found = together.compute()
    for name, metric in alone.items():
        assert torch.equal(found[name].nan_to_num(-1), metric.compute().nan_to_num(-1))
    assert len({found[name][1].item() for name in alone}) == len(alone)


def test_options_of_torchmetrics_are_passed_on() -> None:
    assert not SparseDice(5, sync_on_compute=False).sync_on_compute
    assert not NormalizedSurfaceDice(5, compute_with_cache=False).compute_with_cache


@pytest.mark.parametrize("counted", [True, False])
def test_validation_case_without_a_map_counts_only_for_the_other_task(counted: bool) -> None:
    """Some cases have no body parts: their map is 255 everywhere."""
    masks = {"body-regions": torch.ones(2, 6, 7, dtype=torch.uint8)}
    masks["body-parts"] = torch.full_like(masks["body-regions"], 255)
    image, position = torch.zeros(2, 1, 6, 7), torch.zeros(2, 2)
    batch = CaseBatch("case_000", image, masks, position, SPACING, counted=counted)
    scores = StageScores(("body-regions", "body-parts"))
    scores.update(batch, dict.fromkeys(masks, masks["body-regions"]), surfaces=True)
    for kind in (scores.dice, scores.nsd):
        assert kind["body-regions"].cases.sum() == counted
        assert kind["body-parts"].cases.sum() == 0


@pytest.mark.parametrize("metric", [SparseDice(5), NormalizedSurfaceDice(5)])
def test_plot(metric: SparseDice | NormalizedSurfaceDice) -> None:
    for case in cases(2):
        metric.update(*case, *([SPACING] if isinstance(metric, NormalizedSurfaceDice) else []))
    figure, axis = metric.plot()
    assert [line.get_ydata()[0] for line in axis.lines] == pytest.approx(
        metric.compute().tolist(), nan_ok=True
    )
    assert axis.get_ylim() == pytest.approx((-0.1, 1.1))  # torchmetrics' margin around 0 to 1
    plt.close(figure)
