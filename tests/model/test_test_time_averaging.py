import pytest
import torch
from torch import Tensor, nn

from training.model.input_spec import InputSpec
from training.model.test_time_averaging import PredictOptions, slice_scores

REGIONS = InputSpec("body-regions", context=0, window=(-1.0, 1.0), spacing_range_mm=(1, 1))
JOINT = InputSpec("joint", context=0, window=(-1.0, 1.0), spacing_range_mm=(1, 1))
POSITION = torch.zeros(2, 2)


class Fixed(nn.Module):
    """The same logits for every pixel."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.view(1, -1, 1, 1).expand(len(images), -1, *images.shape[-2:])


class Sides(nn.Module):
    """Labels the half of the image at small i as right leg, the other as left leg."""

    def forward(self, images: Tensor) -> Tensor:
        scores = torch.zeros(len(images), 21, *images.shape[-2:])
        half = images.shape[-2] // 2
        scores[:, 14 + 3, :half] = 5
        scores[:, 14 + 4, half:] = 5
        scores[:, :14] = images[:, :1]
        return scores


class Local(nn.Module):
    """Scores that depend on the neighbouring pixels."""

    def forward(self, images: Tensor) -> Tensor:
        around = nn.functional.avg_pool2d(images, 3, stride=1, padding=1)
        return torch.cat([around, images**2, -images], dim=1)


def test_one_network_returns_its_own_logits() -> None:
    images = torch.rand(2, 1, 40, 33)
    scores = slice_scores([Local()], images, POSITION, REGIONS, PredictOptions())
    padded = nn.functional.pad(images, (0, 31, 0, 24), value=-1.0)
    assert torch.equal(scores, Local()(padded)[..., :40, :33])


def test_probabilities_of_networks_are_averaged() -> None:
    """By hand: the mean of 0.9 and 0.4 is 0.65, though the second network prefers label 1."""
    sure, unsure = torch.tensor([0.9, 0.1]).log(), torch.tensor([0.4, 0.6]).log()
    networks = [Fixed(sure), Fixed(unsure + 3)]
    images = torch.zeros(2, 1, 5, 5)
    scores = slice_scores(networks, images, POSITION, REGIONS, PredictOptions())
    assert scores.shape == (2, 2, 5, 5)
    torch.testing.assert_close(scores[0, :, 2, 2], torch.tensor([0.65, 0.35]))


def test_mirror_averaging_swaps_left_and_right_labels_back() -> None:
    images = torch.rand(2, 1, 64, 32)
    options = PredictOptions(mirror=True)
    scores = slice_scores([Sides()], images, POSITION, JOINT, options)
    parts = scores[:, 14:].argmax(dim=1)
    # In the mirror image the right leg is on the other side and labelled left: both agree.
    assert (parts[:, :32] == 3).all()
    assert (parts[:, 32:] == 4).all()
    assert scores[:, 14 + 3, :32].min() > 0.9
    torch.testing.assert_close(scores[:, :14].sum(dim=1), torch.ones(2, 64, 32))


@pytest.mark.parametrize("size", [(100, 90), (64, 150)])
def test_tiles_agree_with_the_whole_slice(size: tuple[int, int]) -> None:
    images = torch.rand(2, 1, *size)
    whole = slice_scores([Local()], images, POSITION, REGIONS, PredictOptions())
    tiled = slice_scores(
        [Local()], images, POSITION, REGIONS, PredictOptions(tile=64, batch_size=3)
    )
    assert tiled.shape == whole.shape
    # Tiles see air beyond their border, where Hann weights are small.
    inner = (..., slice(2, -2), slice(2, -2))
    assert (tiled - whole)[inner].abs().mean() < 1e-3
    assert (tiled - whole)[:, 1:].abs().max() < 1e-5


def test_each_tile_gets_the_position_of_its_slice() -> None:
    class Height(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([images[:, 1:2], -images[:, 1:2]], dim=1)

    spec = InputSpec("body-regions", 0, (-1.0, 1.0), (1, 1), position=True)
    position = torch.tensor([[0.0, 0.0], [1000.0, 1.0]])
    for tile in (1024, 32):
        options = PredictOptions(tile=tile)
        scores = slice_scores([Height()], torch.zeros(2, 1, 64, 64), position, spec, options)
        torch.testing.assert_close(scores[:, 0, 20, 20], torch.tensor([-1.0, 1.0]))
