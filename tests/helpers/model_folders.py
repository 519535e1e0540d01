"""Untrained networks with a training record."""

import math
from collections.abc import Mapping
from pathlib import Path

import lightning
import torch

from saros_hf.labels import Task, label_names
from training.evaluate.result_folder import EvaluationResult
from training.evaluate.score_case import Score, ScoreProtocol
from training.model.training_record import TrainingRecord
from training.module import SarosSegmenter

SMALL = {"decoder_channels": (16, 16, 8, 8, 8)}


def record(fold: int = 1, **licenses: int) -> TrainingRecord:
    named = {name.replace("_", " "): number for name, number in licenses.items()}
    known = named if named else {"CC BY 3.0": 4}
    return TrainingRecord(fold, {"C4KC-KiTS": 3, "TCGA-LIHC": 1}, known, {"batch_size": 8})


def network(seed: int = 0, fold: int = 1, **options: object) -> SarosSegmenter:
    """Return an untrained network whose predictions depend on the seed."""
    torch.manual_seed(seed)
    segmenter = SarosSegmenter(options=SMALL, **options)
    for module in segmenter.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    segmenter.spacing_range_mm.copy_(torch.tensor([0.5, 1.0]))
    segmenter.record = record(fold)
    return segmenter.eval()


def write_checkpoint(path: Path, segmenter: SarosSegmenter) -> None:
    """Write the parts of a Lightning checkpoint that publishing reads."""
    assert segmenter.record is not None
    whole = {
        "state_dict": segmenter.state_dict(),
        "hyper_parameters": dict(segmenter.hparams),
        "pytorch-lightning_version": lightning.__version__,
        "saros_training": segmenter.record.to_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(whole, path)


def scores(task: Task = "body-regions") -> list[Score]:
    """Two cases: muscle (or torso) 0.8 and 0.6, brain (or head) in the first only 0.9."""
    big, small = ("muscle", "brain") if task == "body-regions" else ("torso", "head")
    found: Mapping[str, Mapping[str, float]] = {
        "case_000": {big: 0.8, small: 0.9},
        "case_001": {big: 0.6},
    }
    surfaces: tuple[tuple[ScoreProtocol, float], ...] = (("slice", 0.5), ("published", 1.0))
    rows = []
    for case_id, values in found.items():
        for label in label_names(task)[1:]:
            value = values.get(label, math.nan)
            rows.append(Score(case_id, label, "dice", "annotated", value))
            rows += [Score(case_id, label, "nsd", name, value * x) for name, x in surfaces]
            rows.append(Score(case_id, label, "truth_ml", "annotated", float(label in values)))
    return rows


def evaluated(task: Task = "body-regions", split: str = "test", fold: int = 1) -> EvaluationResult:
    return EvaluationResult(task, split, fold, synthetic=False, scores=scores(task), example=None)
