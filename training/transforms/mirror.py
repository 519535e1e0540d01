"""Left and right labels in mirrored images."""

from collections.abc import Sequence

from torch import Tensor

from saros_hf.labels import MIRRORED_PARTS


def mirror_labels(mask: Tensor, name: str) -> Tensor:
    """Return the labels of a mirrored map of task ``name``: left and right are swapped."""
    return swap_labels(mask, MIRRORED_PARTS) if name == "body-parts" else mask


def swap_labels(mask: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Return ``mask`` with the two labels of every pair swapped."""
    swapped = mask.clone()
    for one, other in pairs:
        swapped[mask == one] = other
        swapped[mask == other] = one
    return swapped
