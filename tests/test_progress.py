import os

import pytest

from saros_hf.progress import usable_processors


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no processor affinity"
)
def test_only_processors_of_this_process_are_counted() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_processors() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
