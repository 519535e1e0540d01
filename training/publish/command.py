"""``saros publish-model``: options and output."""

import argparse
from pathlib import Path

from saros_hf.console import Subparsers, say
from saros_hf.publish.command import add_upload_options


def add_publish_model(commands: Subparsers) -> None:
    """Add the command and its options."""
    publish = commands.add_parser(
        "publish-model",
        help="put a trained network, or those of five folds, on the Hugging Face Hub",
        description="Write weights, configuration and card to a folder, then upload it. After an "
        "interruption start it again: files that the Hub has are not sent again.",
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
        help="output of saros evaluate for this model, one folder per label map",
    )
    add_upload_options(publish, use_of_tag="--model user/name@NAME")
    choice = argparse.BooleanOptionalAction
    add("--mirror", action=choice, help="average with the mirror image by default")
    add("--clean", action=choice, help="drop small parts by default")
    add(
        "--i-may-publish-these-weights",
        action="store_true",
        help="publish weights trained on CTs under controlled access or of unknown licence",
    )
    publish.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from saros_hf.hub.client import Destination, check_destination, check_repo_id

    from ..evaluate.result_folder import read_evaluation
    from .model_folder import (
        push_model,
        read_networks,
        refuse_controlled,
        refuse_other_task,
        write_model_folder,
    )

    check_repo_id(options.repo)  # also the default folder's path
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
