from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.patch_batches import WINDOW, only, ramps, smooth_batch
from helpers.per_patch_augmentation import PerPatchAugmentation
from scipy import ndimage, stats
from torch.nn import functional

from saros_hf.errors import UsageError
from saros_hf.labels import MIRRORED_PARTS, BodyPart
from training.data.patch_batches import PatchBatch
from training.transforms import (
    Augmentation,
    BatchedAugmentation,
    Normalisation,
    normalise_hu,
    swap_labels,
)

FORMS = [BatchedAugmentation, PerPatchAugmentation]
NOWHERE = torch.zeros(12, 2)


def test_the_window_maps_to_minus_one_and_one() -> None:
    hu = torch.tensor([-3000, -250, 50, 350, 3000], dtype=torch.int16)
    assert normalise_hu(hu, WINDOW).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert hu[0] == -3000
    as_float = hu.float()
    assert normalise_hu(as_float, WINDOW).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert as_float[0] == -3000


@pytest.mark.parametrize("depth", [None, 3])
@pytest.mark.parametrize("form", FORMS)
def test_without_changes_patches_are_only_normalised(form: type, depth: int | None) -> None:
    batch = smooth_batch(depth=depth)
    out = form(only(), WINDOW)(batch)
    plain = Normalisation(WINDOW)(batch)
    torch.testing.assert_close(out.image, plain.image, atol=1e-5, rtol=0)
    for task, mask in batch.masks.items():
        assert torch.equal(out.masks[task], mask)


@pytest.mark.parametrize("form", FORMS)
def test_augmentation_is_a_function_of_the_seed(form: type) -> None:
    augment = form(Augmentation(), WINDOW)
    batch = smooth_batch()
    before = torch.get_rng_state()
    first = augment(batch)
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is untouched
    assert torch.equal(augment(batch).image, first.image)
    assert not torch.equal(augment(replace(batch, seed=6)).image, first.image)
    assert batch.image.dtype == torch.int16
    assert first.image.dtype == torch.float32
    assert -1 <= first.image.min() <= first.image.max() <= 1


def both(augmentation: Augmentation, batch: PatchBatch) -> tuple[PatchBatch, PatchBatch]:
    return (
        PerPatchAugmentation(augmentation, WINDOW)(batch),
        BatchedAugmentation(augmentation, WINDOW)(batch),
    )


EXACT = {
    "flip": {"flip_share": 1},
    "affine": {"affine_share": 1, "degrees": 35, "scale": 0.3},
    "gamma": {"gamma_share": 1},
    "blur": {"blur_share": 1, "blur_voxels": 2},
    "low resolution": {"low_resolution_share": 1},
    "flip and affine": {"flip_share": 0.5, "affine_share": 0.7},
    "all values": {"gamma_share": 0.5, "blur_share": 0.5, "low_resolution_share": 0.5},
}


@pytest.mark.parametrize("depth", [None, 3])
@pytest.mark.parametrize("name", EXACT)
def test_both_forms_do_the_same_to_the_same_batch(name: str, depth: int | None) -> None:
    for seed in (5, 6, 7):
        torchio, batched = both(only(**EXACT[name]), smooth_batch(seed, depth=depth))
        # TorchIO paints the outermost voxel of a coarser patch with its minimum.
        inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
        torch.testing.assert_close(batched.image[inner], torchio.image[inner], atol=2e-4, rtol=0)
        for task, mask in torchio.masks.items():
            differing = (mask != batched.masks[task]).float().mean()
            assert differing < 1e-3  # places half-way between two voxels


def test_blur_may_be_wider_than_the_patch() -> None:
    """SciPy mirrors repeatedly if the patch is small."""
    blur = only(blur_share=1, blur_voxels=9)
    batch = smooth_batch(shape=(7, 10))
    out = BatchedAugmentation(blur, WINDOW)(batch)
    unit = (Normalisation(WINDOW)(batch).image[:, 0].numpy() + 1) / 2
    widths = blur.draw(batch.seed, len(unit)).blur
    assert widths.max() * 4 > 2 * 10
    expected = [ndimage.gaussian_filter(one, std) for one, std in zip(unit, widths, strict=True)]
    torch.testing.assert_close(
        (out.image[:, 0] + 1) / 2, torch.from_numpy(np.stack(expected)), atol=1e-5, rtol=0
    )


