"""The three surface protocols: which surfaces of a case are scored, and with which spacing.

ARCHITECTURE.md explains why there are three.
"""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .label_maps import LabelMap, as_labels, comparable, refuse_spacing, required_slices
from .label_surfaces import LabelSurfaces, label_surfaces
from .tolerance import Tolerance

SurfaceProtocol: TypeAlias = Literal["slice", "volume", "published"]
SURFACE_PROTOCOLS: tuple[SurfaceProtocol, ...] = get_args(SurfaceProtocol)


def protocol_tolerance(
    spacing_mm: tuple[float, float, float], tolerance_mm: float, protocol: SurfaceProtocol
) -> Tolerance:
    """Return the tolerance and the spacing of maps (K, I, J) under a protocol.

    ``published`` reverses the spacing: the authors index arrays (z, y, x) and pass SimpleITK's
    (x, y, z) spacing with them, which gives k the spacing of i. DeepMind's tables do not change
    when axes trade places.

    Raises:
        UsageError: The spacing or the protocol is invalid.
    """
    refuse_spacing(spacing_mm)
    i, j, k = spacing_mm
    spacings = {"slice": (i, j), "volume": (k, i, j), "published": (i, k, j)}
    if protocol not in spacings:
        raise UsageError("protocol", protocol, f"one of {', '.join(SURFACE_PROTOCOLS)}")
    return Tolerance(spacings[protocol], tolerance_mm)


def both_surfaces(
    pred: LabelMap,
    target: LabelMap,
    tolerance: Tolerance,
    num_classes: int,
    protocol: SurfaceProtocol,
    *,
    skip_background: bool,
) -> tuple[LabelSurfaces, LabelSurfaces]:
    """Return the surfaces of prediction and target under a protocol."""
    predicted, truth = comparable(pred, target, num_classes)
    kept = required_slices(truth)
    if protocol == "published":
        kept = np.flatnonzero((truth != IGNORE_INDEX).any(axis=(1, 2)))
    pair = [array[kept] for array in (predicted, truth)]
    unknown = pair[1] == IGNORE_INDEX
    if unknown.any():
        pair = [np.where(unknown, array.dtype.type(0), array) for array in pair]
    names = ("prediction", "target")
    maps = [as_labels(name, array, num_classes) for name, array in zip(names, pair, strict=True)]
    if skip_background:
        box = _foreground_box(maps)
        maps = [array[:, box[0], box[1]] for array in maps]
    if protocol != "slice":
        # The background has a border along every empty slice, so none of them can be left out.
        can_shorten = skip_background and tolerance.offsets is not None
        longest_gap = tolerance.margin[0] if can_shorten else len(truth)
        maps = [_with_empty_slices(array, kept, len(truth), longest_gap) for array in maps]
    ours, theirs = (
        label_surfaces(array, tolerance, num_classes=num_classes, skip_background=skip_background)
        for array in maps
    )
    return ours, theirs


def _foreground_box(maps: list[NDArray[np.uint8]]) -> tuple[slice, slice]:
    """Return the box along i and j around the foreground of both maps (K, I, J)."""
    flat = np.maximum(maps[0].max(axis=0), maps[1].max(axis=0))
    i, j = (np.flatnonzero(flat.any(axis=axis)) for axis in (1, 0))
    if not i.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(i[0]), int(i[-1]) + 1), slice(int(j[0]), int(j[-1]) + 1)


def _with_empty_slices(
    labels: NDArray[np.uint8], kept: NDArray[np.intp], depth: int, longest_gap: int
) -> NDArray[np.uint8]:
    """Return a volume with ``labels`` on the slices ``kept`` and background on all others.

    Longer gaps are shortened to ``longest_gap`` empty slices; they cannot affect the score.
    """
    steps = np.minimum(np.diff(kept, prepend=-1, append=depth), longest_gap + 1)
    places = np.cumsum(steps) - 1
    volume = np.zeros((int(places[-1]), *labels.shape[1:]), np.uint8)
    volume[places[:-1]] = labels
    return volume
