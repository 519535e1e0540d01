import math

import pytest
import segmentation_models_pytorch
import torch
from torch.nn import functional

from saros_hf.errors import UsageError
from training.losses import SparseSegmentationLoss, sparse_cross_entropy, sparse_dice_loss

NOTHING = torch.full((2, 4, 4), 255, dtype=torch.uint8)


def half_annotated() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    target = torch.randint(0, 3, (2, 4, 4), generator=generator, dtype=torch.uint8)
    target[:, ::2] = 255
    return logits, target


def test_cross_entropy_of_two_voxels_by_hand() -> None:
    """Odds of 3:1 for class 0, seen once as class 0 and once as class 1."""
    logits = torch.tensor([[math.log(3.0), 0.0]] * 3).T.reshape(1, 2, 3)
    target = torch.tensor([[0, 1, 255]])
    loss = sparse_cross_entropy(logits, target)
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, rel=1e-6)
    weighted = sparse_cross_entropy(logits, target, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(4)) / 4, rel=1e-6)


def test_cross_entropy_equals_torchs() -> None:
    logits, target = half_annotated()
    weights = torch.tensor([0.2, 1.0, 3.0])
    for given in (None, weights):
        theirs = functional.cross_entropy(logits, target.long(), given, ignore_index=255)
        torch.testing.assert_close(sparse_cross_entropy(logits, target, given), theirs)
    # Voxels whose class has weight 0.
    zeros = torch.zeros(2, 4, 4, dtype=torch.uint8)
    assert sparse_cross_entropy(logits, zeros, torch.tensor([0.0, 1.0, 1.0])) == 0


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("missing", [None, 1])
def test_dice_and_its_gradient_equal_smps(smooth: float, missing: int | None) -> None:
    logits, target = half_annotated()
    if missing is not None:
        target[target == missing] = 255
    theirs = segmentation_models_pytorch.losses.DiceLoss(
        "multiclass", smooth=smooth, ignore_index=255
    )
    gradients = []
    for function in (lambda z, y: sparse_dice_loss(z, y, smooth), theirs):
        given = logits.clone().requires_grad_()
        loss = function(given, target.long())
        loss.backward()
        gradients.append((loss.detach(), given.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("class_weights", [None, [0.5, 1.0, 2.0]])
def test_batch_without_annotation_is_zero_with_zero_gradients(
    class_weights: list[float] | None,
) -> None:
    network = torch.nn.Conv2d(1, 3, 1)
    loss = SparseSegmentationLoss(class_weights=class_weights)(
        network(torch.ones(2, 1, 4, 4)), NOTHING
    )
    loss.backward()
    assert loss == 0
    # Not None: DDP waits for the gradient of every parameter.
    assert [bool((p.grad == 0).all()) for p in network.parameters()] == [True, True]


def test_other_losses_are_not_finite_without_annotation() -> None:
    """The reason for these losses: torch's is NaN; SMP's Dice loss is the finite half."""
    logits, _ = half_annotated()
    assert functional.cross_entropy(logits, NOTHING.long(), ignore_index=255).isnan()
    theirs = segmentation_models_pytorch.losses.DiceLoss("multiclass", ignore_index=255)
    assert theirs(logits, NOTHING.long()) == 0


def test_unannotated_voxels_affect_neither_loss_nor_gradient() -> None:
    logits, target = half_annotated()
    logits.requires_grad_()
    loss = SparseSegmentationLoss()(logits, target)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, :, ::2].count_nonzero() == 0
    assert (logits.grad[:, :, 1::2] != 0).all()
    other = logits.detach().clone()
    other[:, :, ::2] = 50.0
    assert SparseSegmentationLoss()(other, target) == loss


def test_dice_term_by_hand() -> None:
    """Equal probabilities of two classes with one voxel each: a Dice of 1/2 for both. A third class
    that is neither predicted nor in the truth adds 0 to the mean over three."""
    logits = torch.tensor([0.0, 0.0, -100.0]).reshape(1, 3, 1).repeat(1, 1, 3)
    target = torch.tensor([[0, 1, 255]])
    loss = SparseSegmentationLoss(cross_entropy_weight=0)(logits, target)
    assert loss.item() == pytest.approx((1 / 2 + 1 / 2 + 0) / 3, rel=1e-6)


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    logits, target = half_annotated()
    entropy = SparseSegmentationLoss(dice_weight=0)(logits, target)
    dice = SparseSegmentationLoss(cross_entropy_weight=0)(logits, target)
    both = SparseSegmentationLoss(cross_entropy_weight=2, dice_weight=0.5)(logits, target)
    torch.testing.assert_close(both, 2 * entropy + 0.5 * dice)


def test_loss_is_computed_in_float32_under_bf16_autocast() -> None:
    logits, target = half_annotated()
    weights = [0.5, 1.0, 2.0]
    rounded = logits.bfloat16()
    expected = SparseSegmentationLoss(class_weights=weights)(rounded.float(), target)
    with torch.autocast("cpu", torch.bfloat16):
        loss = SparseSegmentationLoss(class_weights=weights)(rounded, target)
    assert loss.dtype == torch.float32
    assert loss == expected
    assert SparseSegmentationLoss(class_weights=weights).bfloat16()(rounded, target) == expected


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 4, 8, 8, 3)])
def test_2d_and_3d_patches_in_any_memory_format(shape: tuple[int, ...]) -> None:
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    target[..., ::2] = 255
    target[:, 2:5, 2:] = 3
    expected = SparseSegmentationLoss()(logits, target)
    last = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    flipped = target.flip(1).contiguous().flip(1)
    torch.testing.assert_close(
        SparseSegmentationLoss()(logits.to(memory_format=last), flipped), expected
    )


def test_class_weights_are_a_buffer_that_is_not_saved() -> None:
    loss = SparseSegmentationLoss(class_weights=[1.0, 2.0])
    assert [name for name, _ in loss.named_buffers()] == ["class_weights"]
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    "options",
    [
        {"cross_entropy_weight": -1.0},
        {"cross_entropy_weight": 0.0, "dice_weight": 0.0},
        {"class_weights": [1.0, -1.0]},
        {"class_weights": [0.0, 0.0]},
        {"class_weights": []},
        {"class_weights": [1.0, math.inf]},
        {"class_weights": [1.0, math.nan]},
    ],
)
def test_invalid_weights_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="finite weights of 0 or more"):
        SparseSegmentationLoss(**options)