def test_patches_of_a_single_voxel() -> None:
    out = BatchedAugmentation(Augmentation(), WINDOW)(smooth_batch(shape=(1, 1), count=64))
    assert out.image.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1.5}, r"augmentation.scale: found 1.5, expected 0 to 0.9. The default is 0.15"),
        ({"flip_share": 1.1}, "flip_share: found 1.1, expected 0 to 1"),
        ({"noise_std": -0.1}, "noise_std: found -0.1, expected 0 or more"),
        ({"degrees": float("nan")}, "degrees: found nan, expected 0 to 180"),
        ({"low_resolution_factor": 0.5}, "found 0.5, expected 1 or more"),
    ],
)
def test_bad_ranges_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation(**options)


@pytest.mark.parametrize("depth", [None, 3])
def test_both_forms_deform_alike(depth: int | None) -> None:
    bend = only(elastic_share=1, elastic_voxels=8)
    torchio, batched = both(bend, smooth_batch(depth=depth))
    still = Normalisation(WINDOW)(smooth_batch(depth=depth))
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    difference = (torchio.image - batched.image)[inner].abs()
    assert difference.max() < 0.02
    assert (still.image - batched.image)[inner].abs().mean() > 0.1
    for task, mask in torchio.masks.items():
        assert (mask != batched.masks[task]).float().mean() < 5e-3


def test_one_resampling_stays_within_a_voxel_of_two() -> None:
    """TorchIO rounds labels after the affine and again after the elastic part."""
    move = only(affine_share=1, elastic_share=1, flip_share=0.5)
    for seed in range(4):
        torchio, batched = both(move, smooth_batch(seed))
        mask, other = (b.masks["body-parts"].numpy() for b in (torchio, batched))
        near = ndimage.maximum_filter(mask, (0, 3, 3)) != ndimage.minimum_filter(mask, (0, 3, 3))
        inner = (slice(None), slice(3, -3), slice(3, -3))
        assert ((mask != other) & ~near)[inner].mean() < 2e-3
        assert (mask != other).mean() < 0.12


def test_both_forms_agree_statistically() -> None:
    """Two-sample Kolmogorov-Smirnov tests of patch statistics, over different seeds."""
    measured: dict[str, list[list[float]]] = {"mean": [], "spread": [], "grain": [], "labels": []}
    for form, seeds in zip(FORMS, (range(40), range(100, 140)), strict=True):
        augment = form(Augmentation(), WINDOW)
        outs = [augment(replace(smooth_batch(1, count=8), seed=seed)) for seed in seeds]
        image = torch.cat([out.image[:, 0] for out in outs])
        mask = torch.cat([out.masks["body-parts"] for out in outs])
        measured["mean"].append(image.mean((1, 2)).tolist())
        measured["spread"].append(image.std((1, 2)).tolist())
        measured["grain"].append((image[:, 1:] - image[:, :-1]).abs().mean((1, 2)).tolist())
        measured["labels"].append((mask == 255).float().mean((1, 2)).tolist())
    for one, other in measured.values():
        assert stats.ks_2samp(one, other).pvalue > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_stronger_noise_is_detected(form: type) -> None:
    """The statistics above are sensitive to the augmentation."""
    grain = []
    for augmentation in (Augmentation(), Augmentation(noise_std=0.05, noise_share=0.8)):
        outs = [form(augmentation, WINDOW)(smooth_batch(seed, count=8)) for seed in range(40)]
        image = torch.cat([out.image[:, 0] for out in outs])
        grain.append((image[:, 1:] - image[:, :-1]).abs().mean((1, 2)).tolist())
    assert stats.ks_2samp(*grain).pvalue < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_noise_has_zero_mean_and_the_drawn_deviation(form: type) -> None:
    batch = PatchBatch(
        image=torch.full((12, 1, 64, 64), 50, dtype=torch.int16),
        masks={"body-regions": torch.zeros(12, 64, 64, dtype=torch.uint8)},
        position=NOWHERE,
        seed=3,
    )
    augmentation = only(noise_share=1, noise_std=0.05)
    out = form(augmentation, WINDOW)(batch).image / 2  # the window is 1 wide, not 2
    drawn = torch.from_numpy(augmentation.draw(3, 12).noise).float()
    # Of 4096 voxels each, the deviation is known to 1.1 %, the mean to 1/64 of the deviation.
    torch.testing.assert_close(out.std((1, 2, 3)), drawn, rtol=0.06, atol=0)
    assert (out.mean((1, 2, 3)).abs() < 5 * drawn / 64).all()


