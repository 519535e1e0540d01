"""NSD against DeepMind's surface-distance, called as in the authors' evaluation."""

import math
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray
from surface_distance import lookup_tables

from saros_hf.cases.files import find_cases
from saros_hf.nifti import read_mask
from saros_hf.volume import annotated_slices
from training.functional import average_surface_distance_per_class, surface_dice_per_class
from training.surfaces.distances import beyond_tolerance, nearest_mm
from training.surfaces.label_surfaces import label_surfaces
from training.surfaces.neighbour_codes import code_sizes, code_weights
from training.surfaces.protocols import SurfaceProtocol
from training.surfaces.tolerance import Tolerance

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

Array = NDArray[Any]
Spacing = tuple[float, ...]


def deepmind_pooled(pairs: list[tuple[Array, Array]], spacing: Spacing, tolerance: float) -> float:
    within = whole = 0.0
    for pred, target in pairs:
        # Its distance to an empty mask needs np.Inf, so such masks are measured against themselves.
        unmatched = not (pred.any() and target.any())
        if unmatched:
            pred = target = pred | target
        found = surface_distance.compute_surface_distances(target, pred, spacing)
        lengths = found["surfel_areas_gt"], found["surfel_areas_pred"]
        if unmatched:
            whole += lengths[0].sum()
            continue
        distances = found["distances_gt_to_pred"], found["distances_pred_to_gt"]
        for length, distance in zip(lengths, distances, strict=True):
            within += length[distance <= tolerance].sum()
            whole += length.sum()
    return within / whole if whole else math.nan


def deepmind(
    pred: Array, target: Array, label: int, spacing: Spacing, tolerance: float, protocol: str
) -> float:
    """Return the NSD of one class by DeepMind's functions, as the authors call them for ``published``."""
    slices = annotated_slices(target)
    if protocol == "slice":
        pairs = [(pred[..., k] == label, target[..., k] == label) for k in slices]
        return deepmind_pooled(pairs, spacing[:2], tolerance)
    if protocol == "volume":
        zeroed = np.zeros((2, *pred.shape), np.uint8)
        zeroed[0][..., slices], zeroed[1][..., slices] = pred[..., slices], target[..., slices]
        return deepmind_pooled([(zeroed[0] == label, zeroed[1] == label)], spacing, tolerance)
    image = SimpleITK.GetImageFromArray(target.transpose(2, 1, 0).astype(np.uint8))
    image.SetSpacing(spacing)
    truth_zyx = SimpleITK.GetArrayFromImage(image)
    pred_zyx = pred.transpose(2, 1, 0).copy()
    unknown = truth_zyx == 255
    truth_zyx[unknown] = 0
    pred_zyx[unknown] = 0
    pair = (pred_zyx == label, truth_zyx == label)
    return deepmind_pooled([pair], image.GetSpacing(), tolerance)


def assert_equals_deepmind(
    pred: Array, target: Array, spacing: Spacing, tolerance: float, protocol: SurfaceProtocol
) -> None:
    theirs = [deepmind(pred, target, c, spacing, tolerance, protocol) for c in range(4)]
    for with_background in (True, False):
        ours = surface_dice_per_class(
            pred,
            target,
            spacing_mm=spacing,
            num_classes=4,
            tolerance_mm=tolerance,
            protocol=protocol,
            include_background=with_background,
        )
        expected = theirs if with_background else [math.nan, *theirs[1:]]
        np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-9)


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[Array, Array]:
    """Draw noise or blocks up to every border; the prediction is often the shifted truth."""
    shape = tuple(draw(st.tuples(*[st.integers(1, 5)] * 3)))
    block = draw(st.sampled_from([(1, 1, 1), (3, 2, 1), (4, 4, 2)]))
    maps = st_numpy.arrays(np.uint8, shape, elements=st.integers(0, 3), fill=st.just(0))
    target = np.kron(draw(maps), np.ones(block, np.uint8))
    pred = np.kron(draw(maps), np.ones(block, np.uint8))
    if draw(st.booleans()):
        pred = np.roll(target, draw(st.integers(-2, 2)), axis=draw(st.integers(0, 2)))
    kept = draw(st.lists(st.booleans(), min_size=target.shape[2], max_size=target.shape[2]))
    target[:, :, ~np.array(kept)] = 255
    target[:, :, draw(st.integers(0, target.shape[2] - 1))] = draw(st.integers(0, 3))
    return pred, target


PROTOCOLS = pytest.mark.parametrize("protocol", ["slice", "volume", "published"])


