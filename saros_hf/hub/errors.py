"""What goes wrong on the way to the Hugging Face Hub and back, told in one line."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from ..errors import HubError, SarosError, causes

Doing: TypeAlias = Literal["write", "read"]

LOGIN = (
    "Make a token with write access at https://huggingface.co/settings/tokens, then: hf auth login"
)
_AGAIN = "Files on disk are as they were, and what has arrived is not sent again."

_REFUSALS: Mapping[Doing, Mapping[int, tuple[str, str, str]]] = {
    "write": {
        401: ("a token that the Hub does not accept, or none", "a valid one", LOGIN),
        403: (
            "no right to do this ({told})",
            "a token that may write there",
            f"Check the name before the slash, your role in it and your storage. {LOGIN}",
        ),
        404: ("no such repository, revision or file", "one that exists", "Check the spelling."),
        409: ("a conflict ({told})", "no other upload", f"Run it again. {_AGAIN}"),
        429: ("too many requests", "fewer", f"Wait some minutes, then run it again. {_AGAIN}"),
    },
    "read": {
        401: (
            "a token that the Hub does not accept",
            "a valid one, or none",
            "Log in again: hf auth login, or unset HF_TOKEN.",
        ),
        403: (
            "no right to read it ({told})",
            "a token that may",
            "Ask its owner, or log in as somebody who may: hf auth login",
        ),
        404: ("no such repository or revision", "one that exists", "Check the spelling."),
        429: (
            "too many requests",
            "fewer",
            "Wait some minutes, then run it again; who is logged in may ask oftener: hf auth login",
        ),
    },
}
"""What is said of a status: found, expected, remedy."""

_SECRET = re.compile(r"\bhf_\w{3,}")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")


def endpoint() -> str:
    """Return the Hub's address, without the password that may stand in it."""
    return _USER_INFO.sub("", HfApi().endpoint)


@contextmanager
def hub_errors(where: str, doing: Doing = "write") -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what to do about it.

    Args:
        where: The repository.
        doing: What the Hub is asked for; the remedies differ.
    """
    try:
        yield
    except SarosError:
        raise
    except (OSError, EntryNotFoundError, httpx.TransportError, ValueError, RuntimeError) as error:
        raise _explained(where, error, doing) from error


def _explained(where: str, error: Exception, doing: Doing) -> HubError:
    """Return the line for an error, whose reason often is the cause of what was raised."""
    for one in causes(error):
        if isinstance(one, HfHubHTTPError):
            return _refusal(where, one, doing)
        if isinstance(one, httpx.TransportError | OfflineModeIsEnabled):
            return _unreachable(where, one)
        if isinstance(one, OSError) and one.strerror:
            return HubError(
                where,
                f"{one.strerror} ({one.filename or 'on this machine'})",
                "files that can be read, and room for new ones",
                "Mend it and run the same command again: it goes on.",
            )
    if isinstance(error, EntryNotFoundError):  # nothing in the cache and no way to ask
        return _unreachable(where, error)
    return HubError(
        where,
        _words(error),
        "something that the Hub takes",
        "Files on disk are as they were; correct it and run the same command again.",
    )


def _refusal(where: str, error: HfHubHTTPError, doing: Doing) -> HubError:
    """Return the line for an answer of the Hub that is no success."""
    status: int = error.response.status_code
    if isinstance(error, GatedRepoError):
        found, expected = "a repository whose readers must agree to its terms", "your agreement"
        remedy = (
            f"Ask for access at {endpoint()}/{where.partition('@')[0]} and log in: hf auth login"
        )
    elif status == 401 and isinstance(error, RepositoryNotFoundError):
        found, expected = "no such repository, or a private one", "one that you may read"
        remedy = "Check the spelling; of a private one log in: hf auth login"
    else:
        again = f"Run it again. {_AGAIN}" if doing == "write" else "Run it again in a while."
        unknown = ("HTTP {status} ({told})", "success", again)
        found, expected, remedy = _REFUSALS[doing].get(status, unknown)
    told = found.format(status=status, told=_words(error))
    return HubError(where, told, expected, remedy)


def _unreachable(where: str, error: Exception) -> HubError:
    return HubError(
        where,
        f"no answer from {endpoint()} ({_words(error)})",
        "a connection",
        "Check the network and HF_HUB_OFFLINE, then run the same command again: files on "
        "disk are as they were.",
    )


def _words(error: Exception) -> str:
    """Return an error's first words, without what could be a token or password."""
    told = getattr(error, "server_message", None) or str(error) or type(error).__name__
    token = get_token()
    if token:
        told = told.replace(token, "***")
    return " ".join(_USER_INFO.sub("", _SECRET.sub("***", told)).split())[:300]
