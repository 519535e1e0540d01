"""Folders to and from the Hugging Face Hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from huggingface_hub import DatasetInfo, HfApi, ModelInfo, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from ..errors import HubError
from .account import check_account
from .errors import endpoint, hub_errors

RepoType: TypeAlias = Literal["model", "dataset"]

CARD = "README.md"
TAG = "saros-hf"
"""In the card of every repository that this package wrote."""

_REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Destination:
    """A repository on the Hub.

    Attributes:
        repo_id: ``user/name``.
        repo_type: What it holds.
        private: Make it visible to its owner alone, and refuse one that is public already. Else a
            new one is what its owner's settings say, which is public unless they were changed.
        tag: Name for the state after the upload, e.g. ``v1``.
    """

    repo_id: str
    repo_type: RepoType
    private: bool = False
    tag: str | None = None

    @property
    def page(self) -> str:
        """Its address for a browser."""
        prefix = "datasets/" if self.repo_type == "dataset" else ""
        return f"{endpoint()}/{prefix}{self.repo_id}"


def is_repo_id(name: str) -> bool:
    """Return whether ``name`` could be a repository, ``user/name``."""
    return _REPO_ID.fullmatch(name) is not None


def check_destination(to: Destination) -> None:
    """Raise what would stop an upload at its end, before hours are spent on what to upload.

    Raises:
        HubError: No token, none that may write there, no connection, or a repository in the way.
    """
    if not is_repo_id(to.repo_id):
        raise HubError(
            to.repo_id,
            "no name of a repository",
            "user/name, of letters, digits and - _ .",
            "Give your own user name or organisation before the slash.",
        )
    check_account(to.repo_id)
    _refuse_other_content(to)


def push_folder(
    folder: Path,
    files: Sequence[str],
    to: Destination,
    *,
    replaces: Sequence[str] = (),
    gated: bool = False,
) -> str:
    """Upload files of a folder, those only that the repository does not have yet.

    After an interruption the same call goes on: what has arrived is not sent again. Whether the
    token may write there, :func:`check_destination` tells beforehand.

    Args:
        folder: On disk; nothing in it is changed.
        files: Paths inside it.
        to: Made if it does not exist.
        replaces: Patterns of files in the repository to remove unless they are uploaded.
        gated: Before any file goes up, have the Hub ask readers to agree to the card's terms. It
            does so by a setting of the repository: the card's text alone stops nobody.

    Returns:
        The repository's address.

    Raises:
        HubError: The Hub refused, or could not be reached, or the repository holds other content.
    """
    _refuse_other_content(to)
    with hub_errors(to.repo_id):
        api = HfApi(library_name=TAG)
        _open(api, to, gated=gated)
        if CARD in files:
            _card_first(api, folder, to)
        commit = api.upload_folder(
            repo_id=to.repo_id,
            repo_type=to.repo_type,
            folder_path=folder,
            allow_patterns=list(files),
            delete_patterns=list(replaces) or None,
            commit_message="Published by saros-hf",
        )
        if to.tag is not None:
            _tag(api, to, to.tag, commit.oid)
    return to.page


def files_on_hub(to: Destination) -> list[str]:
    """Return the files of a repository, none if it does not exist."""
    info = _info(to)
    return [] if info is None else [one.rfilename for one in info.siblings or ()]


def tags_on_hub(to: Destination) -> list[str]:
    """Return the tags in the card of a repository, none if it does not exist."""
    info = _info(to)
    return [] if info is None else list(info.tags or ())


def fetch_model(name: str, *, patterns: Sequence[str]) -> Path:
    """Return the folder of a model from the Hub, downloaded unless it is in the cache.

    Args:
        name: ``user/name``, or ``user/name@revision``.
        patterns: Which of its files are wanted.

    Raises:
        HubError: There is no such repository, it may not be read, or the Hub could not be reached.
    """
    repo_id, _, revision = name.partition("@")
    with hub_errors(name, "read"):
        return Path(
            snapshot_download(repo_id, revision=revision or None, allow_patterns=list(patterns))
        )


def _info(to: Destination) -> ModelInfo | DatasetInfo | None:
    """Return what the Hub tells of a repository, ``None`` if it does not exist."""
    api = HfApi()
    with hub_errors(to.repo_id):
        try:
            if to.repo_type == "dataset":
                return api.dataset_info(to.repo_id)
            return api.model_info(to.repo_id)
        except RepositoryNotFoundError:
            return None


def _open(api: HfApi, to: Destination, *, gated: bool) -> None:
    """Make the repository unless it exists; gate it unless it is gated, by hand even."""
    private = to.private or None  # else as its owner's settings say
    api.create_repo(to.repo_id, repo_type=to.repo_type, private=private, exist_ok=True)
    if gated and not api.repo_info(to.repo_id, repo_type=to.repo_type).gated:
        api.update_repo_settings(to.repo_id, repo_type=to.repo_type, gated="auto")


def _card_first(api: HfApi, folder: Path, to: Destination) -> None:
    """Upload the card of a new repository: by its tag an upload that is cut off is ours."""
    if not api.file_exists(to.repo_id, CARD, repo_type=to.repo_type):
        api.upload_file(
            repo_id=to.repo_id,
            repo_type=to.repo_type,
            path_or_fileobj=folder / CARD,
            path_in_repo=CARD,
        )


def _tag(api: HfApi, to: Destination, name: str, commit: str) -> None:
    """Give a state its name; that it has it already is no error."""
    try:
        api.create_tag(to.repo_id, tag=name, revision=commit, repo_type=to.repo_type)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if api.repo_info(to.repo_id, revision=name, repo_type=to.repo_type).sha != commit:
            raise HubError(
                to.page,
                f"the tag {name} on an earlier state",
                "a name that is free",
                "The files have arrived: run it again with another --tag.",
            ) from error


def _refuse_other_content(to: Destination) -> None:
    """Raise if the repository holds what this package did not write, or is not private enough."""
    info = _info(to)
    if info is None:
        return
    if to.private and not info.private:
        raise HubError(
            to.page,
            "a public repository",
            "a private one",
            "Make it private in its settings, or choose another name.",
        )
    files = [one.rfilename for one in info.siblings or () if one.rfilename != ".gitattributes"]
    if files and TAG not in (info.tags or ()):
        raise HubError(
            to.page,
            f"other content ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})",
            f"a new repository, or one of this package (tag {TAG} in its card)",
            "Choose another name, or empty that repository yourself.",
        )
