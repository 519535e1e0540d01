"""Run code whose Hugging Face Hub is the stand-in, in this process or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from helpers.hub_server import Hub
from huggingface_hub import constants

from saros_hf.errors import HubError
from training.cli import main

NOWHERE = "http://127.0.0.1:9"
"""Address that nobody answers at."""


@contextlib.contextmanager
def connected(
    hub: Hub | str | None, home: Path, token: str | None = "hf_test"
) -> Iterator[pytest.MonkeyPatch]:
    """Make ``hub`` the Hub of this process; a text is its address, ``None`` nobody's."""
    url = hub.url if isinstance(hub, Hub) else hub or NOWHERE
    settings = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(constants, name, value)
        patch.setattr(time, "sleep", lambda seconds: None)  # noqa: ARG005 - between retries
        patch.setenv("no_proxy", "127.0.0.1")
        patch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            patch.setenv("HF_TOKEN", token)
        huggingface_hub.close_session()
        yield patch
    huggingface_hub.close_session()


def result_of(action: Callable[..., object], *arguments: object, **options: object) -> str:
    """Return what an action gives, or the line of its :class:`HubError`."""
    try:
        return str(action(*arguments, **options))
    except HubError as error:
        return str(error)


def run_saros(
    hub: Hub | None, home: Path, *arguments: str | Path, token: str | None = "hf_test"
) -> subprocess.CompletedProcess[str]:
    """Run ``saros`` in this process and return its exit code and output."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        connected(hub, home, token),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main([str(one) for one in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def hub_environment(hub: Hub | None, home: Path, token: str | None = "hf_test") -> dict[str, str]:
    """Return the environment of a process whose Hub is ``hub``."""
    settings = {
        "HF_ENDPOINT": NOWHERE if hub is None else hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "no_proxy": "127.0.0.1",
    }
    environment = {**os.environ, **settings}
    environment.pop("HF_HUB_OFFLINE", None)
    environment.pop("HF_TOKEN", None)
    return environment if token is None else {**environment, "HF_TOKEN": token}


def run_client(hub: Hub, home: Path, code: str, *arguments: str | Path) -> str:
    """Return the output of code in a process that cannot import this package."""
    command = [sys.executable, "-c", _BLOCKED + code, *map(str, arguments)]
    ran = subprocess.run(
        command,
        env=hub_environment(hub, home),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


_BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("saros_hf", "training"):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
"""
