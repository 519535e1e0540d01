import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import surface_distance
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from saros_hf.errors import GridMismatchError, UnknownLabelError, UsageError
from training.functional import (
    average_surface_distance_per_class,
    confusion_matrix,
    dice_per_class,
    precision_per_class,
    recall_per_class,
    surface_dice_per_class,
    volume_difference_per_class,
)
from training.surfaces.label_maps import LabelMap
from training.surfaces.protocols import SurfaceProtocol

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

Array = NDArray[Any]
DIAGONAL = math.sqrt(0.5)


def squares(shift: int, slices: int = 1) -> tuple[Array, Array]:
    """A 4x4 square of class 1 in each slice, and the same moved along j."""
    pred, target = np.zeros((2, 12, 16, slices), np.uint8)
    target[2:6, 2:6] = 1
    pred[2:6, 2 + shift : 6 + shift] = 1
    return pred, target


def nsd(pred: LabelMap, target: LabelMap, **options: object) -> torch.Tensor:
    return surface_dice_per_class(
        pred, target, **{"spacing_mm": (1.0, 1.0, 5.0), "num_classes": 2} | options
    )


def test_dice_ignores_unannotated_voxels() -> None:
    target = torch.tensor([[0, 0, 1, 1], [255, 255, 255, 255]])
    pred = torch.tensor([[0, 1, 1, 1], [2, 2, 2, 2]])
    dice = dice_per_class(pred, target, num_classes=3)
    expected = torch.tensor([2 / 3, 4 / 5, torch.nan], dtype=torch.float64)
    torch.testing.assert_close(dice, expected, equal_nan=True)


def test_dice_is_zero_for_a_class_in_only_one_map() -> None:
    dice = dice_per_class(np.array([0, 1, 0, 0]), np.array([0, 0, 2, 0]), num_classes=4)
    assert dice.tolist()[:3] == [2 * 2 / 6, 0.0, 0.0]
    assert dice[3].isnan()


def test_dice_counts_big_maps_exactly() -> None:
    target = np.ones((300, 300, 5), np.uint8)
    pred = target.copy()
    pred[0, 0, 0] = 0
    assert dice_per_class(pred, target, num_classes=2)[1] == 2 * 449_999 / 899_999


@given(
    st_numpy.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 4)),
    st_numpy.arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 1, 2, 3, 4, 255])),
)
@settings(max_examples=100, deadline=None)
def test_dice_equals_deepminds(pred: Array, target: Array) -> None:
    assume((target != 255).any())  # nothing annotated is refused
    ours = dice_per_class(pred, target, num_classes=5).numpy()
    for label in range(5):
        masks = (target == label), (pred == label) & (target != 255)
        theirs = surface_distance.compute_dice_coefficient(*masks) if np.any(masks) else math.nan
        np.testing.assert_allclose(ours[label], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint16])
def test_dtype_memory_order_and_tensors_do_not_matter(dtype: type) -> None:
    rng = np.random.default_rng(0)
    pred, target = rng.integers(0, 3, (2, 6, 7, 4)).astype(dtype)
    target[:, :, 1] = 255
    flipped = np.flip(np.flip(pred).copy()), np.asfortranarray(target)
    flipped[0].flags.writeable = False
    dice = dice_per_class(pred, target, num_classes=3)
    surface = nsd(pred, target, num_classes=3)
    assert dice.dtype == surface.dtype == torch.float64
    assert torch.equal(dice, dice_per_class(*flipped, num_classes=3))
    assert torch.equal(surface, nsd(*flipped, num_classes=3))
    tensors = torch.from_numpy(pred), torch.from_numpy(target)
    assert torch.equal(dice, dice_per_class(*tensors, num_classes=3))
    assert torch.equal(surface, nsd(*tensors, num_classes=3))


def one_of_each() -> tuple[Array, Array]:
    """Class 1: 2 of 3 predicted voxels right, 2 of 4 found; 2 only in truth, 3 only predicted."""
    target = np.array([[0, 1, 1, 1, 1, 2, 0, 0, 255, 255]], np.uint8)
    pred = np.array([[1, 1, 1, 0, 0, 0, 0, 3, 1, 200]], np.uint8)
    return pred, target


def test_confusion_by_hand() -> None:
    counts = confusion_matrix(*one_of_each(), num_classes=5)
    assert counts[1].tolist() == [2, 2, 0, 0, 0]
    assert counts[:, 1].tolist() == [1, 2, 0, 0, 0]
    assert counts.sum() == 8


def test_precision_and_recall_by_hand() -> None:
    pair = one_of_each()
    precision, recall = (f(*pair, num_classes=5) for f in (precision_per_class, recall_per_class))
    assert precision.dtype == recall.dtype == torch.float64
    assert precision[1:4].tolist() == [2 / 3, 0, 0]
    assert recall[1:4].tolist() == [2 / 4, 0, 0]
    assert precision[4].isnan()
    assert recall[4].isnan()


