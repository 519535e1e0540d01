"""Shared data: one small phantom cohort, made once."""

import importlib.util
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path

# Before NumPy and torch are imported: processes side by side share the cores.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Before datasets and huggingface_hub are imported: no network, no cache outside the tests.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="saros-tests-")

import pytest

# The sockets of worker processes lie there, and their paths are short only before a test moves TMPDIR.
get_temp_dir()
# A shell lets jobs in its background ignore Ctrl-C; the programs that tests interrupt must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("helpers.archive_world", "helpers.archives", "helpers.hub_client")

from helpers.archive_world import make_world
from helpers.archives import Archives

from saros_hf.phantom.write_cohort import simulate

SIZE = 64

_NEEDS_TORCH = re.compile(r"^\s*(from|import) (torch|lightning|training(?!\.cli))", re.MULTILINE)

if importlib.util.find_spec("torch") is None:  # saros_hf alone: make test-data
    collect_ignore = [
        str(path)
        for path in Path(__file__).parent.rglob("*.py")
        if _NEEDS_TORCH.search(path.read_text())
    ]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve synthetic cases of 64 pixels across: every split has some. Do not write to it."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    simulate(folder, cases=12, seed=0, size=SIZE)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for datasets that all tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def real_data() -> Path:
    """The folder of real CT beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real CT beside the checkout")
    return folder


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Archives]:
    """Three small cases of SAROS in all archives, on loopback, and no folder yet."""
    with Archives(make_world(tmp_path / "archives"), tmp_path / "saros") as archives:
        yield archives


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, full but for what one series and the ZIP take."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nobody may mount a file system here")
    (disk / "ballast").write_bytes(bytes((1 << 20) - 48 * 1024))
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)
