"""How much memory this process may fill, and whether a dataset fits into it."""

import os
from pathlib import Path

import datasets
from lightning.pytorch.utilities import rank_zero_warn


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the physical memory, or less where a control group of this process says so.

    SLURM, Docker and Kubernetes hold jobs to less than the machine has.

    Args:
        root: Of the file system, where ``proc`` and ``sys`` are found.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_group_limits(root)])


def warn_if_larger_than_memory(rows: datasets.Dataset) -> None:
    """Say how to train on slices that do not stay in the page cache."""
    size = sum(Path(file["filename"]).stat().st_size for file in rows.cache_files)
    memory = memory_limit_bytes()
    if size > memory:
        rank_zero_warn(
            f"the training slices take {size / 2**30:.0f} GiB, this process has "
            f"{memory / 2**30:.0f} GiB of memory: --data.compress true reads them many times faster"
        )


def _group_limits(root: Path) -> list[int]:
    """Return the limits of the process's control group (version 2) and of those it is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    top = root / "sys/fs/cgroup"
    groups = [top / line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    folders = [folder for group in groups for folder in (group, *group.parents)]
    files = [folder / "memory.max" for folder in folders if folder.is_relative_to(top)]
    told = [file.read_text().strip() for file in files if file.is_file()]
    return [int(limit) for limit in told if limit.isdigit()]  # else "max"
