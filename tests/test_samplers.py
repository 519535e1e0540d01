from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio
from case_folders import sparse_mask
from scipy import stats
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader, Dataset

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
    return AnnotatedPatchSampler(size, seed=seed, **options)


@pytest.mark.parametrize("size", [(4, 4, 1), (5, 3, 4), (32, 32, 32)])
def test_trap_every_patch_is_centred_on_an_annotated_voxel(size: tuple[int, int, int]) -> None:
    """torchio's LabelSampler centres patches on 255 by default."""
    for patch in sampler(size)(subject(), 40):
        assert patch.spatial_shape == size
        centre = patch["mask"].data[(0, *(n // 2 for n in size))]
        assert centre in (0, 1)


def test_labels_and_positions_are_drawn_evenly_however_rare() -> None:
    """Chi-square on the class drawn, and on the position within a class."""
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


def places(one: AnnotatedPatchSampler, count: int = 10) -> list[list[int]]:
    return [patch[tio.LOCATION].tolist() for patch in one(subject(), count)]


def test_the_same_seed_draws_the_same_patches() -> None:
    assert places(sampler((4, 4, 1), 1)) == places(sampler((4, 4, 1), 1))
    assert places(sampler((4, 4, 1), 1)) != places(sampler((4, 4, 1), 2))


def test_subjects_and_epochs_have_draws_of_their_own() -> None:
    one = sampler((4, 4, 1))
    first, second = places(one), places(one)
    one.set_epoch(1)
    later = places(one)
    assert len({str(drawn) for drawn in (first, second, later)}) == 3
    one.set_epoch(0)
    assert places(one) == first


class _Patches(Dataset):
    """Every item is the same subject, cut by the worker's copy of the sampler."""

    def __init__(self) -> None:
        self.sampler = sampler((4, 4, 1))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> str:
        return str(places(self.sampler))


def test_no_two_workers_share_a_stream() -> None:
    drawn = [one for batch in DataLoader(_Patches(), num_workers=2) for one in batch]
    assert len(set(drawn)) == 8
    assert drawn == [one for batch in DataLoader(_Patches(), num_workers=2) for one in batch]


def _first_places(rank: int, results: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{results}/meet", rank=rank, world_size=2
    )
    Path(results, f"{rank}.txt").write_text(str(places(sampler((4, 4, 1)))))
    distributed.destroy_process_group()


def test_no_two_ranks_share_a_stream(tmp_path: Path) -> None:
    multiprocessing.spawn(_first_places, (str(tmp_path),), nprocs=2)
    one, other = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert one != other


def test_context_comes_as_channels_repeated_at_the_ends() -> None:
    mask = np.full(SHAPE, 255, np.uint8)
    mask[..., 0] = mask[..., 9] = 1
    seen = set()
    for patch in sampler((4, 4, 1), context=2)(subject(mask), 20):
        assert patch["image"].shape == (5, 4, 4, 1)
        assert patch["mask"].shape == (1, 4, 4, 1)
        seen.add(tuple(patch["image"].data.amax(dim=(1, 2, 3)).tolist()))
    assert seen == {(0, 0, 0, 1, 2), (7, 8, 9, 10, 11)}


def test_context_is_for_flat_patches() -> None:
    with pytest.raises(ValueError, match="context: found 1 with patches of 3 slices"):
        sampler((4, 4, 3), context=1)


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
