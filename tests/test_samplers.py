from typing import Any

import numpy as np
import pytest
import torch
import torchio as tio
from helpers.samplers import SHAPE, places, sampler, subject
from scipy import stats
from torch.utils.data import DataLoader, Dataset

from saros_hf.errors import UsageError


@pytest.mark.parametrize("size", [(4, 4, 1), (5, 3, 4), (32, 32, 32)])
def test_every_patch_is_centred_on_an_annotated_voxel(size: tuple[int, int, int]) -> None:
    """torchio's LabelSampler centres patches on 255 by default."""
    for patch in sampler(size)(subject(), 40):
        assert patch.spatial_shape == size
        centre = patch["mask"].data[(0, *(n // 2 for n in size))]
        assert centre in (0, 1)


def test_labels_and_positions_are_drawn_evenly() -> None:
    """Chi-square test of the class and of the position within a class."""
    mask = np.full((20, 20, 3), 255, np.uint8)
    mask[..., 1] = 0
    mask[5:15, 5:15, 1] = 1
    mask[3, 3, 1] = 2  # one voxel in 400
    places = [patch[tio.LOCATION][:3].tolist() for patch in sampler((1, 1, 1))(subject(mask), 3000)]
    labels = np.bincount([mask[tuple(place)] for place in places], minlength=3)
    assert stats.chisquare(labels).pvalue > 1e-4
    counts = np.zeros(mask.shape)
    np.add.at(counts, tuple(np.array(places).T), 1)
    assert stats.chisquare(counts[mask == 1]).pvalue > 1e-4
    assert counts[mask == 255].sum() == 0


def test_weights_change_how_often_a_label_is_drawn() -> None:
    patches = sampler((1, 1, 1), label_weights=[0.0, 1.0])(subject(), 30)
    assert all(int(patch["mask"].data) == 1 for patch in patches)


def test_padding_is_air_and_255() -> None:
    """torchio pads label maps with 0, which means annotated background."""
    for patch in sampler((40, 40, 40))(subject(), 5):
        outside = patch["image"].data == -1024
        assert outside.sum() == 40**3 - np.prod(SHAPE)
        assert (patch["mask"].data[outside] == 255).all()
        inside = patch["mask"].data[~outside]
        assert (inside == 255).sum() == np.prod(SHAPE) * 17 // 20


def test_location_and_affine_are_those_of_the_crop() -> None:
    for patch in sampler((4, 4, 2))(subject(), 10):
        first = patch[tio.LOCATION][:3].numpy()
        assert patch["image"].affine[:3, 3] == pytest.approx(first * [2, 2, 5])
        k = first[2]
        expected = [value if 0 <= value < 20 else -1024 for value in (k, k + 1)]
        assert patch["image"].data[0].amax(dim=(0, 1)).tolist() == expected


def test_the_same_seed_draws_the_same_patches() -> None:
    assert places(sampler((4, 4, 1), 1)) == places(sampler((4, 4, 1), 1))
    assert places(sampler((4, 4, 1), 1)) != places(sampler((4, 4, 1), 2))


def test_subjects_and_epochs_have_different_draws() -> None:
    one = sampler((4, 4, 1))
    first, second = places(one), places(one)
    one.set_epoch(1)
    later = places(one)
    assert len({str(drawn) for drawn in (first, second, later)}) == 3
    one.set_epoch(0)
    assert places(one) == first


class Patches(Dataset):
    """Patches of one subject, drawn by the worker's copy of the sampler."""

    def __init__(self, length: int) -> None:
        self.sampler = sampler((4, 4, 1))
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> str:
        return str(places(self.sampler))


def test_no_two_workers_share_a_stream() -> None:
    first, second = (
        [one for batch in DataLoader(Patches(8), num_workers=2) for one in batch] for _ in range(2)
    )
    assert len(set(first)) == 8
    assert second == first


def test_persistent_workers_see_the_next_epoch() -> None:
    """Two epochs, and the second one again as after a resume."""
    whole, resumed = (epochs_of_a_worker(first) for first in (0, 1))
    assert whole[1] == resumed[0]
    assert len({*whole[0], *whole[1]}) == 4


def epochs_of_a_worker(first: int) -> list[list[str]]:
    patches = Patches(2)
    loader = DataLoader(patches, batch_size=None, num_workers=1, persistent_workers=True)
    drawn = []
    for epoch in range(first, 2):
        patches.sampler.set_epoch(epoch)
        drawn.append(list(loader))
    return drawn


def test_context_channels_repeat_the_outermost_slice() -> None:
    mask = np.full(SHAPE, 255, np.uint8)
    mask[..., 0] = mask[..., 9] = 1
    seen = set()
    for patch in sampler((4, 4, 1), context=2)(subject(mask), 20):
        assert patch["image"].shape == (5, 4, 4, 1)
        assert patch["mask"].shape == (1, 4, 4, 1)
        seen.add(tuple(patch["image"].data.amax(dim=(1, 2, 3)).tolist()))
    assert seen == {(0, 0, 0, 1, 2), (7, 8, 9, 10, 11)}


def test_pad_value_of_rescaled_images() -> None:
    one = subject()
    one.add_image(tio.ScalarImage(tensor=torch.ones(1, *SHAPE, dtype=torch.uint8)), "pet")
    one["pet"].affine = one["image"].affine
    cut = sampler((40, 40, 1), pad_value={"pet": 7, "image": -1.0})
    for patch in cut(one, 3):
        outside = patch["mask"].data == 255
        assert outside.sum() == 40 * 40 - SHAPE[0] * SHAPE[1]
        assert (patch["image"].data[outside] == -1).all()
        assert (patch["pet"].data[outside] == 7).all()
    with pytest.raises(UsageError, match="-1024 for the uint8 image 'pet', expected 0 to 255"):
        next(sampler((4, 4, 1))(one))


def test_patch_keeps_the_other_entries_of_its_subject() -> None:
    one = tio.RescaleIntensity((-1, 1))(tio.Subject(subject(), case_id="case_000", age=50))
    patch = next(sampler((4, 4, 1), pad_value=-1)(one))
    torchio_patch = next(tio.LabelSampler((4, 4, 1), "mask", {0: 1, 1: 1, 255: 0})(one, 1))
    assert patch.keys() == torchio_patch.keys()
    assert (patch["case_id"], patch.age) == ("case_000", 50)
    assert patch.shape == (1, 4, 4, 1)
    assert patch.applied_transforms == one.applied_transforms
    assert one.spatial_shape == SHAPE


@pytest.mark.parametrize("weights", [None, [0, 1]])
@pytest.mark.parametrize(
    "transform",
    [tio.ToCanonical(), tio.Resample((1.0, 1.0, 5.0)), tio.RandomAffine(degrees=(0,) * 4 + (5, 5))],
    ids=lambda transform: type(transform).__name__,
)
def test_label_map_may_be_of_floats(transform: tio.Transform, weights: list[float] | None) -> None:
    turned = transform(subject())
    turned["mask"].set_data(turned["mask"].data.float())
    patches = list(sampler((4, 4, 1), label_weights=weights)(turned, 20))
    centres = {float(patch["mask"].data[0, 2, 2, 0]) for patch in patches}
    assert centres == ({0.0, 1.0} if weights is None else {1.0})


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_values_between_labels_are_refused(value: float) -> None:
    blurred = subject()
    blurred["mask"].set_data(blurred["mask"].data.float())
    blurred["mask"].data[0, 0, 0, 3] = value
    with pytest.raises(UsageError, match=f"found {value:g} in 'mask', expected label ids"):
        next(sampler((4, 4, 1))(blurred))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 1, "size": (4, 4, 3)}, "context: found 1 with patches of 3 slices"),
        ({"label_weights": [1.0]}, "found 1, and label 1 in a subject, expected one for each"),
        ({"label_weights": [0, 0, 1.0]}, "found 0 for each label of a subject, 0, 1"),
        ({"label_weights": [1.0, -1.0]}, "found -1, expected numbers from 0 on"),
        ({"label_weights": [1.0, np.nan]}, "found nan, expected numbers from 0 on"),
        ({"label_weights": [0.0, 0.0]}, "found no weight above 0"),
    ],
)
def test_unusable_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(sampler(**({"size": (4, 4, 1)} | options))(subject()))


def test_sampler_works_with_torchio_queue() -> None:
    queue = tio.Queue(
        tio.SubjectsDataset([subject(), subject()]),
        max_length=8,
        samples_per_volume=4,
        sampler=sampler((6, 6, 1)),
        num_workers=0,
    )
    loader = tio.SubjectsLoader(queue, batch_size=4, num_workers=0)
    batches = list(loader)
    assert [batch["image"][tio.DATA].shape for batch in batches] == [(4, 1, 6, 6, 1)] * 2


def test_subject_without_annotation_is_refused() -> None:
    with pytest.raises(ValueError, match="found no annotated voxel in 'mask'"):
        next(sampler((4, 4, 1))(subject(np.full(SHAPE, 255, np.uint8))))
