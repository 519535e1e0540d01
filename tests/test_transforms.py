import numpy as np
import pytest
import torch
import torchio as tio

from saros_hf.labels import MIRRORED_PARTS, BodyPart
from training.patches import slice_subject
from training.transforms import (
    flip_left_right,
    in_plane_augmentation,
    normalise_hu,
    swap_labels,
)


def square(size: int = 64) -> tio.Subject:
    """A body of 40 HU and label 3 within air, the border column not annotated."""
    image = np.full((1, size, size), -1000, np.int16)
    mask = np.zeros((size, size), np.uint8)
    image[:, 16:48, 16:48] = 40
    mask[16:48, 16:48] = 3
    mask[:, -1] = 255
    return slice_subject(image, mask)


def test_the_window_maps_to_minus_one_and_one() -> None:
    hu = torch.tensor([-3000, -250, 50, 350, 3000], dtype=torch.int16)
    assert normalise_hu(hu, (-250.0, 350.0)).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert hu[0] == -3000


def test_trap_augmentation_invents_no_background() -> None:
    """What turns in from outside is 255; no label appears that was not there."""
    torch.manual_seed(0)
    augment = in_plane_augmentation(scale=0.3, degrees=30)
    grew = 0
    for _ in range(30):
        out = augment(square())
        mask = out["mask"].data
        assert set(mask.unique().tolist()) <= {0, 3, 255}
        assert out.spatial_shape == (64, 64, 1)
        # Air that came from outside has no label.
        outside = out["image"].data < -1015 - 5 * 15
        assert (mask[outside] == 255).all()
        grew += int((mask == 255).sum() > 64)
    assert grew > 10


def test_trap_augmentation_keeps_to_the_axial_plane() -> None:
    image = torch.zeros(1, 32, 32, 5)
    mask = torch.full((1, 32, 32, 5), 255, dtype=torch.uint8)
    mask[..., 2] = 1
    subject = tio.Subject(image=tio.ScalarImage(tensor=image), mask=tio.LabelMap(tensor=mask))
    torch.manual_seed(0)
    for _ in range(10):
        out = in_plane_augmentation()(subject)["mask"].data
        assert (out[..., [0, 1, 3, 4]] == 255).all()
        assert (out[..., 2] == 1).any()


def test_trap_a_flip_swaps_left_and_right_labels() -> None:
    mask = np.zeros((6, 2), np.uint8)
    mask[0], mask[-1], mask[2] = BodyPart.ARM_LEFT, BodyPart.ARM_RIGHT, BodyPart.TORSO
    image = np.arange(12, dtype=np.int16).reshape(1, 6, 2)
    flipped = flip_left_right(slice_subject(image, mask), "body-parts")
    labels = flipped["mask"].data[0, :, 0, 0].tolist()
    # RAS+: index 0 is the patient's left; after the flip the arm there is again the left one.
    assert labels == [BodyPart.ARM_LEFT, 0, 0, BodyPart.TORSO, 0, BodyPart.ARM_RIGHT]
    assert flipped["image"].data[0, :, 0, 0].tolist() == [10, 8, 6, 4, 2, 0]
    regions = flip_left_right(slice_subject(image, mask), "body-regions")
    assert regions["mask"].data[0, 0, 0, 0] == BodyPart.ARM_RIGHT  # a region has no side


def test_swapping_twice_is_nothing() -> None:
    mask = torch.tensor([*range(7), 255], dtype=torch.uint8)
    swapped = swap_labels(mask, MIRRORED_PARTS)
    assert swapped.tolist() == [0, 1, 2, 4, 3, 6, 5, 255]
    assert torch.equal(swap_labels(swapped, MIRRORED_PARTS), mask)


def test_noise_keeps_the_mean() -> None:
    torch.manual_seed(1)
    augment = in_plane_augmentation(scale=0, degrees=0, noise_hu=20)
    means = [augment(square())["image"].data[0, 20:44, 20:44].mean() for _ in range(20)]
    assert float(np.mean(means)) == pytest.approx(40, abs=1)
