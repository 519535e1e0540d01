"""Which surfaces of a case are looked at, and with which spacing (DESIGN, decision 4)."""

import numpy as np
from numpy.typing import NDArray

from saros_hf.errors import UsageError
from saros_hf.labels import IGNORE_INDEX

from .label_maps import LabelMap, as_labels, comparable, refuse_spacing, required_slices
from .label_surfaces import LabelSurfaces, label_surfaces
from .protocol_names import SURFACE_PROTOCOLS, SurfaceProtocol
from .tolerance import Tolerance


def ruler_of(
    spacing_mm: tuple[float, float, float], tolerance_mm: float, protocol: SurfaceProtocol
) -> Tolerance:
    """Return how a protocol measures maps (K, I, J).

    ``published`` takes the spacing back to front: the authors index (z, y, x) and pass
    SimpleITK's (x, y, z) spacing with it, which on our (i, j, k) gives k the spacing of i.
    DeepMind's tables do not change when axes trade places.
    """
    refuse_spacing(spacing_mm)
    i, j, k = spacing_mm
    rulers = {"slice": (i, j), "volume": (k, i, j), "published": (i, k, j)}
    if protocol not in rulers:
        raise UsageError("protocol", protocol, f"one of {', '.join(SURFACE_PROTOCOLS)}")
    return Tolerance(rulers[protocol], tolerance_mm)


def both_surfaces(
    pred: LabelMap,
    target: LabelMap,
    ruler: Tolerance,
    num_classes: int,
    protocol: SurfaceProtocol,
    *,
    skip_background: bool,
) -> tuple[LabelSurfaces, LabelSurfaces]:
    """Return the surfaces of both maps under a protocol."""
    predicted, truth = comparable(pred, target, num_classes)
    kept = required_slices(truth)
    if protocol == "published":
        kept = np.flatnonzero((truth != IGNORE_INDEX).any(axis=(1, 2)))
    pair = [one[kept] for one in (predicted, truth)]
    unknown = pair[1] == IGNORE_INDEX
    if unknown.any():
        pair = [np.where(unknown, one.dtype.type(0), one) for one in pair]
    names = ("prediction", "target")
    maps = [as_labels(name, one, num_classes) for name, one in zip(names, pair, strict=True)]
    box = _foreground(maps) if skip_background else (slice(None), slice(None))
    maps = [one[:, box[0], box[1]] for one in maps]
    if protocol != "slice":
        # The background has a border along every empty slice, so that each of them counts.
        can_skip = skip_background and ruler.rows is not None
        longest = ruler.margin[0] if can_skip else len(truth)
        maps = [_among_empty(one, kept, len(truth), longest) for one in maps]
    ours, theirs = (
        label_surfaces(one, ruler, num_classes=num_classes, skip_background=skip_background)
        for one in maps
    )
    return ours, theirs


def _foreground(maps: list[NDArray[np.uint8]]) -> tuple[slice, slice]:
    """Return the box along i and j that holds all foreground of both maps (K, I, J)."""
    flat = np.maximum(maps[0].max(axis=0), maps[1].max(axis=0))
    i, j = (np.flatnonzero(flat.any(axis=axis)) for axis in (1, 0))
    if not i.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(i[0]), int(i[-1]) + 1), slice(int(j[0]), int(j[-1]) + 1)


def _among_empty(
    labels: NDArray[np.uint8], kept: NDArray[np.intp], depth: int, longest: int
) -> NDArray[np.uint8]:
    """Return a volume with ``labels`` on the slices ``kept`` and background on all others.

    Of more than ``longest`` empty slices in a row, so many as nothing reaches across, the rest is
    left out.
    """
    steps = np.minimum(np.diff(kept, prepend=-1, append=depth), longest + 1)
    places = np.cumsum(steps) - 1
    volume = np.zeros((int(places[-1]), *labels.shape[1:]), np.uint8)
    volume[places[:-1]] = labels
    return volume
