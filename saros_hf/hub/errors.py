"""One-line errors for what can go wrong with the Hugging Face Hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

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

LOGIN = (
    "Make a token with write access at https://huggingface.co/settings/tokens, then: hf auth login"
)

_BY_STATUS = {
    401: ("a token that the Hub does not accept", "a valid one", "Log in again: hf auth login"),
    403: (
        "no permission ({words})",
        "a token that has it",
        "Check the owner's name, your role and your storage there, or log in again: hf auth login",
    ),
    404: ("no such repository or revision", "one that exists", "Check the spelling."),
    429: ("too many requests", "fewer", "Wait some minutes, then run it again."),
}
"""Found, expected and remedy for an HTTP status."""

_SECRET = re.compile(r"\bhf_\w{3,}")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")


def endpoint() -> str:
    """Return the Hub's address without any user name and password in it."""
    return _USER_INFO.sub("", HfApi().endpoint)


@contextmanager
def hub_errors(where: str) -> Iterator[None]:
    """Raise :class:`HubError` with a remedy in place of the errors of ``huggingface_hub``.

    Args:
        where: Name of the repository.
    """
    try:
        yield
    except SarosError:
        raise
    except (OSError, EntryNotFoundError, httpx.TransportError, ValueError, RuntimeError) as error:
        raise _hub_error(where, error) from error


def _hub_error(where: str, error: Exception) -> HubError:
    """Return the error for the first known exception in a chain of causes."""
    for one in causes(error):
        if isinstance(one, HfHubHTTPError):
            return _http_error(where, one)
        if isinstance(one, httpx.TransportError | OfflineModeIsEnabled):
            return _no_connection(where, one)
        if isinstance(one, OSError) and one.strerror:
            found = f"{one.strerror} ({one.filename or 'on this machine'})"
            return HubError(where, found, "readable files and free space")
    if isinstance(error, EntryNotFoundError):  # not in the cache, and the Hub cannot be asked
        return _no_connection(where, error)
    return HubError(where, _words(error), "a request that the Hub accepts")


def _http_error(where: str, error: HfHubHTTPError) -> HubError:
    status: int = error.response.status_code
    if isinstance(error, GatedRepoError):
        found, expected = "a repository whose readers must agree to its terms", "your agreement"
        page = f"{endpoint()}/{where.partition('@')[0]}"
        remedy = f"Ask for access at {page} and log in: hf auth login"
    elif status == 401 and isinstance(error, RepositoryNotFoundError):
        found, expected = "no such repository, or a private one", "one that you may read"
        remedy = "Check the spelling, or log in: hf auth login"
    else:
        unknown = (f"HTTP {status} ({{words}})", "success", "Run it again in a while.")
        found, expected, remedy = _BY_STATUS.get(status, unknown)
    return HubError(where, found.format(words=_words(error)), expected, remedy)


def _no_connection(where: str, error: Exception) -> HubError:
    return HubError(
        where,
        f"no answer from {endpoint()} ({_words(error)})",
        "a connection",
        "Check the network and HF_HUB_OFFLINE, then run the same command again.",
    )


def _words(error: Exception) -> str:
    """Return the start of an error's message without tokens and passwords."""
    message = getattr(error, "server_message", None) or str(error) or type(error).__name__
    token = get_token()
    if token:
        message = message.replace(token, "***")
    return " ".join(_USER_INFO.sub("", _SECRET.sub("***", message)).split())[:300]
