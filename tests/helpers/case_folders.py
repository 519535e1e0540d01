"""Small SAROS folders worked out by hand, for tests that need to know every voxel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saros_hf.cases.case import Case
from saros_hf.cases.table import TABLE_NAME, write_case_table
from saros_hf.check.paper_tables import TABLE_1
from saros_hf.folds import FOLDS, Fold
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume

LPS = np.diag([-2.0, -2.0, 5.0, 1.0])


def case(case_id: str, fold: Fold = "fold-2", *, orientation: str = "LPS") -> Case:
    """Return a row of the case table."""
    return Case(
        case_id=case_id,
        study_instance_uid="1.2.3",
        series_instance_uid=f"1.2.3.{int(case_id[-3:]) + 1}",
        collection="C4KC-KiTS",
        patient_id=f"P-{case_id}",
        sex="female",
        anatomic_region="abdomen",
        has_breast_implant=False,
        orientation=orientation,
        fold=fold,
    )


def sparse_mask(shape: tuple[int, int, int], annotated: list[int]) -> NDArray[np.uint8]:
    """Return 255 everywhere but in ``annotated`` slices: there 0, and 1 where i < I / 2."""
    mask = np.full(shape, 255, np.uint8)
    for k in annotated:
        mask[..., k] = 0
        mask[: shape[0] // 2, :, k] = 1
    return mask


def write_case(
    folder: Path,
    case_id: str,
    *,
    shape: tuple[int, int, int] = (8, 6, 7),
    annotated: list[int] | None = None,
    affine: NDArray[np.float64] = LPS,
) -> Path:
    """Write a case whose voxel (i, j, k) has 100 i + 10 j + k HU, and return its folder."""
    i, j, k = np.indices(shape)
    image = (100 * i + 10 * j + k).astype(np.int16)
    mask = sparse_mask(shape, [1, 5] if annotated is None else annotated)
    case_folder = folder / case_id
    write_volume(case_folder / "image.nii.gz", Volume(image, affine))
    write_volume(case_folder / "body-regions.nii.gz", Volume(mask, affine))
    write_volume(case_folder / "body-parts.nii.gz", Volume(mask, affine))
    return case_folder


def write_folder(folder: Path, folds: tuple[Fold, ...] = ("fold-2", "fold-1", "test")) -> Path:
    """Write one case per fold named, with the case table, and return the folder."""
    cases = [case(f"case_{number:03d}", fold) for number, fold in enumerate(folds)]
    for one in cases:
        write_case(folder, one.case_id)
    write_case_table(folder / TABLE_NAME, cases)
    return folder


def published_cases() -> list[Case]:
    """Return 900 rows of the case table with the collections and regions of the paper."""
    places = [
        (collection, region)
        for collection, numbers in TABLE_1.items()
        for region, number in zip(("abdomen", "thorax", "wholebody"), numbers, strict=True)
        for _ in range(number)
    ]
    return [
        replace(case(f"case_{n:03}", FOLDS[n % 6]), collection=collection, anatomic_region=region)
        for n, (collection, region) in enumerate(places)
    ]
