"""Crops that may reach over the border of an array."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

AIR_HU = -1024
"""Padding value outside a CT."""


def copy_crop(
    source: NDArray[Any], target: NDArray[Any], first: Sequence[int], outside: float
) -> None:
    """Fill ``target`` with the crop of ``source`` that begins at ``first``.

    Args:
        source: Array to crop along its last ``len(first)`` axes.
        target: Array to fill; its other axes are those of ``source``.
        first: Index of the first voxel of the crop; may be negative.
        outside: Value beyond the border of ``source``.
    """
    inside: list[Any] = [...]
    filled: list[Any] = [...]
    rest = len(first)
    sizes = zip(first, target.shape[-rest:], source.shape[-rest:], strict=True)
    for start, size, length in sizes:
        # Number of voxels before the border, and where the source ends, counted in the target.
        before = min(max(-start, 0), size)
        until = min(max(length - start, before), size)
        inside.append(slice(start + before, start + until))
        filled.append(slice(before, until))
        rest -= 1
        if until - before < size:
            others = (slice(None),) * rest
            target[(*filled[:-1], slice(0, before), *others)] = outside
            target[(*filled[:-1], slice(until, size), *others)] = outside
    target[tuple(filled)] = source[tuple(inside)]
