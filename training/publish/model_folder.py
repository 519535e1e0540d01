"""Write trained networks to a folder that loads back, and upload it to the Hugging Face Hub."""

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
from ..predict.ensemble import read_members, refuse_useless
from .model_card import freedom, model_card

_OURS = re.compile(
    rf"(fold_\d+/)?({re.escape(CONFIG)}|{re.escape(WEIGHTS)})|{re.escape(CARD)}|{re.escape(PICTURE)}"
)
_REPLACED = (f"fold_*/{CONFIG}", f"fold_*/{WEIGHTS}", PICTURE)
"""Files of an earlier state on the Hub that are deleted; files of others stay."""


def read_networks(
    source: Path, *, mirror: bool | None = None, clean: bool | None = None
) -> list[SarosSegmenter]:
    """Return the networks to publish, in the order of their folds.

    Args:
        source: Checkpoint, folder of a model, run, or one fold of a run.
        mirror: Whether predictions average with the mirror image; ``None`` keeps the setting.
        clean: Whether predictions drop small parts; ``None`` keeps the setting.

    Raises:
        SarosError: There is no network, or it cannot be read.
    """
    if source.suffix == ".ckpt":
        networks = [_from_checkpoint(source)]
        refuse_useless(source, networks[0])
    elif (source / "model" / CONFIG).is_file():
        networks = read_members([source / "model"])
    else:
        networks = read_members([source])
    given = {name: one for name, one in (("mirror", mirror), ("clean", clean)) if one is not None}
    for network in networks:
        network.options = replace(network.options, **given)
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
    ``SarosSegmenter.from_pretrained(folder)`` adds the input specification, and
    :func:`training.predict.ensemble.read_ensemble` reads all networks.

    Args:
        folder: Created if missing. The files of an earlier call are replaced once all new ones
            are on disk, so the networks may come from this folder.
        networks: One network, or one per fold.
        evaluations: Scores on cases that none of the networks was trained on.
        repo_id: ``user/name``, for the card.

    Returns:
        The files inside it.

    Raises:
        UsageError: An evaluation has training cases or another task, two evaluations have one
            task, two networks have one fold, or ``folder`` holds other files.
    """
    names = _member_names(networks)
    _refuse_two_of_a_task(evaluations)
    for evaluated in evaluations:
        _refuse_training_cases(evaluated, networks)
    with replace_files(folder, _OURS) as aside:
        networks[0].save_pretrained(aside, members=names[1:])
        for name, network in zip(names[1:], networks[1:], strict=True):
            network.save_pretrained(aside / name)
        example = next((one.example for one in evaluations if one.example), None)
        if example is not None:
            (aside / PICTURE).write_bytes(example.png)
        card = model_card(networks, evaluations, repo_id=repo_id)
        (aside / CARD).write_text(str(card), encoding="utf-8")
    return tuple(files_in(folder))


def push_model(folder: Path, files: Sequence[str], to: Destination) -> str:
    """Upload the files of :func:`write_model_folder` and return the repository's address.

    Raises:
        HubError: The Hub refuses, or cannot be reached.
        UsageError: The repository holds a model for another task.
    """
    refuse_other_task(to, tasks_of(read_config(folder)["input"]["task"]))
    return push_folder(folder, files, to, replaces=_REPLACED)


def refuse_other_task(to: Destination, tasks: Sequence[Task]) -> None:
    """Raise if a repository holds a model for other label maps.

    Raises:
        HubError: The Hub cannot be reached.
        UsageError: The repository's card names other tasks.
    """
    present = [task for task in tags_on_hub(to) if task in TASKS]
    if present and set(present) != set(tasks):
        raise UsageError(
            to.page,
            f"a model for {' and '.join(present)}",
            f"one for {' and '.join(tasks)}, or a new repository",
            "Choose another name, or empty that repository yourself.",
        )


def refuse_controlled(networks: Sequence[SarosSegmenter], *, allowed: bool) -> None:
    """Raise if a network learned from CTs under controlled access or of unknown licence.

    Args:
        networks: Networks to publish.
        allowed: The user has declared that the weights may be published.

    Raises:
        RightsError: Names the option that declares it.
    """
    found = {
        "controlled": "training CTs under NIH controlled access",
        "unknown": "training CTs whose licence is not known",
    }.get(freedom(networks))
    if found and not allowed:
        raise RightsError(
            "the network",
            found,
            "none, as its weights are derived from them",
            "If you may publish them, give publish-model --i-may-publish-these-weights.",
        )


def _from_checkpoint(path: Path) -> SarosSegmenter:
    if not path.is_file():
        raise MissingFileError(path, "no such file", "a checkpoint")
    try:
        # weights_only: an untrusted checkpoint runs no code. encoder_weights: all weights are in
        # the checkpoint, so nothing need be downloaded.
        return SarosSegmenter.load_from_checkpoint(
            path, map_location="cpu", weights_only=True, encoder_weights=None
        )
    except Exception as error:
        found = f"no checkpoint of this package ({type(error).__name__})"
        raise UnreadableFileError(path, found, "best.ckpt or last.ckpt of saros fit") from error


def _member_names(networks: Sequence[SarosSegmenter]) -> list[str]:
    """Return a folder name per network: that of its fold, or its position if unknown."""
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
            raise UsageError("--evaluation", f"{times} evaluations of {task}", "one per label map")


def _refuse_training_cases(evaluated: EvaluationResult, networks: Sequence[SarosSegmenter]) -> None:
    """Raise unless no network was trained on any of the scored cases."""
    tasks = networks[0].tasks
    if evaluated.task not in tasks:
        raise UsageError(
            "--evaluation", f"scores of {evaluated.task}", f"scores of {' or '.join(tasks)}"
        )
    folds = {one.record.fold for one in networks if one.record is not None}
    held_out = evaluated.split == "validation" and folds == {evaluated.fold}
    if evaluated.split != "test" and not held_out:
        raise UsageError(
            "--evaluation",
            f"scores of the {evaluated.split} split (fold {evaluated.fold})",
            "cases that no network was trained on",
            "Score the test split: saros evaluate DIR PREDICTIONS --split test",
        )
