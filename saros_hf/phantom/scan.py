"""The phantom CT of one case, with its label maps."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cases.case import Case
from ..labels import IGNORE_INDEX
from ..volume import Volume
from .body import paint_body
from .patient import generator, patient_of
from .protocol import SLICE_MM, Protocol, protocol_of
from .render import metal_slices, render
from .shape import shape_of
from .tissue import REGION_OF, draw_palette

_PARTS_MISSING_EVERY = 12
_GAPS = (5, 4, 6, 3, 7)
_GAP_PROBABILITIES = (0.86, 0.05, 0.05, 0.02, 0.02)


@dataclass(frozen=True, eq=False)
class PhantomScan:
    """A synthetic CT and its label maps, all on one grid.

    Attributes:
        image: Hounsfield units, int16.
        body_regions: Sparse label map, 255 in every slice that is not annotated.
        body_parts: Sparse label map; ``None`` in the cases that lack it.
        dense_body_regions: Body regions of every slice.
        dense_body_parts: Body parts of every slice.
    """

    image: Volume
    body_regions: Volume
    body_parts: Volume | None
    dense_body_regions: Volume
    dense_body_parts: Volume


def phantom_scan(case: Case, *, seed: int, size: int = 256) -> PhantomScan:
    """Return the phantom of ``case``, the same for the same seed and size.

    Cases of one patient show one body, scanned twice.

    Args:
        case: A row of :func:`phantom_cohort`.
        seed: Seed of the cohort.
        size: Pixels along each edge of a slice.
    """
    patient = patient_of(case, seed=seed)
    shape = shape_of(patient)
    protocol = protocol_of(case, patient, shape, seed=seed)
    rng = generator(seed, case.case_id, "scan")
    canvas = paint_body(patient, shape, protocol, size=size)
    palette = draw_palette(rng, contrast=protocol.contrast, oral=protocol.oral)
    image = render(canvas, palette, protocol, rng)
    regions = REGION_OF[canvas.tissue[1::2]]  # slices are the odd planes
    parts = canvas.part[1::2] * (regions > 0)
    annotated = choose_slices(protocol.slices, metal_slices(canvas).tolist(), rng)
    affine = _affine(protocol, size)

    def volume(array: NDArray[np.uint8] | NDArray[np.int16]) -> Volume:
        return Volume(array.transpose(2, 1, 0), affine).oriented(case.orientation)

    lacks_parts = int(case.case_id.removeprefix("case_")) % _PARTS_MISSING_EVERY == 7
    return PhantomScan(
        image=volume(image),
        body_regions=volume(_sparse(regions, annotated)),
        body_parts=None if lacks_parts else volume(_sparse(parts, annotated)),
        dense_body_regions=volume(regions),
        dense_body_parts=volume(parts),
    )


def choose_slices(
    count: int, spoiled: Collection[int], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return the slices to annotate: about every fifth, as in SAROS.

    Args:
        count: Number of slices.
        spoiled: Slices with metal artefacts, which are not annotated.
        rng: Generator for the gaps between slices.
    """
    gaps = rng.choice(_GAPS, size=count // 3 + 1, p=_GAP_PROBABILITIES)
    chosen = rng.integers(0, 5) + np.concatenate([[0], np.cumsum(gaps)])
    chosen = chosen[chosen < count]
    return np.asarray(chosen[~np.isin(chosen, list(spoiled))], np.intp)


def _sparse(dense: NDArray[np.uint8], annotated: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return ``dense`` (slice, row, column) with 255 in every slice that is not annotated."""
    mask = np.full_like(dense, IGNORE_INDEX)
    mask[annotated] = dense[annotated]
    return mask


def _affine(protocol: Protocol, size: int) -> NDArray[np.float64]:
    """Return the affine of an LPS array, whose i and j run against the axes of RAS+."""
    spacing = protocol.fov_mm / size
    edge = spacing * (size - 1) / 2
    affine = np.diag([-spacing, -spacing, SLICE_MM, 1.0])
    affine[:3, 3] = edge, edge, protocol.origin_mm
    return affine
