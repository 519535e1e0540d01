"""Run code in a process of its own, whose Hugging Face Hub is the stand-in."""

import os
import subprocess
import sys
from pathlib import Path

from hub_server import Hub


def run_client(hub: Hub, home: Path, code: str, *arguments: str) -> str:
    """Return what ``code`` prints in a process whose Hub is ``hub``."""
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "no_proxy": "127.0.0.1",
    }
    environment = {**os.environ, **settings}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", code, *arguments]
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout
