import torch

from training.model.input_spec import with_position


def test_position_becomes_two_constant_channels() -> None:
    images = torch.rand(3, 2, 4, 5)
    position = torch.tensor([[0.0, 0.0], [500.0, 0.25], [1500.0, 1.0]])
    out = with_position(images, position)
    assert out.shape == (3, 4, 4, 5)
    assert torch.equal(out[:, :2], images)
    assert out[:, 2, 0, 0].tolist() == [-1.0, 0.0, 2.0]
    assert out[:, 3, 0, 0].tolist() == [-1.0, -0.5, 1.0]
    assert (out[:, 2:] == out[:, 2:, :1, :1]).all()
