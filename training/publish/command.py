"""``saros publish-model``: options, and what is said at the end."""

import argparse
from pathlib import Path

from saros_hf.console import Subparsers, say


def add_publish_model(commands: Subparsers) -> None:
    """Add the command and its options."""
    publish = commands.add_parser(
        "publish-model",
        help="put a trained network, or those of five folds, on the Hugging Face Hub",
        description="Write weights, configuration and card to a folder, then upload it. Start it "
        "again after any interruption: what has arrived is not sent again.",
    )
    add = publish.add_argument
    add(
        "source",
        metavar="CKPT_OR_DIR",
        type=Path,
        help="checkpoint, saved model, or run: one with fold_1 to fold_5 becomes one repository",
    )
    add("repo", metavar="REPO", help="user/name")
    add(
        "--evaluation",
        metavar="DIR",
        type=Path,
        nargs="+",
        default=[],
        help="what saros evaluate wrote for this model, of each label map",
    )
    _add_ways(publish)
    publish.set_defaults(run=_run)


def _add_ways(publish: argparse.ArgumentParser) -> None:
    """Add the options that say where to, and what users get by default."""
    add = publish.add_argument
    add("--out", metavar="FOLDER", type=Path, help="where it is written (default hub/REPO)")
    add("--dry-run", action="store_true", help="write the folder, upload nothing")
    add("--private", action="store_true", help="visible to you alone")
    add("--tag", metavar="NAME", help="name for this state, e.g. v1: --model user/name@NAME")
    choice = argparse.BooleanOptionalAction
    add("--mirror", action=choice, help="that users average with the mirror image by default")
    add("--clean", action=choice, help="that users drop small parts by default")
    add(
        "--i-may-publish-these-weights",
        action="store_true",
        help="though they were trained on CTs under controlled access, or on what is not recorded",
    )


def _run(options: argparse.Namespace) -> int:
    from saros_hf.hub.client import Destination, check_destination

    from ..evaluate.result_folder import read_evaluation
    from .model_folder import (
        push_model,
        read_networks,
        refuse_controlled,
        refuse_other_task,
        write_model_folder,
    )

    to = Destination(options.repo, "model", private=options.private, tag=options.tag)
    if not options.dry_run:
        check_destination(to)
    networks = read_networks(options.source, mirror=options.mirror, clean=options.clean)
    refuse_controlled(networks, allowed=options.i_may_publish_these_weights)
    if not options.dry_run:
        refuse_other_task(to, networks[0].tasks)
    evaluations = [read_evaluation(folder) for folder in options.evaluation]
    folder = options.out or Path("hub") / options.repo
    files = write_model_folder(folder, networks, evaluations, repo_id=options.repo)
    say(f"{folder}: {', '.join(files)}")
    if not evaluations:
        say("The card has no scores: add --evaluation DIR, from saros evaluate.")
    if options.dry_run:
        say("Nothing was uploaded. Look at README.md there.")
        return 0
    say(push_model(folder, files, to))
    return 0