@pytest.mark.slow
@PROTOCOLS
@given(
    maps=label_maps(),
    spacing=st.sampled_from([(1.0, 1.0, 5.0), (0.75, 1.5, 3.0), (0.7, 0.9, 1.0), (3.0, 0.1, 0.6)]),
    tolerance=st.sampled_from([0.0, 1.0, 1.5, 3.0, 40.0]),
)
@settings(max_examples=500, deadline=None)
def test_equals_deepmind(
    maps: tuple[Array, Array], spacing: Spacing, tolerance: float, protocol: SurfaceProtocol
) -> None:
    assert_equals_deepmind(*maps, spacing, tolerance, protocol)


def _hard_cases() -> dict[str, tuple[Array, Array]]:
    empty = np.zeros((9, 8, 5), np.uint8)

    def filled(*pieces: tuple[slice | int, ...], base: Array = empty) -> Array:
        array = base.copy()
        for label, piece in enumerate(pieces, start=1):
            array[piece] = label
        return array

    every = slice(None)
    one, next_to_it = filled((4, 4, 2)), filled((5, 4, 2))
    sheet = filled((3, every, every), (every, 2, every))
    edge = filled((0, every, every), (every, 7, every), (every, every, 4))
    return {
        "single voxels side by side": (one, next_to_it),
        "single voxels corner to corner": (one, filled((5, 5, 3))),
        "empty prediction": (empty, sheet),
        "empty truth": (sheet, empty),
        "both empty": (empty, empty),
        "both full": (filled((every,) * 3), filled((every,) * 3)),
        "full and single": (filled((every,) * 3), one),
        "identical": (sheet, sheet.copy()),
        "thin sheets": (sheet, np.roll(sheet, 1, axis=0)),
        "objects at the edge": (edge, edge[::-1, ::-1, ::-1].copy()),
        "labels that touch": (
            filled((slice(0, 4),), (slice(4, 9),)),
            filled((slice(0, 5),), (slice(5, 9),)),
        ),
        "one slice": (one[..., 2:3], next_to_it[..., 2:3]),
        "4 voxels apart": (filled((0, 4, 2)), filled((4, 4, 2))),
    }


@pytest.mark.parametrize("name", _hard_cases())
@PROTOCOLS
def test_equals_deepmind_on_hard_cases(name: str, protocol: SurfaceProtocol) -> None:
    """Also with the tolerance exactly on a distance: 4 x 0.75 mm, 3 x 1 mm, a diagonal of 5 mm."""
    pred, target = _hard_cases()[name]
    for spacing, tolerance in (
        ((0.75, 0.75, 5.0), 3.0),
        ((1.0, 1.0, 3.0), 3.0),
        ((3.0, 4.0, 5.0), 5.0),
        ((0.1, 0.2, 0.3), 0.3),
    ):
        assert_equals_deepmind(pred, target, spacing, tolerance, protocol)


@PROTOCOLS
def test_equals_deepmind_on_large_shapes(protocol: SurfaceProtocol) -> None:
    # Boxes of the two maps that do not overlap, single voxels, a frame and a full slice.
    pred, target = np.zeros((2, 20, 24, 4), np.uint8)
    target[0, 0, :], pred[19, 23, :] = 1, 1
    target[1:19, 1:23, 0], target[3:17, 3:21, 0] = 2, 0
    pred[2:18, 2:22, 0] = 2
    target[..., 2], pred[:, :12, 2] = 3, 3
    target[..., 3] = 255
    assert_equals_deepmind(pred, target, (1.5, 1.0, 5.0), 3.0, protocol)
    # Smooth shapes.
    i, j, k = np.ogrid[:40, :40, :9]
    truth = ((i - 20) ** 2 + (j - 19) ** 2 < (9 + k) ** 2).astype(np.uint8)
    truth += ((i - 18) ** 2 + (j - 19) ** 2 < 40 + k).astype(np.uint8)
    pred = np.roll(truth, (3, -2, 1), axis=(0, 1, 2))
    truth[:, :, np.arange(9) % 3 != 1] = 255
    assert_equals_deepmind(pred, truth, (0.8, 0.8, 5.0), 3.0, protocol)


