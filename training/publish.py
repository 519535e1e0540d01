"""A trained network as a folder that loads back and can be put on the Hub."""

import math
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader

from saros_hf.labels import Task

from .module import SarosSegmenter
from .score_table import text_rows
from .scores import Score, case_mean


def write_model_folder(
    folder: Path, segmenter: SarosSegmenter, scores: Sequence[Score], *, trained_on: str
) -> None:
    """Write model.safetensors, config.json and README.md.

    ``smp.from_pretrained(folder)`` reads the network alone,
    ``SarosSegmenter.from_pretrained(folder)`` with what it expects of its input.

    Args:
        folder: Made if missing; the three files are replaced.
        segmenter: Trained network.
        scores: Of cases that it was not trained on, for the card.
        trained_on: What the card says of the training data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    segmenter.save_pretrained(folder)
    model_card(segmenter, scores, trained_on=trained_on).save(folder / "README.md")


def model_card(segmenter: SarosSegmenter, scores: Sequence[Score], *, trained_on: str) -> ModelCard:
    """Return the card: what the network does, what it scored, what it must not be used for."""
    task: Task = segmenter.tasks[0]
    data = ModelCardData(
        license="apache-2.0",
        library_name="segmentation-models-pytorch",
        pipeline_tag="image-segmentation",
        tags=["ct", "body-composition", "saros", task],
        model_name=f"saros-{task}",
        eval_results=_eval_results(scores, trained_on),
    )
    template = Environment(
        loader=PackageLoader("training"), trim_blocks=True, autoescape=False
    ).get_template("model_card.md")
    spec = segmenter.spec
    text = template.render(
        task=task,
        trained_on=trained_on,
        rows=text_rows(scores, task),
        spec=spec,
        network=f"{segmenter.hparams['architecture']} with {segmenter.hparams['encoder_name']}",
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def _eval_results(scores: Sequence[Score], dataset: str) -> list[EvalResult]:
    values = {"Dice": case_mean(scores, "dice"), "NSD 3 mm (slice)": case_mean(scores, "nsd")}
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="saros",
            dataset_name=f"SAROS format, {dataset}, test split",
            metric_type=name.split()[0].lower(),
            metric_name=f"{name}, mean over labels present, then cases",
            metric_value=round(value, 4),
        )
        for name, value in values.items()
        if not math.isnan(value)
    ]
