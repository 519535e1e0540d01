"""Which slices of a phantom are annotated: about every fifth, as in SAROS."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ..labels import IGNORE_INDEX

_GAPS = (5, 4, 6, 3, 7)
_CHANCE = (0.86, 0.05, 0.05, 0.02, 0.02)


def choose_slices(
    count: int, spoiled: Collection[int], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return the annotated slices of ``count``, leaving out those that metal spoils."""
    gaps = rng.choice(_GAPS, size=count // 3 + 1, p=_CHANCE)
    chosen = rng.integers(0, 5) + np.concatenate([[0], np.cumsum(gaps)])
    chosen = chosen[chosen < count]
    return np.asarray(chosen[~np.isin(chosen, list(spoiled))], np.intp)


def sparse(dense: NDArray[np.uint8], annotated: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return ``dense`` (slice, row, column) with 255 in every slice that is not annotated."""
    mask = np.full_like(dense, IGNORE_INDEX)
    mask[annotated] = dense[annotated]
    return mask
