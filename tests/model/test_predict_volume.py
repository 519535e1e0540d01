import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saros_hf.volume import Volume
from training.model.input_spec import InputSpec
from training.model.predict_volume import predict_maps
from training.model.test_time_averaging import PredictOptions, padded_forward

SPEC = InputSpec(
    task="body-regions", context=0, window=(-100.0, 100.0), spacing_range_mm=(1.0, 2.0)
)


class Threshold(nn.Module):
    """Labels a pixel by its first channel: 0 below -0.5, 2 above 0.5, else 1."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0]))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return -((images[:, :1] - self.centres.view(1, 3, 1, 1)) ** 2)


class TwoChannels(nn.Module):
    """Labels a pixel 1 where the second of two weighted sums of channels is greater."""

    def __init__(self, *weights: list[float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nc,bcij->bnij", self.weights, images)


def ramp(spacing: float = 1.5) -> Volume:
    array = np.zeros((50, 40, 9), np.int16)
    array[:25], array[25:] = -90, 90
    array[..., 4] = 0
    return Volume(array, np.diag([-spacing, -spacing, 5.0, 1.0]))


@pytest.mark.parametrize("code", ["LPS", "LAI", "PIR", "RAS"])
def test_labels_are_on_the_grid_of_the_image(code: str) -> None:
    image = ramp().oriented(code)
    labels = predict_maps([Threshold()], image, SPEC, PredictOptions(batch_size=4))[SPEC.task]
    assert labels.array.dtype == np.uint8
    assert labels.same_grid(image)
    expected = np.select([image.array < -50, image.array > 50], [0, 2], 1)
    assert np.array_equal(labels.array, expected)


def test_any_size_is_padded_to_a_multiple_of_the_stride() -> None:
    network = Threshold()
    logits = padded_forward(network, torch.zeros(2, 1, 33, 64))
    assert network.sizes == [(2, 1, 64, 64)]
    assert logits.shape == (2, 3, 33, 64)


def test_only_spacing_not_seen_in_training_is_resampled() -> None:
    assert SPEC.in_plane_scale(1.5) == 1.0
    assert SPEC.in_plane_scale(0.5) == 0.5  # resampled to 1.0 mm: half as many pixels
    assert SPEC.in_plane_scale(4.0) == 2.0
    network = Threshold()
    labels = predict_maps([network], ramp(0.5), SPEC)[SPEC.task]
    assert network.sizes[0][2:] == (32, 32)  # 25 x 20 pixels, padded
    truth = predict_maps([Threshold()], ramp(), SPEC)[SPEC.task].array
    # The edge between pixels 24 and 25 may move by one coarse pixel, two of the CT's.
    away = np.r_[0:23, 27:50]
    assert np.array_equal(labels.array[away], truth[away])


def test_each_axis_is_resampled_to_a_spacing_seen_in_training() -> None:
    """50 pixels of 1.5 mm stay; 30 of 4 mm become 60 of 2 mm, the edge of the range."""
    network = Threshold()
    image = Volume(ramp().array[:, :30], np.diag([1.5, 4.0, 5.0, 1.0]))
    assert predict_maps([network], image, SPEC)[SPEC.task].same_grid(image)
    assert network.sizes[0][2:] == (64, 64)  # 50 x 60 pixels, padded


@pytest.mark.parametrize("trained", [5.0, 2.5])
def test_context_slices_are_as_far_away_as_in_training(trained: float) -> None:
    array = np.zeros((4, 4, 12), np.int16)
    array[..., 6:] = 50
    spec = InputSpec("body-parts", 1, (-100.0, 100.0), (0.0, 9.0), slice_spacing_mm=trained)
    network = TwoChannels([1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    for spacing, expected in ((trained, [5, 6]), (trained / 2, [4, 5, 6, 7])):
        image = Volume(array, np.diag([1.0, 1.0, spacing, 1.0]))
        labels = predict_maps([network], image, spec)["body-parts"]
        assert np.flatnonzero(labels.array[0, 0]).tolist() == expected


def test_progress_counts_slices() -> None:
    seen: list[tuple[int, int]] = []
    options = PredictOptions(batch_size=4)
    predict_maps([Threshold()], ramp(), SPEC, options, progress=lambda *count: seen.append(count))
    assert seen == [(4, 9), (8, 9), (9, 9)]


def test_only_chosen_slices_are_labelled() -> None:
    image = ramp()
    whole = predict_maps([Threshold()], image, SPEC)[SPEC.task].array
    some = predict_maps([Threshold()], image, SPEC, slices=[1, 6])[SPEC.task].array
    assert np.array_equal(some[..., [1, 6]], whole[..., [1, 6]])
    others = np.delete(some, [1, 6], axis=2)
    assert not others.any()


def test_position_channels_hold_the_height_above_the_feet() -> None:
    network = TwoChannels([0.0, 0.0, -1.0], [0.0, 0.0, 1.0])  # 1 above the middle of the scan
    spec = InputSpec("body-parts", 0, (-100.0, 100.0), (1.0, 2.0), position=True)
    for code in ("RAS", "LPI"):
        image = ramp().oriented(code)
        labels = predict_maps([network], image, spec)["body-parts"].to_ras().array
        assert not labels[..., :4].any()
        assert labels[..., 5:].all()


def test_averaging_and_tiles_keep_the_label_map() -> None:
    options = PredictOptions(mirror=True, tile=32, batch_size=2, clean=False)
    image = ramp()
    labels = predict_maps([Threshold(), Threshold()], image, SPEC, options)[SPEC.task].array
    assert np.array_equal(labels, np.select([image.array < -50, image.array > 50], [0, 2], 1))
