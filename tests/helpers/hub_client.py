"""Run code in a process of its own, whose Hugging Face Hub is the stand-in."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.hub_server import Hub

_CLIENT = """
import sys, time
from pathlib import Path
time.sleep = lambda seconds: None  # between the client's own retries
from saros_hf.errors import HubError
from saros_hf.hub.client import Destination, check_destination, fetch_model, push_folder

def tell(action, *arguments, **options):
    try:
        print(action(*arguments, **options))
    except HubError as error:
        print(error)
"""
CHECK = (
    _CLIENT
    + """
for name in sys.argv[1:]:
    repo, _, private = name.partition("?")
    tell(check_destination, Destination(repo, "dataset", private=bool(private)))
"""
)
READ = (
    _CLIENT
    + """
for name in sys.argv[1:]:
    tell(fetch_model, name, patterns=["*"])
"""
)
PUSH = (
    _CLIENT
    + """
root = Path(sys.argv[1])
for told in sys.argv[2:]:
    repo, _, tag = told.partition("@")
    name = repo.partition("/")[2]
    folder = root / name if (root / name).is_dir() else root
    files = [path.name for path in folder.iterdir() if path.is_file()]
    to = Destination(repo, "model", tag=tag or None)
    tell(push_folder, folder, files, to, gated=name.endswith("gated"))
"""
)


def hub_environment(hub: Hub | None, home: Path, token: str | None = "hf_test") -> dict[str, str]:
    """Return an environment whose Hub is ``hub``, or one where nobody answers."""
    settings = {
        "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.url,
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


def run_client(
    hub: Hub | None, home: Path, code: str, *arguments: str | Path, token: str | None = "hf_test"
) -> str:
    """Return what ``code`` prints in a process whose Hub is ``hub``."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = hub_environment(hub, home, token)
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


def run_saros(
    hub: Hub | None, home: Path, *arguments: str | Path, token: str | None = "hf_test"
) -> subprocess.CompletedProcess[str]:
    """Return how ``saros`` ended in a process whose Hub is ``hub``."""
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    environment = hub_environment(hub, home, token)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
