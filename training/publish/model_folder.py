"""Trained networks as a folder that loads back, and that folder on the Hugging Face Hub."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saros_hf.errors import MissingFileError, RightsError, UnreadableFileError, UsageError
from saros_hf.files import files_in, replace_files
from saros_hf.hub.client import CARD, Destination, push_folder, tags_on_hub
from saros_hf.labels import TASKS, Task

from ..data.tasks import tasks_of
from ..evaluate.example_case import PICTURE
from ..evaluate.result_folder import EvaluationResult
from ..model.pretrained import CONFIG, WEIGHTS, read_config
from ..module import SarosSegmenter
from ..predict.ensemble import read_members
from .model_card import Published, freedom, model_card

_OURS = re.compile(
    rf"(fold_\d+/)?({re.escape(CONFIG)}|{re.escape(WEIGHTS)})|{re.escape(CARD)}|{re.escape(PICTURE)}"
)
_REPLACED = (f"fold_*/{CONFIG}", f"fold_*/{WEIGHTS}", PICTURE)
"""Of an earlier state on the Hub, unless they are there again; other files stay."""


def read_networks(
    source: Path, *, mirror: bool | None = None, clean: bool | None = None
) -> list[SarosSegmenter]:
    """Return the networks to publish, the first fold's first.

    Args:
        source: Checkpoint; folder of a model; run, or one fold of it.
        mirror: Whether users are to average with the mirror image, ``None`` leaves it as it is.
        clean: Likewise, whether to drop small parts.

    Raises:
        SarosError: There is no network, or it cannot be read.
    """
    if source.suffix == ".ckpt":
        networks = [_from_checkpoint(source)]
    elif (source / "model" / CONFIG).is_file():
        networks = read_members([source / "model"])
    else:
        networks = read_members([source])
    said = {name: one for name, one in (("mirror", mirror), ("clean", clean)) if one is not None}
    for network in networks:
        network.options = replace(network.options, **said)
    return networks


def write_model_folder(
    folder: Path,
    networks: Sequence[SarosSegmenter],
    evaluations: Sequence[EvaluationResult],
    *,
    repo_id: str,
) -> tuple[str, ...]:
    """Write weights, configuration, card and picture as they are to be published.

    ``smp.from_pretrained(folder)`` reads the first network alone,
    ``SarosSegmenter.from_pretrained(folder)`` with what it expects of its input, and
    :func:`training.predict.ensemble.read_ensemble` all of them.

    Args:
        folder: Made if missing; the files of an earlier call are replaced once all new ones are
            on disk, so that the networks may be those that lie there.
        networks: One, or one per fold.
        evaluations: What they scored on cases that none of them was trained on.
        repo_id: ``user/name``, for the card.

    Returns:
        The files inside it.

    Raises:
        UsageError: An evaluation is of cases that a network was trained on, or of another task,
            two are of one task, two networks of one fold, or ``folder`` holds other files.
    """
    names = _member_names(networks)
    _refuse_two_of_a_task(evaluations)
    for evaluated in evaluations:
        _refuse_seen_cases(evaluated, networks)
    with replace_files(folder, _OURS) as aside:
        networks[0].save_pretrained(aside, members=names[1:])
        for name, network in zip(names[1:], networks[1:], strict=True):
            network.save_pretrained(aside / name)
        example = next((one.example for one in evaluations if one.example), None)
        if example is not None:
            (aside / PICTURE).write_bytes(example.png)
        card = model_card(Published(networks, evaluations, repo_id))
        (aside / CARD).write_text(str(card), encoding="utf-8")
    return tuple(files_in(folder))


def push_model(folder: Path, files: Sequence[str], to: Destination) -> str:
    """Upload what :func:`write_model_folder` wrote and return the repository's address.

    Raises:
        HubError: The Hub refused, or could not be reached.
        UsageError: The repository holds a model for another task.
    """
    refuse_other_task(to, tasks_of(read_config(folder)["input"]["task"]))
    return push_folder(folder, files, to, replaces=_REPLACED)


def refuse_other_task(to: Destination, tasks: Sequence[Task]) -> None:
    """Raise if a repository holds a model for other label maps, which nobody means to replace.

    Raises:
        HubError: The Hub could not be asked.
        UsageError: Says what to do.
    """
    there = [task for task in tags_on_hub(to) if task in TASKS]
    if there and set(there) != set(tasks):
        raise UsageError(
            to.page,
            f"a model for {' and '.join(there)}",
            f"one for {' and '.join(tasks)}, or a new repository",
            "Choose another name, or empty that repository yourself.",
        )


def refuse_controlled(networks: Sequence[SarosSegmenter], *, allowed: bool) -> None:
    """Raise if a network learned from CTs under controlled access and nobody took it on himself.

    Raises:
        RightsError: Says what to do.
    """
    left = freedom(networks)
    if left in ("controlled", "unknown") and not allowed:
        raise RightsError(
            "the network",
            "training CTs under NIH controlled access"
            if left == "controlled"
            else "training CTs whose licence is not known",
            "none, as its weights are derived from them",
            "If you may publish them, give publish-model --i-may-publish-these-weights.",
        )


def _from_checkpoint(path: Path) -> SarosSegmenter:
    if not path.is_file():
        raise MissingFileError(path, "no such file", "a checkpoint")
    try:
        # Only weights, numbers and texts: a checkpoint from strangers runs no code. It brings all
        # weights with it, so that those to start from need not be downloaded.
        return SarosSegmenter.load_from_checkpoint(
            path, map_location="cpu", weights_only=True, encoder_weights=None
        )
    except Exception as error:
        raise UnreadableFileError(
            path,
            f"no checkpoint of this package ({type(error).__name__})",
            "best.ckpt or last.ckpt of saros fit",
            "Give another, or the folder of a model.",
        ) from error


def _member_names(networks: Sequence[SarosSegmenter]) -> list[str]:
    """Return the folder that stands for each network: that of its fold, else of its place."""
    names = [
        f"fold_{number if one.record is None else one.record.fold}"
        for number, one in enumerate(networks, start=1)
    ]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UsageError(
            "the ensemble",
            f"{times} networks of {name}",
            "one of each fold",
            "Publish one run: the folder that holds fold_1 to fold_5.",
        )
    return names


def _refuse_two_of_a_task(evaluations: Sequence[EvaluationResult]) -> None:
    for task, times in Counter(one.task for one in evaluations).items():
        if times > 1:
            raise UsageError(
                "--evaluation",
                f"{times} evaluations of {task}",
                "one of each label map",
                "Give the one whose scores the card is to show.",
            )


def _refuse_seen_cases(evaluated: EvaluationResult, networks: Sequence[SarosSegmenter]) -> None:
    """Raise unless every scored case was held back from every network."""
    if evaluated.task not in networks[0].tasks:
        raise UsageError(
            "--evaluation",
            f"scores of {evaluated.task}",
            f"scores of {' or '.join(networks[0].tasks)}",
            "Give the evaluation of this model.",
        )
    folds = {one.record.fold for one in networks if one.record is not None}
    held_back = evaluated.split == "validation" and folds == {evaluated.fold}
    if evaluated.split != "test" and not held_back:
        raise UsageError(
            "--evaluation",
            f"scores of the {evaluated.split} split (fold {evaluated.fold})",
            "cases that no network was trained on",
            "Score the test split: saros evaluate DIR PREDICTIONS --split test",
        )