@pytest.mark.slow
@PROTOCOLS
def test_equals_deepmind_on_whole_cases(phantoms: Path, protocol: SurfaceProtocol) -> None:
    """Phantom cases with a shifted prediction that has holes."""
    checked = 0
    for files in find_cases(phantoms)[:3]:
        truth = read_mask(files.mask("body-regions"), "body-regions")
        array = truth.array
        pred = np.roll(np.where(array == 255, 2, array), (2, -1), axis=(0, 1))
        pred[::7, ::5] = 0
        ours = surface_dice_per_class(
            pred, array, spacing_mm=truth.spacing_mm, protocol=protocol, include_background=False
        )
        for label in range(1, 14):
            theirs = deepmind(pred, array, label, truth.spacing_mm, 3.0, protocol)
            np.testing.assert_allclose(ours[label], theirs, rtol=0, atol=1e-9)
            checked += not math.isnan(theirs)
    assert checked > 20


@given(maps=label_maps(), tolerance=st.sampled_from([0.5, 3.0]))
@settings(max_examples=60, deadline=None)
def test_kd_tree_finds_what_the_offsets_find(maps: tuple[Array, Array], tolerance: float) -> None:
    spacing = (0.7, 0.9, 1.3)
    ours, theirs = (
        label_surfaces(
            np.where(one == 255, 0, one).astype(np.uint8),
            Tolerance(spacing, tolerance),
            num_classes=4,
            skip_background=False,
        )
        for one in maps
    )
    elements = ours.elements()
    distances = nearest_mm(elements, theirs.elements(), spacing)
    expected = elements.take(np.flatnonzero(distances > tolerance))
    found, wanted = (
        set(zip(*astuple(one)[1:], strict=True))
        for one in (beyond_tolerance(ours, theirs), expected)
    )
    assert found == wanted


@given(maps=label_maps())
@settings(max_examples=60, deadline=None)
def test_average_distance_equals_deepminds(maps: tuple[Array, Array]) -> None:
    spacing = (0.7, 0.9, 1.3)
    pred, target = (np.where(one == 255, 0, one) for one in maps)
    ours = average_surface_distance_per_class(
        pred, target, spacing_mm=spacing, num_classes=4, protocol="volume"
    )
    for label in range(4):
        pair = target == label, pred == label
        if not (pair[0].any() and pair[1].any()):
            expected = math.inf if pair[0].any() or pair[1].any() else math.nan
        else:
            found = surface_distance.compute_surface_distances(*pair, spacing)
            sizes = np.concatenate([found["surfel_areas_gt"], found["surfel_areas_pred"]])
            distances = [found["distances_gt_to_pred"], found["distances_pred_to_gt"]]
            expected = np.average(np.concatenate(distances), weights=sizes)
        np.testing.assert_allclose(ours[label], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 5.0), (3.0, 0.1, 0.6), (5.0, 0.8, 0.8)]
)
def test_code_sizes_equal_deepminds_tables(spacing: Spacing) -> None:
    """All 16 contour lengths and all 256 surface areas."""
    lengths = lookup_tables.create_table_neighbour_code_to_contour_length(spacing[:2])
    areas = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    np.testing.assert_allclose(code_sizes(spacing[:2]), lengths, rtol=0, atol=1e-12)
    np.testing.assert_allclose(code_sizes(spacing), areas, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [2, 3])
def test_code_weights_equal_deepminds(axes: int) -> None:
    kernel = getattr(lookup_tables, f"ENCODE_NEIGHBOURHOOD_{axes}D_KERNEL")
    assert list(code_weights(axes)) == kernel.ravel().tolist()


def size(mask: Array, spacing: Spacing) -> float:
    tolerance = Tolerance(spacing, 0.0)
    found = label_surfaces(mask.astype(np.uint8), tolerance, num_classes=2, skip_background=True)
    assert found.counts.tolist() == found.elements().count(2).tolist()
    return float(found.sizes()[1])


def test_sizes_of_a_few_voxels_by_hand() -> None:
    voxel = np.ones((1, 1, 1))
    # Eight corners, each cut off by a triangle with a normal of 1/8 along each axis.
    assert size(voxel, (1.0, 1.0, 1.0)) == pytest.approx(8 * math.sqrt(3) / 8)
    # Four corners, each cut off half-way along both sides.
    assert size(voxel, (3.0, 4.0)) == pytest.approx(4 * 2.5)
    # Two diagonal neighbours share a corner with two such cuts.
    assert size(np.eye(2)[None], (3.0, 4.0)) == pytest.approx(8 * 2.5)
    # A row of two: one step on each side between the cuts at the ends.
    assert size(np.ones((1, 2, 1)), (3.0, 4.0)) == pytest.approx(4 * 2.5 + 2 * 3.0)
    # Each slice has its own contour.
    assert size(np.ones((2, 1, 1)), (3.0, 4.0)) == pytest.approx(2 * 4 * 2.5)
