"""Pitfalls of sparsely annotated CT, one test each; some show the failure in other packages."""

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import torchio as tio
from helpers.case_folders import case, sparse_mask, write_case, write_folder
from helpers.dicom_files import flat_slices, write_series
from torch.nn import functional
from torchmetrics.segmentation import DiceScore

import saros_hf
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.check.case_checks import CtSummary, check_case
from saros_hf.ct import read_ct
from saros_hf.dicom import find_series, read_series
from saros_hf.nifti import read_image, write_volume
from saros_hf.volume import Volume
from training.functional import surface_dice_per_class
from training.losses import SparseSegmentationLoss
from training.metrics import SparseDice
from training.samplers import AnnotatedPatchSampler
from training.transforms import normalise_hu

SHAPE = (16, 16, 30)


def subject(mask: np.ndarray) -> tio.Subject:
    image = torch.zeros(1, *mask.shape)
    return tio.Subject(
        image=tio.ScalarImage(tensor=image), mask=tio.LabelMap(tensor=torch.from_numpy(mask)[None])
    )


def hits(sampler: tio.data.PatchSampler, mask: np.ndarray) -> int:
    patches = sampler(subject(mask), 40)
    return sum(bool((patch["mask"].data != 255).any()) for patch in patches)


def test_sampler_does_not_count_255_as_foreground() -> None:
    torch.manual_seed(0)
    mask = sparse_mask(SHAPE, [4, 14, 24])
    assert hits(tio.LabelSampler((4, 4, 1), "mask"), mask) < 20
    assert hits(AnnotatedPatchSampler((4, 4, 1)), mask) == 40


def test_sampler_weights_are_per_class_not_per_voxel() -> None:
    mask = sparse_mask(SHAPE, [4])
    mask[0, 0, 4] = 2  # against 127 and 128 voxels of 1 and 0
    patches = AnnotatedPatchSampler((1, 1, 1), label_weights=[1, 1, 2])(subject(mask), 400)
    drawn = np.bincount([int(patch["mask"].data) for patch in patches], minlength=3)
    # Binomial (400, 1/2): 200 with a deviation of 10.
    assert abs(drawn[2] - 200) < 50
    assert int(tio.__version__.split(".")[0]) < 2


def test_padding_is_255_not_annotated_background() -> None:
    mask = sparse_mask(SHAPE, [4])
    padded = tio.CropOrPad((24, 24, 30))(subject(mask))["mask"].data
    assert (padded[0, :2] == 0).all()
    for patch in AnnotatedPatchSampler((24, 24, 1))(subject(mask), 10):
        outside = patch["image"].data == -1024
        assert outside.any()
        assert (patch["mask"].data[outside] == 255).all()


def test_dice_ignores_255() -> None:
    truth = torch.tensor([[[0, 1], [1, 255]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1], [0, 1]]], dtype=torch.uint8)
    with pytest.raises((RuntimeError, ValueError)):
        DiceScore(2, input_format="index")(predicted.long(), truth.long())
    dice = SparseDice(2)
    dice.update(predicted, truth)
    assert dice.compute().tolist() == pytest.approx([2 / 3, 2 / 3])


def test_loss_is_finite_without_annotation() -> None:
    logits = torch.zeros(2, 3, 4, 4, requires_grad=True)
    target = torch.full((2, 4, 4), 255)
    assert functional.cross_entropy(logits, target, ignore_index=255).isnan()
    loss = SparseSegmentationLoss(class_weights=[1.0] * 3)(logits, target)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_array_axes_and_spacing_have_the_same_order(tmp_path: Path) -> None:
    # 3 rows at 0.75 mm and 4 columns at 0.5 mm: DICOM counts rows (y) first, SimpleITK x first.
    slices = flat_slices(1, 2, 4, 7, 9)
    write_series(tmp_path, slices, spacing_mm=2.0, PixelSpacing=[0.75, 0.5])
    volume = read_ct(tmp_path)
    assert volume.shape == (4, 3, 5)
    assert volume.spacing_mm == (0.5, 0.75, 2.0)


def _surface_dice(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: tuple[float, ...], protocol: str
) -> float:
    options = {"spacing_mm": spacing_mm, "num_classes": 2, "protocol": protocol}
    return float(surface_dice_per_class(predicted, truth, **options)[1])


def _squares(shift: int) -> tuple[np.ndarray, np.ndarray]:
    truth = np.full((40, 40, 30), 255, np.uint8)
    truth[..., 4::10] = 0
    truth[10:30, 10:30, 4::10] = 1
    predicted = np.zeros_like(truth)
    predicted[10 + shift : 30 + shift, 10:30] = 1
    return predicted, truth


def test_swapped_spacing_raises_the_surface_score() -> None:
    predicted, truth = _squares(2)
    correct, swapped = (
        _surface_dice(predicted, truth, (5.0, 5.0, 1.0), protocol)
        for protocol in ("volume", "published")
    )
    assert swapped > correct


def test_flat_faces_raise_the_surface_score() -> None:
    predicted, truth = _squares(5)
    volume, contours = (
        _surface_dice(predicted, truth, (1.0, 1.0, 5.0), protocol)
        for protocol in ("volume", "slice")
    )
    assert volume > 0.85
    assert contours < 0.6


def test_dataset_loads_without_a_script(tmp_path: Path) -> None:
    script = tmp_path / "saros.py"
    script.write_text("import datasets\n")
    with pytest.raises(RuntimeError, match="scripts are no longer supported"):
        datasets.load_dataset(str(script))
    folder = write_folder(tmp_path / "data")
    rows = datasets.load_dataset("saros", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert len(rows["train"]) == 1


@pytest.mark.parametrize(("slices", "spacing", "expected"), [(11, 2.5, 6), (9, 3.0, 5)])
def test_resampling_rounds_the_slice_count(
    tmp_path: Path, slices: int, spacing: float, expected: int
) -> None:
    """11 x 2.5 / 5 = 5.5 and 9 x 3 / 5 = 5.4 slices; truncated, both would be 5."""
    write_series(tmp_path, flat_slices(*range(slices)), spacing_mm=spacing)
    (series,) = find_series(sorted(tmp_path.iterdir())).series
    assert read_series(series, spacing_mm=5.0).shape[2] == expected


def test_abnormal_hounsfield_units_are_reported_not_changed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", ("fold-2",))
    path = folder / "case_000" / "image.nii.gz"
    stored = read_image(path)
    array = stored.array.copy()
    array[0, 0, 0] = -3000
    write_volume(path, Volume(array, stored.affine))
    summary = CtSummary(stored, int(array.min()), int(array.max()))
    (finding,) = check_case(case("case_000"), ct=summary, regions=None, parts=None)
    assert (finding.check, finding.severity) == ("hu-range", "note")
    assert read_image(path).array.min() == -3000
    assert normalise_hu(torch.from_numpy(array), (-250.0, 350.0)).min() == -1


def test_licence_follows_the_case(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    open_, signed = case("case_000"), replace(case("case_001"), collection="HNSCC")
    assert (open_.license, signed.license) == ("CC BY 3.0", "NIH controlled access")
    for one in (open_, signed):
        write_case(folder, one.case_id)
    write_case_table(folder / TABLE_NAME, [open_, signed])
    options = {"data_dir": folder, "cache_dir": str(tmp_path / "cache")}
    everything = saros_hf.load_dataset(**options)["train"]
    assert set(everything["license"]) == {"CC BY 3.0", "NIH controlled access"}
    assert saros_hf.load_dataset(licenses=["CC BY 3.0"], **options)["train"]["case_id"][:] == [
        "case_000"
    ]
