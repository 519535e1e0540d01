"""Boxes that may reach over an array's border."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

AIR_HU = -1024
"""What lies outside of a CT."""


def copy_window(
    source: NDArray[Any], target: NDArray[Any], first: Sequence[int], outside: float
) -> None:
    """Fill ``target`` with the box of ``source`` that begins at ``first``.

    Args:
        source: Leading axes as those of ``target``, then as many as ``first`` has.
        target: Is written to.
        first: Index of the box's first voxel; may be negative.
        outside: Value of what lies beyond the border.
    """
    within: list[Any] = [...]
    landing: list[Any] = [...]
    rest = len(first)
    sizes = zip(first, target.shape[-rest:], source.shape[-rest:], strict=True)
    for start, size, length in sizes:
        # How many voxels lie before the border, up to where the source goes on.
        before = min(max(-start, 0), size)
        until = min(max(length - start, before), size)
        within.append(slice(start + before, start + until))
        landing.append(slice(before, until))
        rest -= 1
        if until - before < size:
            others = (slice(None),) * rest
            target[(*landing[:-1], slice(0, before), *others)] = outside
            target[(*landing[:-1], slice(until, size), *others)] = outside
    target[tuple(landing)] = source[tuple(within)]
