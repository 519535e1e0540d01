import numpy as np
import pytest
import torch
import torchio as tio
from case_folders import sparse_mask

from training.samplers import AnnotatedPatchSampler

SHAPE = (12, 10, 20)
ANNOTATED = [3, 8, 14]


def subject(mask: np.ndarray | None = None) -> tio.Subject:
    mask = sparse_mask(SHAPE, ANNOTATED) if mask is None else mask
    image = np.indices(mask.shape)[2].astype(np.float32)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    return tio.Subject(
        image=tio.ScalarImage(tensor=torch.from_numpy(image)[None], affine=affine),
        mask=tio.LabelMap(tensor=torch.from_numpy(mask)[None], affine=affine),
    )


def sampler(size: tuple[int, int, int], seed: int = 0, **options: object) -> AnnotatedPatchSampler:
    return AnnotatedPatchSampler(size, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("size", [(4, 4, 1), (5, 3, 4), (32, 32, 32)])
def test_trap_every_patch_is_centred_on_an_annotated_voxel(size: tuple[int, int, int]) -> None:
    """torchio's LabelSampler centres patches on 255 by default."""
    for patch in sampler(size)(subject(), 40):
        assert patch.spatial_shape == size
        centre = patch["mask"].data[(0, *(n // 2 for n in size))]
        assert centre in (0, 1)


def test_labels_are_drawn_evenly_however_rare() -> None:
    mask = np.full((20, 20, 3), 255, np.uint8)
    mask[..., 1] = 0
    mask[5:15, 5:15, 1] = 1
    mask[3, 3, 1] = 2  # one voxel in 400
    centres = [
        int(patch["mask"].data[0, 2, 2, 0]) for patch in sampler((4, 4, 1))(subject(mask), 600)
    ]
    counts = np.bincount(centres, minlength=3)
    # Each count is binomial (600, 1/3): mean 200, deviation 11.5; five deviations.
    assert (np.abs(counts - 200) < 58).all()


def test_weights_change_how_often_a_label_is_drawn() -> None:
    patches = sampler((1, 1, 1), label_weights=[0.0, 1.0])(subject(), 30)
    assert all(int(patch["mask"].data) == 1 for patch in patches)


def test_trap_what_lies_outside_is_air_and_255_not_background() -> None:
    """torchio pads label maps with 0, which means annotated background."""
    for patch in sampler((40, 40, 40))(subject(), 5):
        outside = patch["image"].data == -1024
        assert outside.sum() == 40**3 - np.prod(SHAPE)
        assert (patch["mask"].data[outside] == 255).all()
        inside = patch["mask"].data[~outside]
        assert (inside == 255).sum() == np.prod(SHAPE) * 17 // 20


def test_a_patch_knows_where_it_came_from() -> None:
    for patch in sampler((4, 4, 2))(subject(), 10):
        first = patch[tio.LOCATION][:3].numpy()
        assert patch["image"].affine[:3, 3] == pytest.approx(first * [2, 2, 5])
        k = first[2]
        expected = [value if 0 <= value < 20 else -1024 for value in (k, k + 1)]
        assert patch["image"].data[0].amax(dim=(0, 1)).tolist() == expected


def test_the_same_seed_draws_the_same_patches() -> None:
    def places(seed: int) -> list[list[int]]:
        return [p[tio.LOCATION].tolist() for p in sampler((4, 4, 1), seed)(subject(), 10)]

    assert places(1) == places(1) != places(2)


def test_it_feeds_torchios_queue() -> None:
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


def test_a_subject_without_annotation_is_refused() -> None:
    with pytest.raises(ValueError, match="found no annotated voxel in 'mask'"):
        next(sampler((4, 4, 1))(subject(np.full(SHAPE, 255, np.uint8))))
