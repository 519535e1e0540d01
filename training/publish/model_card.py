"""The model card: use, scores, training data, licence and limits of a network."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from saros_hf.cases.licenses import SOURCE_DOI, License
from saros_hf.hub.client import TAG
from saros_hf.labels import label_names

from ..evaluate.example_case import PICTURE
from ..evaluate.result_folder import EvaluationResult
from ..evaluate.score_case import MetricName, ScoreProtocol
from ..evaluate.summary import label_means, text_rows
from ..model.training_record import TrainingRecord
from ..module import SarosSegmenter

Freedom: TypeAlias = Literal["free", "non-commercial", "controlled", "unknown"]
"""Use of the weights that the licences of the training CTs permit."""

_KNOWN = {*get_args(License)} - {"unknown"}
_SYNTAX = re.compile(r"[|`<>]|\](?=[(\[])|&(?=[#\w]+;)")

_AVERAGES: Mapping[tuple[MetricName, ScoreProtocol], str] = {
    ("dice", "annotated"): "Dice",
    ("nsd", "slice"): "NSD at 3 mm, contours of annotated slices",
    ("nsd", "published"): "NSD at 3 mm, as published in the paper's Table 4",
}
"""Metrics of the ``model-index``, by metric and protocol."""


def freedom(networks: Sequence[SarosSegmenter]) -> Freedom:
    """Return the use that the most restrictive licence of the training CTs permits."""
    if any(one.record is None for one in networks):
        return "unknown"
    licenses = {name for record in _records(networks) for name in record.licenses}
    if "NIH controlled access" in licenses:
        return "controlled"
    if not licenses or licenses - _KNOWN:
        return "unknown"
    return "non-commercial" if "CC BY-NC 3.0" in licenses else "free"


def model_card(
    networks: Sequence[SarosSegmenter], evaluations: Sequence[EvaluationResult], *, repo_id: str
) -> ModelCard:
    """Return the card with its metrics as ``model-index``.

    Args:
        networks: All networks of the model, that of the first fold first.
        evaluations: Scores of their ensemble on cases that none was trained on.
        repo_id: ``user/name``.
    """
    environment = Environment(
        loader=PackageLoader("training"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=_plain,
        undefined=StrictUndefined,
    )
    values = _template_values(networks, evaluations) | {"repo": repo_id}
    text = environment.get_template("model_card.md").render(values)
    metadata = _metadata(networks, evaluations, repo_id)
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}")


def _plain(value: object) -> str:
    """Return a value as one line without Markdown and HTML: it may be a stranger's."""
    text = re.sub(r"\s+", " ", str(value))
    return _SYNTAX.sub(lambda found: f"&#{ord(found[0])};", text)


def _records(networks: Sequence[SarosSegmenter]) -> list[TrainingRecord]:
    return [one.record for one in networks if one.record is not None]


def _metadata(
    networks: Sequence[SarosSegmenter], evaluations: Sequence[EvaluationResult], repo_id: str
) -> ModelCardData:
    """Return the YAML that the Hub reads."""
    free = freedom(networks) == "free"
    results = [one for done in evaluations for one in _results(done)]
    return ModelCardData(
        license="apache-2.0" if free else "other",
        license_name=None if free else "apache-2.0-but-for-training-data",
        license_link=None if free else "https://www.apache.org/licenses/LICENSE-2.0",
        library_name="segmentation-models-pytorch",
        pipeline_tag="image-segmentation",
        tags=[TAG, "medical", "ct", "body-composition", "saros", *networks[0].tasks],
        model_name=repo_id.rpartition("/")[2],
        eval_results=results or _validation_results(_records(networks)) or None,
    )


def _template_values(
    networks: Sequence[SarosSegmenter], evaluations: Sequence[EvaluationResult]
) -> dict[str, Any]:
    first, records = networks[0], _records(networks)
    return {
        "networks": len(networks),
        "tasks": first.tasks,
        "labels": {task: label_names(task)[1:] for task in first.tasks},
        "spec": first.spec,
        "options": first.options,
        "hyperparameters": _hyperparameters(first),
        "records": records,
        "sources": _sources(records),
        "licenses": _licenses(records),
        "synthetic": bool(records) and all(set(one.licenses) == {"synthetic"} for one in records),
        "freedom": freedom(networks),
        "validation": list(dict.fromkeys(name for one in records for name in one.validation)),
        "evaluations": [_evaluation(done) for done in evaluations],
        "picture": PICTURE,
        "example": next((done.example for done in evaluations if done.example), None),
    }


def _evaluation(done: EvaluationResult) -> dict[str, Any]:
    return {
        "task": done.task,
        "split": done.split,
        "fold": done.fold,
        "synthetic": done.synthetic,
        "cases": len({score.case_id for score in done.scores}),
        "rows": text_rows(done.scores, done.task),
    }


def _results(done: EvaluationResult) -> list[EvalResult]:
    """Return the means over all labels, and the mean Dice of each label."""
    rows = label_means(done.scores, done.task)
    wanted = [("average", key, f"{name}, mean over labels") for key, name in _AVERAGES.items()]
    wanted += [(row.label, ("dice", "annotated"), f"Dice, {row.label}") for row in rows[:-1]]
    means = {row.label: row.means for row in rows if row.cases}
    name = f"SAROS {done.task}" + (" (synthetic phantoms)" if done.synthetic else "")
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_config=done.task,
            dataset_type="saros",
            dataset_name=name,
            dataset_split=done.split,
            metric_type=key[0],
            metric_name=metric_name,
            metric_value=round(means[label][key].mean, 4),
        )
        for label, key, metric_name in wanted
        if key in means.get(label, {}) and math.isfinite(means[label][key].mean)
    ]


def _validation_results(records: Sequence[TrainingRecord]) -> list[EvalResult]:
    """Return the mean validation Dice of the weights of each fold."""
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
    """Return a row per collection, with the largest number of CTs that any fold used."""
    most: dict[str, int] = {}
    for record in records:
        for collection, cases in record.collections.items():
            most[collection] = max(cases, most.get(collection, 0))
    return [
        {"collection": name, "cases": cases, "doi": SOURCE_DOI.get(name)}
        for name, cases in sorted(most.items())
    ]


def _licenses(records: Sequence[TrainingRecord]) -> list[tuple[str, list[int]]]:
    """Return the number of training CTs of each network by licence."""
    names = sorted({name for record in records for name in record.licenses})
    return [(name, [record.licenses.get(name, 0) for record in records]) for name in names]


def _hyperparameters(network: SarosSegmenter) -> dict[str, Any]:
    """Return them as config.json has them, so that a reloaded network gets the same card."""
    plain = json.loads(json.dumps(dict(network.hparams)))
    plain.pop("encoder_weights")  # kept in the training record; a loaded network has None here
    return {name: value for name, value in plain.items() if value is not None}
