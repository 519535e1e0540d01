import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.model.input_spec import InputSpec
from training.model.test_time_averaging import PredictOptions, slice_scores

REGIONS = InputSpec("body-regions", context=0, window=(-1.0, 1.0), spacing_range_mm=(1, 1))
JOINT = InputSpec("joint", context=0, window=(-1.0, 1.0), spacing_range_mm=(1, 1))
POSITION = torch.zeros(2, 2)


def sides(images: Tensor) -> Tensor:
    """Label the half of the image at small i as right leg, the other as left leg."""
    scores = torch.zeros(len(images), 21, *images.shape[-2:])
    half = images.shape[-2] // 2
    scores[:, 14 + 3, :half] = 5
    scores[:, 14 + 4, half:] = 5
    scores[:, :14] = images[:, :1]
    return scores


def local(images: Tensor) -> Tensor:
    """Return scores that depend on the neighbouring pixels."""
    around = functional.avg_pool2d(images, 3, stride=1, padding=1)
    return torch.cat([around, images**2, -images], dim=1)


def test_one_network_returns_its_own_logits() -> None:
    images = torch.rand(2, 1, 40, 33)
    scores = slice_scores([local], images, POSITION, REGIONS, PredictOptions())
    padded = functional.pad(images, (0, 31, 0, 24), value=-1.0)
    assert torch.equal(scores, local(padded)[..., :40, :33])


def test_probabilities_of_networks_are_averaged() -> None:
    """By hand: the mean of 0.9 and 0.4 is 0.65, though the second network prefers label 1."""

    def constant(logits: Tensor, images: Tensor) -> Tensor:
        return logits.view(1, -1, 1, 1).expand(len(images), -1, *images.shape[-2:])

    sure, unsure = torch.tensor([0.9, 0.1]).log(), torch.tensor([0.4, 0.6]).log() + 3
    networks = [lambda images: constant(sure, images), lambda images: constant(unsure, images)]
    images = torch.zeros(2, 1, 5, 5)
    scores = slice_scores(networks, images, POSITION, REGIONS, PredictOptions())
    assert scores.shape == (2, 2, 5, 5)
    torch.testing.assert_close(scores[0, :, 2, 2], torch.tensor([0.65, 0.35]))


def test_mirror_averaging_swaps_left_and_right_labels_back() -> None:
    images = torch.rand(2, 1, 64, 32)
    scores = slice_scores([sides], images, POSITION, JOINT, PredictOptions(mirror=True))
    parts = scores[:, 14:].argmax(dim=1)
    # In the mirror image the right leg is on the other side and labelled left: both agree.
    assert (parts[:, :32] == 3).all()
    assert (parts[:, 32:] == 4).all()
    assert scores[:, 14 + 3, :32].min() > 0.9
    torch.testing.assert_close(scores[:, :14].sum(dim=1), torch.ones(2, 64, 32))


@pytest.mark.parametrize("size", [(100, 90), (64, 150)])
def test_tiles_agree_with_the_whole_slice(size: tuple[int, int]) -> None:
    images = torch.rand(2, 1, *size)
    whole, tiled = (
        slice_scores([local], images, POSITION, REGIONS, options)
        for options in (PredictOptions(), PredictOptions(tile=64, batch_size=3))
    )
    assert tiled.shape == whole.shape
    # Tiles see air beyond their border, where Hann weights are small.
    inner = (..., slice(2, -2), slice(2, -2))
    assert (tiled - whole)[inner].abs().mean() < 1e-3
    assert (tiled - whole)[:, 1:].abs().max() < 1e-5


@pytest.mark.parametrize("tile", [1024, 32])
def test_each_tile_gets_the_position_of_its_slice(tile: int) -> None:
    def height(images: Tensor) -> Tensor:
        return torch.cat([images[:, 1:2], -images[:, 1:2]], dim=1)

    spec = InputSpec("body-regions", 0, (-1.0, 1.0), (1, 1), position=True)
    position, images = torch.tensor([[0.0, 0.0], [1000.0, 1.0]]), torch.zeros(2, 1, 64, 64)
    scores = slice_scores([height], images, position, spec, PredictOptions(tile=tile))
    torch.testing.assert_close(scores[:, 0, 20, 20], torch.tensor([-1.0, 1.0]))