def test_draws_have_the_given_ranges_and_frequencies() -> None:
    draws = Augmentation().draw(0, 20_000)
    shares = {
        0.5: draws.flip,
        0.7: draws.degrees != 0,
        0.2: draws.control.any(axis=(1, 2, 3)),
        0.3: draws.gamma != 1,
        0.4: draws.noise > 0,
    }
    for share, happened in shares.items():
        assert happened.mean() == pytest.approx(share, abs=0.02)
    assert np.abs(draws.degrees).max() == pytest.approx(10, abs=0.1)
    assert np.abs(draws.scale - 1).max() == pytest.approx(0.15, abs=0.01)
    assert draws.coarse_factor.max() == pytest.approx(2, abs=0.01)
    assert not draws.control[:, :2].any()
    assert not draws.control[:, :, -2:].any()


def test_swapping_twice_restores_the_labels() -> None:
    mask = torch.tensor([*range(7), 255], dtype=torch.uint8)
    swapped = swap_labels(mask, MIRRORED_PARTS)
    assert swapped.tolist() == [0, 1, 2, 4, 3, 6, 5, 255]
    assert torch.equal(swap_labels(swapped, MIRRORED_PARTS), mask)


@pytest.mark.parametrize("form", FORMS)
def test_trap_flip_swaps_left_and_right_labels(form: type) -> None:
    parts = torch.zeros(1, 6, 2, dtype=torch.uint8)
    parts[0, 0], parts[0, -1], parts[0, 2] = BodyPart.ARM_LEFT, BodyPart.ARM_RIGHT, BodyPart.TORSO
    image = torch.arange(12, dtype=torch.int16).reshape(1, 1, 6, 2)
    batch = PatchBatch(image, {"body-parts": parts, "body-regions": parts.clone()}, NOWHERE, 0)
    out = form(only(flip_share=1), (0.0, 11.0))(batch)
    # RAS+: index 0 is the patient's left; after the flip the arm there is again the left one.
    assert out.masks["body-parts"][0, :, 0].tolist() == [
        BodyPart.ARM_LEFT, 0, 0, BodyPart.TORSO, 0, BodyPart.ARM_RIGHT,
    ]  # fmt: skip
    assert out.masks["body-regions"][0, 0, 0] == BodyPart.ARM_RIGHT  # a region has no side
    values = (out.image[0, 0, :, 0] + 1) * 5.5
    assert values.tolist() == pytest.approx([10, 8, 6, 4, 2, 0], abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_trap_no_annotated_voxel_appears_in_an_unannotated_place(form: type) -> None:
    """The image encodes where each voxel came from; its label there must be the same."""
    moves = only(affine_share=0.8, degrees=30, scale=0.3, elastic_share=0.8, flip_share=0.5)
    came_in = 0
    for seed in range(6):
        batch = ramps(seed)
        truth = batch.masks["body-regions"][0]
        out = form(moves, (0.0, 500.0))(batch)
        mask = out.masks["body-regions"]
        place = (out.image + 1) * 25 - 1  # 500 / 2 / 10
        outside = (out.image == -1).all(1)
        # Beside air, TorchIO's second interpolation mixes it in: no telling the place there.
        beside = functional.max_pool2d(functional.pad(outside.float(), [3] * 4, value=1.0), 7, 1)
        known = beside == 0
        annotated = (mask != 255) & known
        assert annotated.any()
        i, j = place[:, 0][annotated], place[:, 1][annotated]
        # Labels are rounded twice in TorchIO's form: at most 1.5 voxels off.
        assert (i < 24 - 0.5 + 1.01).all()
        candidates = torch.stack(
            [
                truth[(i + di).round().long().clamp(0, 23), (j + dj).round().long().clamp(0, 47)]
                for di in (-1, 0, 1)
                for dj in (-1, 0, 1)
            ]
        )
        assert (candidates == mask[annotated]).any(0).all()
        # What turned in from outside, but for its mixed edge, is air and is not annotated.
        well_outside = functional.max_pool2d(1 - outside.float(), 3, 1, 1) == 0
        assert (mask[well_outside] == 255).all()
        came_in += int(outside.sum())
    assert came_in > 1000


@pytest.mark.parametrize("form", FORMS)
def test_trap_augmentation_stays_in_the_axial_plane(form: type) -> None:
    mask = torch.full((4, 32, 32, 5), 255, dtype=torch.uint8)
    mask[..., 2] = 1
    image = torch.zeros(4, 1, 32, 32, 5, dtype=torch.int16)
    image[..., 2] = 100
    batch = PatchBatch(image, {"body-regions": mask}, NOWHERE, 1)
    out = form(only(affine_share=1, elastic_share=1, flip_share=0.5), (0.0, 100.0))(batch)
    moved = out.masks["body-regions"]
    assert (moved[..., [0, 1, 3, 4]] == 255).all()
    assert (moved[..., 2] == 1).any()
    assert (out.image[..., [0, 1, 3, 4]] == -1).all()
