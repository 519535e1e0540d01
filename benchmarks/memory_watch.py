"""How much memory a benchmark and the processes it starts take."""

import os
import threading
from pathlib import Path


class MemoryWatch:
    """The most memory that this process takes, above what it took at first, and its children's own.

    Pages that a child has from its parent count once.
    """

    def __init__(self) -> None:
        self.first = _memory()
        self.most = dict(self.first)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.stopped.wait(0.1):
            self.most = {key: max(self.most[key], now) for key, now in _memory().items()}

    def stop(self) -> dict[str, float]:
        """Return MiB: private, and resident with pages of files."""
        self.stopped.set()
        self.thread.join()
        children = _children_private_kib()
        return {key: (self.most[key] - self.first[key] + children) / 1024 for key in self.first}


def _memory() -> dict[str, float]:
    kib = _fields(Path("/proc/self/status"))
    resident = [value for key, value in kib.items() if key.startswith("Rss")]
    return {"private_mib": kib.get("RssAnon", 0), "resident_mib": sum(resident)}


def _children_private_kib() -> float:
    """Return what children have written themselves; too slow to look at all the time."""
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for file in found for pid in file.read_text().split()]
    return sum(_fields(Path(f"/proc/{pid}/smaps_rollup")).get("Private_Dirty", 0) for pid in pids)


def _fields(file: Path) -> dict[str, float]:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0].rstrip(":"): float(line[1]) for line in lines if line[-1] == "kB"}
