"""The model card: what a network does, learned from and scored, and what it is not for."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from saros_hf.hub.client import TAG
from saros_hf.labels import label_names
from saros_hf.publish.attribution import SOURCE_DOI
from saros_hf.publish.rights import CONTROLLED, NON_COMMERCIAL

from ..evaluate.example_case import PICTURE
from ..evaluate.result_folder import EvaluationResult
from ..evaluate.score_case import MetricName, ScoreProtocol
from ..evaluate.summary import label_means, text_rows
from ..model.training_record import TrainingRecord
from ..module import SarosSegmenter

Freedom: TypeAlias = Literal["free", "non-commercial", "controlled", "unknown"]
"""What the licences of the training CTs leave to whoever has the weights."""

_MEASURED: Mapping[tuple[MetricName, ScoreProtocol], str] = {
    ("dice", "annotated"): "Dice",
    ("nsd", "slice"): "NSD at 3 mm, contours of annotated slices",
    ("nsd", "published"): "NSD at 3 mm, as published in the paper's Table 4",
}


@dataclass(frozen=True)
class Published:
    """What a card tells of a model.

    Attributes:
        networks: All of them, that of the first fold first.
        evaluations: What they scored together on cases that none was trained on.
        repo_id: ``user/name``.
    """

    networks: Sequence[SarosSegmenter]
    evaluations: Sequence[EvaluationResult]
    repo_id: str

    @property
    def records(self) -> list[TrainingRecord]:
        """What each network learned from, as far as it is known."""
        return [one.record for one in self.networks if one.record is not None]


def freedom(networks: Sequence[SarosSegmenter]) -> Freedom:
    """Return what the least free of the training CTs leaves."""
    if any(one.record is None for one in networks):
        return "unknown"
    licenses = {name for one in networks if one.record for name in one.record.licenses}
    if CONTROLLED in licenses:
        return "controlled"
    if "unknown" in licenses:
        return "unknown"
    return "non-commercial" if NON_COMMERCIAL in licenses else "free"


def model_card(model: Published) -> ModelCard:
    """Return the card with its metrics as ``model-index``."""
    environment = Environment(
        loader=PackageLoader("training"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        undefined=StrictUndefined,
    )
    text = environment.get_template("model_card.md").render(_text_data(model))
    return ModelCard(f"---\n{_metadata(model).to_yaml()}\n---\n\n{text}")


def _metadata(model: Published) -> ModelCardData:
    """Return what stands at the card's head, for the Hub to read."""
    free = freedom(model.networks) == "free"
    results = [one for done in model.evaluations for one in _results(done)]
    tags = [TAG, "medical", "ct", "body-composition", "saros", *model.networks[0].tasks]
    return ModelCardData(
        license="apache-2.0" if free else "other",
        license_name=None if free else "apache-2.0-but-for-training-data",
        license_link=None if free else "https://www.apache.org/licenses/LICENSE-2.0",
        library_name="segmentation-models-pytorch",
        pipeline_tag="image-segmentation",
        tags=tags,
        model_name=model.repo_id.rpartition("/")[2],
        eval_results=results or _validated(model.records) or None,
    )


def _text_data(model: Published) -> dict[str, Any]:
    """Return what the template's text is made from."""
    first = model.networks[0]
    return {
        "repo": model.repo_id,
        "networks": len(model.networks),
        "tasks": first.tasks,
        "labels": {task: label_names(task)[1:] for task in first.tasks},
        "spec": first.spec,
        "options": first.options,
        "hyperparameters": _told(first.hparams),
        "records": model.records,
        "sources": _sources(model.records),
        "licenses": _licenses(model.records),
        "synthetic": _only_synthetic(model),
        "freedom": freedom(model.networks),
        "validation": list(dict.fromkeys(name for one in model.records for name in one.validation)),
        "evaluations": [_shown(done) for done in model.evaluations],
        "picture": PICTURE,
        "example": next((done.example for done in model.evaluations if done.example), None),
    }


def _shown(done: EvaluationResult) -> dict[str, Any]:
    return {
        "task": done.task,
        "split": done.split,
        "fold": done.fold,
        "synthetic": done.synthetic,
        "cases": len({score.case_id for score in done.scores}),
        "rows": text_rows(done.scores, done.task),
    }


def _results(done: EvaluationResult) -> list[EvalResult]:
    """Return the means over labels, and each label's Dice."""
    rows = label_means(done.scores, done.task)
    told = [("average", key, name) for key, name in _MEASURED.items()]
    told += [(row.label, ("dice", "annotated"), "Dice") for row in rows[:-1]]
    means = {row.label: row for row in rows if row.cases}
    name = f"SAROS {done.task}" + (" (synthetic phantoms)" if done.synthetic else "")
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_config=done.task,
            dataset_type="saros",
            dataset_name=name,
            dataset_split=done.split,
            metric_type=key[0],
            metric_name=f"{what}, {'mean over labels' if label == 'average' else label}",
            metric_value=round(means[label].means[key].mean, 4),
        )
        for label, key, what in told
        if label in means and key in means[label].means
        if math.isfinite(means[label].means[key].mean)
    ]


def _validated(records: Sequence[TrainingRecord]) -> list[EvalResult]:
    """Return the mean Dice by which each network's weights were chosen."""
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="saros",
            dataset_name=f"SAROS, fold {record.fold}",
            dataset_split="validation",
            metric_type="dice",
            metric_name="Dice, mean over labels, of the best epoch",
            metric_value=round(record.validation["average"], 4),
        )
        for record in records
        if "average" in record.validation
    ]


def _sources(records: Sequence[TrainingRecord]) -> list[dict[str, Any]]:
    """Return a line per collection: the CTs that any of the networks saw most of."""
    most: dict[str, int] = {}
    for record in records:
        for collection, cases in record.collections.items():
            most[collection] = max(cases, most.get(collection, 0))
    return [
        {"collection": name, "cases": cases, "doi": SOURCE_DOI.get(name)}
        for name, cases in sorted(most.items())
    ]


def _licenses(records: Sequence[TrainingRecord]) -> list[tuple[str, list[int]]]:
    """Return how many training CTs of each network came under each licence."""
    names = sorted({name for record in records for name in record.licenses})
    return [(name, [record.licenses.get(name, 0) for record in records]) for name in names]


def _only_synthetic(model: Published) -> bool:
    return bool(model.records) and all(set(one.licenses) == {"synthetic"} for one in model.records)


def _told(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(dict(hyperparameters)))  # as they come back from config.json
    plain.pop("encoder_weights")  # the record tells them: a published network has forgotten
    return {name: value for name, value in plain.items() if value is not None}