def test_volume_difference_by_hand() -> None:
    found = volume_difference_per_class(*one_of_each(), spacing_mm=(10.0, 10.0, 5.0), num_classes=5)
    # A voxel is half a millilitre; class 1 lacks one, 2 lacks one, 3 has one too many.
    assert found[1:4].tolist() == [-0.5, -0.5, 0.5]
    assert found[4].isnan()
    with pytest.raises(UsageError, match="three positive lengths"):
        volume_difference_per_class(*one_of_each(), spacing_mm=(0.0, 1.0, 1.0))


def distance(pred: LabelMap, target: LabelMap, **options: object) -> torch.Tensor:
    return average_surface_distance_per_class(
        pred, target, **{"spacing_mm": (1.0, 1.0, 5.0), "num_classes": 2} | options
    )


def test_average_distance_of_single_voxels() -> None:
    pred, target = np.zeros((2, 20, 20, 1), np.uint8)
    target[4, 4], pred[4, 14] = 1, 1
    # Corners 4 and 5 in j against 14 and 15: those facing each other are 9 apart, the others 10.
    assert distance(pred, target, spacing_mm=(1.0, 2.0, 5.0))[1] == pytest.approx(19.0)


def test_average_distance_reaches_the_next_slice() -> None:
    pred, target = np.zeros((2, 8, 8, 3), np.uint8)
    target[2:5, 2:5, 0], target[2:5, 2:5, 2] = 1, 1
    pred[2:5, 2:5, 0] = 1
    target[..., 1] = 255
    # Three equal contours, of which one is 10 mm from the next.
    assert distance(pred, target)[1] == pytest.approx(10 / 3)


def test_average_distance_of_equal_and_missing_labels() -> None:
    _, target = squares(0, slices=2)
    assert distance(target, target)[1] == 0
    assert distance(np.zeros_like(target), target)[1] == math.inf
    assert distance(target, np.zeros_like(target))[1] == math.inf
    assert distance(target, target, num_classes=3)[2].isnan()


def test_slice_protocol_counts_contour_length() -> None:
    """Each contour is 12 sides of 1 mm and 4 cut corners. Moved by 5 px, the last of the target's
    five columns of elements (3 sides, 2 corners) is 1 mm away from the prediction's first, the
    two before (2 sides each) 2 and 3 mm; the prediction sees the same."""
    within, whole = 3 + 2 * DIAGONAL + 2 + 2, 12 + 4 * DIAGONAL
    assert nsd(*squares(5))[1].item() == pytest.approx(within / whole, abs=1e-12)


def test_tolerance_is_inclusive() -> None:
    pred, target = squares(5)
    at_3 = nsd(pred, target, tolerance_mm=3.0)[1].item()
    below_3 = nsd(pred, target, tolerance_mm=2.999)[1].item()
    whole = 12 + 4 * DIAGONAL
    assert at_3 - below_3 == pytest.approx(2 / whole, abs=1e-12)


def test_slice_protocol_pools_lengths_and_counts_unmatched_contours() -> None:
    pred, target = squares(5, slices=2)
    pred[:, :, 1] = 0
    within, whole = 7 + 2 * DIAGONAL, 12 + 4 * DIAGONAL
    assert nsd(pred, target)[1].item() == pytest.approx(2 * within / (3 * whole), abs=1e-12)


def test_slice_protocol_uses_the_spacing_of_each_axis() -> None:
    """4x4 square, 2 mm along i and 1 mm along j: the sides along i are 3 x 2 mm long."""
    pred, target = squares(1)
    score = nsd(pred, target, spacing_mm=(2.0, 1.0, 5.0), tolerance_mm=0.5)[1].item()
    # 4 of 5 elements of each side along j, without the corners, lie on the other contour:
    # elements 3 to 5 of columns 2 to 6 against 3 to 7, of which the end ones are corners.
    whole = 2 * 3 * 2 + 2 * 3 * 1 + 4 * math.sqrt(2**2 + 1) / 2
    within = 2 * 3 * 1 + 2 * math.sqrt(2**2 + 1) / 2
    assert score == pytest.approx(within / whole, abs=1e-12)


PROTOCOLS = pytest.mark.parametrize("protocol", ["slice", "volume", "published"])


@PROTOCOLS
def test_nsd_is_nan_for_an_absent_class_and_zero_for_one_in_only_one_map(
    protocol: SurfaceProtocol,
) -> None:
    pred, target = squares(0, slices=3)
    target[:, :, 1] = 255
    pred[pred == 1] = 2
    pred[0, 0, 1] = 3
    scores = nsd(pred, target, num_classes=4, protocol=protocol)
    assert scores[1:3].tolist() == [0.0, 0.0]
    assert scores[3].isnan()


@PROTOCOLS
def test_background_is_scored_unless_left_out(protocol: SurfaceProtocol) -> None:
    pred, target = squares(1)
    assert 0 < nsd(pred, target, protocol=protocol, tolerance_mm=0.5)[0] < 1
    without = nsd(pred, target, protocol=protocol, include_background=False)
    assert without[0].isnan()
    assert without[1] == nsd(pred, target, protocol=protocol)[1]


