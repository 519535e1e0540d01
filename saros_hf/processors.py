"""How many processors there are to work with."""

import os


def usable_processors() -> int:
    """Return how many processors this process may run on, which can be fewer than there are."""
    # macOS and Windows tie no process to some of its processors.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
