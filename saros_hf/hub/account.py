"""Whose the token is, and whether it may write where something is to go."""

from typing import Any

from huggingface_hub import HfApi, get_token

from ..errors import HubError
from .errors import LOGIN, hub_errors


def check_account(repo_id: str) -> None:
    """Raise unless the token at hand may write to ``repo_id``, as far as the Hub tells.

    Raises:
        HubError: There is no token, none that may write there, or no connection.
    """
    if get_token() is None:
        raise HubError(repo_id, "no token", "to be logged in to the Hub", LOGIN)
    with hub_errors(repo_id):
        me: dict[str, Any] = HfApi().whoami()
    namespace = repo_id.partition("/")[0]
    expected = f"one that may write to {namespace}"
    if "name" not in me:
        raise HubError(repo_id, "a token of no user", expected, LOGIN)
    if _role(me) == "read":
        raise HubError(repo_id, "a token that may only read", expected, LOGIN)
    mine = [me["name"], *(one["name"] for one in me.get("orgs", ()))]
    if namespace.lower() not in (name.lower() for name in mine):
        raise HubError(
            repo_id, f"the token of {me['name']}", expected, f"Yours are: {', '.join(mine)}."
        )


def _role(me: dict[str, Any]) -> str | None:
    """Return ``read``, ``write`` or ``fineGrained``, ``None`` of another kind of token."""
    token = (me.get("auth") or {}).get("accessToken") or {}
    role: str | None = token.get("role")
    return role