@PROTOCOLS
def test_truth_against_itself_is_one(protocol: SurfaceProtocol) -> None:
    _, target = squares(0, slices=4)
    target[:, :, 1] = 255
    assert nsd(target, target, protocol=protocol).tolist() == [1.0, 1.0]


def test_published_swaps_the_spacing_of_i_and_k() -> None:
    """A shift by one slice is 5 mm along k, but 1 mm in the authors' order, and vice versa."""
    target = np.zeros((12, 12, 12), np.uint8)
    target[4:8, 4:8, 4:8] = 1
    along_k, along_i = np.roll(target, 1, axis=2), np.roll(target, 1, axis=0)
    assert nsd(along_k, target, protocol="published")[1] == 1.0
    assert nsd(along_k, target, protocol="volume")[1] < 0.9
    assert nsd(along_i, target, protocol="published")[1] < 0.9
    assert nsd(along_i, target, protocol="volume")[1] == 1.0


def test_flat_faces_of_isolated_slices_raise_the_volume_score() -> None:
    pred, target = (np.kron(each, np.ones((5, 5, 1), np.uint8)) for each in squares(1, slices=11))
    target[:, :, np.arange(11) % 5 != 0] = 255
    in_2d = nsd(pred, target)[1].item()
    in_3d = nsd(pred, target, protocol="volume")[1].item()
    # Square of 20 mm moved by 5: of the two sides along the move 18 mm each are within 3 mm, of
    # the side that now lies inside the other square 3 mm at either end and the two corners.
    assert in_2d == pytest.approx((18 + 18 + 6 + 2 * DIAGONAL) / (4 * 19 + 4 * DIAGONAL))
    # The caps overlap by three quarters and make up most of the surface in 3-D.
    assert in_3d > 0.8


def test_partly_annotated_slice_counts_for_published_only() -> None:
    """The authors blank single voxels; here a slice is annotated or not."""
    pred, target = squares(5, slices=3)
    target[0, 0, 1] = 255
    pair = pred[:, :, [0, 2]], target[:, :, [0, 2]]
    assert nsd(pred, target)[1] == nsd(*pair)[1]
    blanked = np.where(target == 255, 0, target)
    dense = nsd(pred, blanked, protocol="published")[1]
    assert nsd(pred, target, protocol="published")[1] == dense
    assert nsd(pred, target, protocol="volume")[1] != nsd(pred, blanked, protocol="volume")[1]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"spacing_mm": (1.0, 0.0, 5.0)}, "spacing_mm"),
        ({"spacing_mm": (1.0, -1.0, 5.0)}, "spacing_mm"),
        ({"spacing_mm": (1.0, math.nan, 5.0)}, "spacing_mm"),
        ({"spacing_mm": (1.0, 5.0)}, "spacing_mm"),
        ({"tolerance_mm": -1.0}, "tolerance_mm"),
        ({"protocol": "3d"}, "protocol"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 256}, "num_classes"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=f"^{word}: found"):
        nsd(*squares(0), **options)


@pytest.mark.parametrize("score", [dice_per_class, nsd])
def test_maps_that_cannot_be_compared_are_refused(score: Callable[..., torch.Tensor]) -> None:
    pred, target = squares(0)
    for arguments, error, text in (
        ((pred[1:], target), GridMismatchError, r"\(11, 16, 1\).*\(12, 16, 1\)"),
        ((pred * 2, target), UnknownLabelError, "prediction: found labels from 0 to 2"),
        ((pred, target * 2), UnknownLabelError, "target: found labels from 0 to 2"),
        ((pred.astype(int) - 1, target), UnknownLabelError, "labels from -1"),
        ((pred.astype(np.float32), target), UsageError, "argmax"),
        (([[[0.0, 1.0]]], [[[0, 1]]]), UsageError, "prediction: found labels of type float64"),
        ((torch.zeros(12, 16, 1, dtype=torch.bfloat16), target), UsageError, "bfloat16"),
    ):
        with pytest.raises(error, match=text):
            score(*arguments, num_classes=2)


@pytest.mark.parametrize(
    "score",
    [
        dice_per_class,
        precision_per_class,
        recall_per_class,
        partial(volume_difference_per_class, spacing_mm=(1.0, 1.0, 5.0)),
        nsd,
        distance,
    ],
)
@pytest.mark.parametrize("shape", [(4, 4, 2), (0, 4, 0)])
def test_case_without_annotation_is_refused(
    score: Callable[..., torch.Tensor], shape: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError, match=r"^target: found no annotated (voxel|slice)"):
        score(np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), num_classes=2)


def test_case_without_an_annotated_slice_is_refused() -> None:
    pred, target = squares(0)
    target[0, 0] = 255
    with pytest.raises(UsageError, match="no annotated slice"):
        nsd(pred, target)
    with pytest.raises(UsageError, match="no annotated slice"):
        nsd(pred[..., 0], target[..., 0])
