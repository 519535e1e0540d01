"""Upload folders to the Hugging Face Hub and download models from it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import (
    DatasetInfo,
    HfApi,
    ModelInfo,
    get_token,
    snapshot_download,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from ..errors import HubError
from .errors import LOGIN, endpoint, hub_errors

CARD = "README.md"
TAG = "saros-hf"
"""Tag in the card of every repository that this package writes."""

_REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Destination:
    """A repository on the Hub.

    Attributes:
        repo_id: ``user/name``.
        repo_type: ``model`` or ``dataset``.
        private: Create a private repository and refuse an existing public one. Otherwise the
            visibility of a new repository follows the owner's settings, public by default.
        tag: Tag for the uploaded state, e.g. ``v1``.
    """

    repo_id: str
    repo_type: Literal["model", "dataset"]
    private: bool = False
    tag: str | None = None

    @property
    def page(self) -> str:
        """Address of the repository's web page."""
        prefix = "datasets/" if self.repo_type == "dataset" else ""
        return f"{endpoint()}/{prefix}{self.repo_id}"


def is_repo_id(name: str) -> bool:
    """Return whether ``name`` has the form ``user/name``."""
    return _REPO_ID.fullmatch(name) is not None


def check_repo_id(name: str) -> None:
    """Raise :class:`HubError` unless ``name`` has the form ``user/name``."""
    if not is_repo_id(name):
        raise HubError(
            name,
            "no name of a repository",
            "user/name, of letters, digits and - _ .",
            "Give your own user name or organisation before the slash.",
        )


def check_destination(to: Destination) -> None:
    """Check name, token and repository before anything is built.

    Raises:
        HubError: The name is malformed, the token is missing or may not write there, the Hub
            cannot be reached, or the repository must not be overwritten.
    """
    check_repo_id(to.repo_id)
    _check_token(to.repo_id)
    _refuse_other_content(to)


def push_folder(
    folder: Path,
    files: Sequence[str],
    to: Destination,
    *,
    replaces: Sequence[str] = (),
    gated: bool = False,
) -> str:
    """Upload files of a folder in one commit; large files that the Hub has are not sent again.

    Args:
        folder: Local folder.
        files: Paths inside it.
        to: Repository, created if it does not exist.
        replaces: Patterns of files in the repository to delete unless they are uploaded.
        gated: Make readers agree to the terms in the card, before any file is uploaded.

    Returns:
        The repository's address.

    Raises:
        HubError: The Hub refuses, cannot be reached, or holds other content.
    """
    _refuse_other_content(to)
    with hub_errors(to.repo_id):
        api = HfApi(library_name=TAG)
        _create(api, to, gated=gated)
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
    """Return the paths of all files in a repository, none if it does not exist."""
    return _files(_info(to))


def tags_on_hub(to: Destination) -> list[str]:
    """Return the tags in the card of a repository, none if it does not exist."""
    info = _info(to)
    return [] if info is None else list(info.tags or ())


def fetch_model(name: str, *, patterns: Sequence[str]) -> Path:
    """Return the local folder of a model, downloaded unless it is in the cache.

    Args:
        name: ``user/name`` or ``user/name@revision``.
        patterns: Patterns of the files to download.

    Raises:
        HubError: The repository does not exist, may not be read, or cannot be reached.
    """
    repo_id, _, revision = name.partition("@")
    with hub_errors(name):
        return Path(
            snapshot_download(repo_id, revision=revision or None, allow_patterns=list(patterns))
        )


def _check_token(repo_id: str) -> None:
    """Raise unless the token can write to the namespace of ``repo_id``."""
    if get_token() is None:
        raise HubError(repo_id, "no token", "to be logged in to the Hub", LOGIN)
    with hub_errors(repo_id):
        me: dict[str, Any] = HfApi().whoami()
    namespace = repo_id.partition("/")[0]
    expected = f"one that may write to {namespace}"
    token = (me.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(repo_id, "a token that may only read", expected, LOGIN)
    names = [one["name"] for one in (me, *me.get("orgs", ())) if "name" in one]
    if namespace.lower() not in (name.lower() for name in names):
        raise HubError(repo_id, f"a token of {', '.join(names) or 'no user'}", expected)


def _info(to: Destination) -> ModelInfo | DatasetInfo | None:
    """Return the Hub's record of a repository, ``None`` if it does not exist."""
    api = HfApi()
    with hub_errors(to.repo_id):
        try:
            if to.repo_type == "dataset":
                return api.dataset_info(to.repo_id)
            return api.model_info(to.repo_id)
        except RepositoryNotFoundError:
            return None


def _files(info: ModelInfo | DatasetInfo | None) -> list[str]:
    return [] if info is None else [one.rfilename for one in info.siblings or ()]


def _create(api: HfApi, to: Destination, *, gated: bool) -> None:
    """Create the repository if missing; gate it unless it is gated already."""
    private = to.private or None  # None follows the owner's settings
    api.create_repo(to.repo_id, repo_type=to.repo_type, private=private, exist_ok=True)
    if gated and not api.repo_info(to.repo_id, repo_type=to.repo_type).gated:
        api.update_repo_settings(to.repo_id, repo_type=to.repo_type, gated="auto")


def _tag(api: HfApi, to: Destination, name: str, commit: str) -> None:
    """Tag a commit; a commit that has the tag already is no error."""
    try:
        api.create_tag(to.repo_id, tag=name, revision=commit, repo_type=to.repo_type)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if api.repo_info(to.repo_id, revision=name, repo_type=to.repo_type).sha != commit:
            raise HubError(
                to.page,
                f"the tag {name} on an earlier state",
                "an unused tag",
                "The files are uploaded: run it again with another --tag.",
            ) from error


def _refuse_other_content(to: Destination) -> None:
    """Raise if this package did not write the repository, or if it is not private enough."""
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
    files = [name for name in _files(info) if name != ".gitattributes"]
    if files and TAG not in (info.tags or ()):
        raise HubError(
            to.page,
            f"other content ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})",
            f"a new repository, or one of this package (tag {TAG} in its card)",
            "Choose another name, or empty that repository yourself.",
        )
