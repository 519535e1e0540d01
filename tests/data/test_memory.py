import os
from pathlib import Path

import pytest

from training.data.memory import memory_limit_bytes

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, PHYSICAL),
        ({"": "max", "job": "max"}, PHYSICAL),
        ({"job": "4096"}, 4096),
        ({"": "8192", "job": "1024", "job/step": "max"}, 1024),
        ({"job": str(2**60), "other": "5"}, PHYSICAL),
    ],
)
def test_the_tightest_limit_counts(limits: dict[str, str], expected: int, tmp_path: Path) -> None:
    """The process is in group ``job/step``."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("4:memory:/x\n0::/job/step\n")
    for group, limit in limits.items():
        folder = tmp_path / "sys" / "fs" / "cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
    assert memory_limit_bytes(tmp_path) == expected


def test_elsewhere_it_is_the_memory_of_the_machine(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) == PHYSICAL
    assert 0 < memory_limit_bytes() <= PHYSICAL
