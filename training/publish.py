"""Trained networks as a folder that loads back, and that folder on the Hugging Face Hub."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from saros_hf.errors import MissingFileError, RightsError, UnreadableFileError, UsageError
from saros_hf.files import write_atomically
from saros_hf.hub import CARD, Destination, push_folder

from .ensemble import read_members
from .evaluation_folder import Evaluated
from .example import PICTURE
from .model_card import Published, freedom, model_card
from .module import SarosSegmenter
from .pretrained import CONFIG, WEIGHTS


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
    evaluations: Sequence[Evaluated],
    *,
    repo_id: str,
) -> tuple[str, ...]:
    """Write weights, configuration, card and picture as they are to be published.

    ``smp.from_pretrained(folder)`` reads the first network alone,
    ``SarosSegmenter.from_pretrained(folder)`` with what it expects of its input, and
    :func:`training.ensemble.read_ensemble` all of them.

    Args:
        folder: Made if missing; of an earlier call the files are replaced.
        networks: One, or one per fold.
        evaluations: What they scored on cases that none of them was trained on.
        repo_id: ``user/name``, for the card.

    Returns:
        The files inside it.

    Raises:
        UsageError: An evaluation is of cases that a network was trained on, or of another task,
            or ``folder`` holds other files.
    """
    _refuse_other_files(folder)
    for evaluated in evaluations:
        _refuse_seen_cases(evaluated, networks)
    members = [_member_name(number, one) for number, one in enumerate(networks[1:], start=2)]
    networks[0].save_pretrained(folder, members=members)
    for name, network in zip(members, networks[1:], strict=True):
        network.save_pretrained(folder / name)
    example = next((one.example for one in evaluations if one.example), None)
    if example is not None:
        with write_atomically(folder / PICTURE) as aside:
            aside.write_bytes(example.png)
    with write_atomically(folder / CARD) as aside:
        card = model_card(Published(networks, evaluations, repo_id))
        aside.write_text(str(card), encoding="utf-8")
    return tuple(
        str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()
    )


def push_model(folder: Path, files: Sequence[str], to: Destination) -> str:
    """Upload what :func:`write_model_folder` wrote and return the repository's address.

    Raises:
        HubError: The Hub refused, or could not be reached.
    """
    return push_folder(folder, files, to, replaces=["fold_*/*", PICTURE])


def refuse_controlled(networks: Sequence[SarosSegmenter], *, allowed: bool) -> None:
    """Raise if a network learned from CTs under controlled access and nobody took it on himself.

    Raises:
        RightsError: Says what to do.
    """
    left = freedom(networks)
    if left in ("controlled", "unknown") and not allowed:
        raise RightsError(
            "the network",
            found="training CTs under NIH controlled access"
            if left == "controlled"
            else "no record of the licences it was trained on",
            expected="none, as its weights are derived from them",
            remedy="If your agreement lets you publish them, add --i-may-publish-these-weights.",
        )


def _from_checkpoint(path: Path) -> SarosSegmenter:
    if not path.is_file():
        raise MissingFileError(
            path, found="no such file", expected="a checkpoint", remedy="Check the path."
        )
    try:
        # Only weights, numbers and texts: a checkpoint from strangers runs no code.
        return SarosSegmenter.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UnreadableFileError(
            path,
            found=f"no checkpoint of this package ({type(error).__name__})",
            expected="best.ckpt or last.ckpt of saros fit",
            remedy="Give another, or the folder of a model.",
        ) from error


def _member_name(number: int, network: SarosSegmenter) -> str:
    return f"fold_{number if network.record is None else network.record.fold}"


def _refuse_seen_cases(evaluated: Evaluated, networks: Sequence[SarosSegmenter]) -> None:
    """Raise unless every scored case was held back from every network."""
    if evaluated.task not in networks[0].tasks:
        raise UsageError(
            "--evaluation",
            found=f"scores of {evaluated.task}",
            expected=f"scores of {' or '.join(networks[0].tasks)}",
            remedy="Give the evaluation of this model.",
        )
    folds = {one.record.fold for one in networks if one.record is not None}
    held_back = evaluated.split == "validation" and folds == {evaluated.fold}
    if evaluated.split != "test" and not held_back:
        raise UsageError(
            "--evaluation",
            found=f"scores of the {evaluated.split} split (fold {evaluated.fold})",
            expected="cases that no network was trained on",
            remedy="Score the test split: saros evaluate DIR PREDICTIONS --split test",
        )


def _refuse_other_files(folder: Path) -> None:
    """Raise if the folder holds what this module did not write; clear what it did."""
    known = {CARD, PICTURE, CONFIG, WEIGHTS}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name.startswith("fold_"):
            strangers = [one for one in path.iterdir() if one.name not in known]
        else:
            strangers = [] if path.name in known else [path]
        if strangers:
            raise UsageError(
                strangers[0],
                found="a file that this command did not write",
                expected="a new folder, or one that it wrote",
                remedy="Move it away, or give another --out.",
            )
    for member in folder.glob("fold_*"):
        shutil.rmtree(member)
    for name in known:
        (folder / name).unlink(missing_ok=True)
