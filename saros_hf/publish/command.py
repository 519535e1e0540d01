"""``saros publish-dataset``: options and output."""

import argparse
from collections import Counter
from pathlib import Path

from ..console import Subparsers, say

PARTS = ("masks", "cc-by", "cc-by-nc")


def add_publish_dataset(commands: Subparsers) -> None:
    """Add the command and its options."""
    publish = commands.add_parser(
        "publish-dataset",
        help="put a folder of cases on the Hugging Face Hub, as far as its licences allow",
        description="Write Parquet shards and a card to a folder, then upload it. After an "
        "interruption start it again: files that the Hub has are not sent again.",
    )
    add = publish.add_argument
    add("data_dir", metavar="DIR", type=Path, help="folder of cases with the case table")
    add("repo", metavar="REPO", help="user/name")
    add(
        "--config",
        nargs="+",
        choices=PARTS,
        default=["masks", "cc-by"],
        metavar="PART",
        help="masks: all label maps; cc-by: CTs under CC BY as volumes and slices; cc-by-nc: CTs "
        "under CC BY-NC, in configurations of their own (default masks cc-by). Only these are "
        "published. CTs under controlled access never are",
    )
    add_upload_options(publish, use_of_tag="load_dataset(revision=NAME)")
    add("--jobs", type=int, metavar="N", help="number of processes that build shards")
    publish.set_defaults(run=_run)


def add_upload_options(publish: argparse.ArgumentParser, *, use_of_tag: str) -> None:
    """Add the options that the commands for datasets and models share."""
    add = publish.add_argument
    add("--out", metavar="FOLDER", type=Path, help="folder to write (default hub/REPO)")
    add("--dry-run", action="store_true", help="write the folder, upload nothing")
    add("--private", action="store_true", help="make the repository visible to you alone")
    add("--tag", metavar="NAME", help=f"tag for this state, e.g. v1: {use_of_tag}")


def _run(options: argparse.Namespace) -> int:
    from ..hub.client import Destination, check_destination, check_repo_id
    from .dataset_folder import configs_of, push_dataset, refuse_to_drop, write_dataset_folder

    check_repo_id(options.repo)  # also the default folder's path
    to = Destination(options.repo, "dataset", private=options.private, tag=options.tag)
    if not options.dry_run:
        check_destination(to)
        refuse_to_drop(to, configs_of(options.config))
    ready = write_dataset_folder(
        options.out or Path("hub") / options.repo,
        options.data_dir,
        options.config,
        repo_id=options.repo,
        num_proc=options.jobs,
        on_config=lambda name: say(f"Building {name}"),
    )
    size = sum((ready.folder / name).stat().st_size for name in ready.files)
    say(f"{ready.folder}: {len(ready.files)} files, {size / 1e9:.2f} GB")
    for what, reasons in (("CT", ready.withheld), ("case, label maps and all", ready.left_out)):
        for reason, number in Counter(reasons.values()).most_common(10):
            say(f"Not published: {number} x {what} ({reason})")
    if options.dry_run:
        say("Nothing was uploaded. Look at README.md there.")
        return 0
    say(push_dataset(ready, to))
    return 0
