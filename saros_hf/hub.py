"""Folders to and from the Hugging Face Hub; what can go wrong on the way is told in one line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from .errors import HubError, SarosError

RepoType: TypeAlias = Literal["model", "dataset"]

CARD = "README.md"
TAG = "saros-hf"
"""In the card of every repository that this package wrote."""

_REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_SECRET = re.compile(r"\bhf_\w{3,}")
_LOGIN = (
    "Make a token with write access at https://huggingface.co/settings/tokens, then: hf auth login"
)


@dataclass(frozen=True)
class Destination:
    """A repository on the Hub.

    Attributes:
        repo_id: ``user/name``.
        repo_type: What it holds.
        private: Make it visible to its owner alone; one that is public already is refused.
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
        return f"{HfApi().endpoint}/{prefix}{self.repo_id}"


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
            found="no name of a repository",
            expected="user/name, of letters, digits and - _ .",
            remedy="Give your own user name or organisation before the slash.",
        )
    if get_token() is None:
        raise HubError(
            to.repo_id, found="no token", expected="to be logged in to the Hub", remedy=_LOGIN
        )
    with hub_errors(to.repo_id):
        api = HfApi()
        _refuse_foreign_namespace(api, to)
        _refuse_other_content(api, to)


def push_folder(
    folder: Path, files: Sequence[str], to: Destination, *, replaces: Sequence[str] = ()
) -> str:
    """Upload files of a folder, those only that the repository does not have yet.

    After an interruption the same call goes on: what has arrived is not sent again.

    Args:
        folder: On disk; nothing in it is changed.
        files: Paths inside it.
        to: Made if it does not exist.
        replaces: Patterns of files in the repository to remove unless they are uploaded.

    Returns:
        The repository's address.

    Raises:
        HubError: The Hub refused, or could not be reached.
    """
    check_destination(to)
    with hub_errors(to.repo_id):
        api = HfApi(library_name=TAG)
        api.create_repo(to.repo_id, repo_type=to.repo_type, private=to.private, exist_ok=True)
        if CARD in files and not api.file_exists(to.repo_id, CARD, repo_type=to.repo_type):
            # The card goes first: by its tag an upload that was cut off is known as ours.
            api.upload_file(
                repo_id=to.repo_id,
                repo_type=to.repo_type,
                path_or_fileobj=folder / CARD,
                path_in_repo=CARD,
            )
        api.upload_folder(
            repo_id=to.repo_id,
            repo_type=to.repo_type,
            folder_path=folder,
            allow_patterns=list(files),
            delete_patterns=list(replaces) or None,
            commit_message="Published by saros-hf",
        )
        if to.tag is not None:
            api.create_tag(to.repo_id, tag=to.tag, repo_type=to.repo_type)
    return to.page


def files_on_hub(to: Destination) -> list[str]:
    """Return the files of a repository, none if it does not exist."""
    with hub_errors(to.repo_id):
        try:
            return list(HfApi().list_repo_files(to.repo_id, repo_type=to.repo_type))
        except RepositoryNotFoundError:
            return []


def fetch_model(name: str, *, patterns: Sequence[str]) -> Path:
    """Return the folder of a model from the Hub, downloaded unless it is in the cache.

    Args:
        name: ``user/name``, or ``user/name@revision``.
        patterns: Which of its files are wanted.

    Raises:
        HubError: There is no such repository, or the Hub could not be reached.
    """
    repo_id, _, revision = name.partition("@")
    with hub_errors(name):
        return Path(
            snapshot_download(repo_id, revision=revision or None, allow_patterns=list(patterns))
        )


@contextmanager
def hub_errors(where: str) -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what to do about it."""
    try:
        yield
    except SarosError:
        raise
    except (HfHubHTTPError, EntryNotFoundError) as error:
        raise _refusal(where, error) from error
    except (httpx.TransportError, OfflineModeIsEnabled) as error:
        raise _unreachable(where, error) from error
    except (HFValidationError, ValueError, RuntimeError) as error:
        raise HubError(
            where,
            found=_plain(error),
            expected="something that the Hub takes",
            remedy="Files on disk are as they were; correct it and run the same command again.",
        ) from error


def _refusal(where: str, error: Exception) -> HubError:
    """Return the line for an answer of the Hub that is no success."""
    response = getattr(error, "response", None)
    if response is None:  # nothing in the cache and no way to ask
        return _unreachable(where, error)
    status: int = response.status_code
    again = "Files on disk are as they were, and what has arrived is not sent again."
    found, expected, remedy = {
        401: ("a token that the Hub does not accept, or none", "a valid one", _LOGIN),
        403: (
            f"no right to do this ({_plain(error)})",
            "a token that may write there",
            f"Check the name before the slash, your role in it and your storage. {_LOGIN}",
        ),
        404: ("no such repository, revision or file", "one that exists", "Check the spelling."),
        409: (f"a conflict ({_plain(error)})", "no other upload", f"Run it again. {again}"),
        429: ("too many requests", "fewer", f"Wait some minutes, then run it again. {again}"),
    }.get(status, (f"HTTP {status} ({_plain(error)})", "success", f"Run it again. {again}"))
    if status == 401 and isinstance(error, RepositoryNotFoundError):
        found, expected = "no such repository, or a private one", "one that you may read"
    return HubError(where, found=found, expected=expected, remedy=remedy)


def _unreachable(where: str, error: Exception) -> HubError:
    return HubError(
        where,
        found=f"no answer from {HfApi().endpoint} ({_plain(error)})",
        expected="a connection",
        remedy="Check the network and HF_HUB_OFFLINE, then run the same command again: files on "
        "disk are as they were.",
    )


def _plain(error: Exception) -> str:
    """Return an error's first words, without what could be a token."""
    told = getattr(error, "server_message", None) or str(error) or type(error).__name__
    token = get_token()
    if token:
        told = told.replace(token, "***")
    return " ".join(_SECRET.sub("***", told).split())[:300]


def _refuse_foreign_namespace(api: HfApi, to: Destination) -> None:
    me = api.whoami()
    mine = [me["name"], *(one["name"] for one in me.get("orgs", ()))]
    namespace = to.repo_id.partition("/")[0]
    if namespace.lower() not in (name.lower() for name in mine):
        raise HubError(
            to.repo_id,
            found=f"the token of {me['name']}",
            expected=f"one that may write to {namespace}",
            remedy=f"Yours are: {', '.join(mine)}.",
        )


def _refuse_other_content(api: HfApi, to: Destination) -> None:
    """Raise if the repository holds what this package did not write, or is not private enough."""
    try:
        about = api.dataset_info if to.repo_type == "dataset" else api.model_info
        info = about(to.repo_id)
    except RepositoryNotFoundError:
        return
    if to.private and not info.private:
        raise HubError(
            to.page,
            found="a public repository",
            expected="a private one",
            remedy="Make it private in its settings, or choose another name.",
        )
    files = [one.rfilename for one in info.siblings or () if one.rfilename != ".gitattributes"]
    if files and TAG not in (info.tags or ()):
        raise HubError(
            to.page,
            found=f"other content ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})",
            expected=f"a new repository, or one of this package (tag {TAG} in its card)",
            remedy="Choose another name, or empty that repository yourself.",
        )
