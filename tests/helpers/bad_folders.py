"""Functions that damage a folder of cases, with the error each must raise and part of its text."""

import shutil
from pathlib import Path

import numpy as np

from saros_hf.errors import (
    GridMismatchError,
    MissingFileError,
    TableError,
    UnknownLabelError,
    UnreadableFileError,
)
from saros_hf.nifti import read_mask, write_volume
from saros_hf.volume import Volume


def remove_image(folder: Path) -> None:
    (folder / "case_001" / "image.nii.gz").unlink()


def crop_mask(folder: Path) -> None:
    path = folder / "case_001" / "body-regions.nii.gz"
    mask = read_mask(path, "body-regions")
    write_volume(path, Volume(mask.array[..., 1:], mask.affine))


def unknown_label(folder: Path) -> None:
    path = folder / "case_001" / "body-parts.nii.gz"
    mask = read_mask(path, "body-parts")
    write_volume(
        path, Volume(np.where(mask.array == 1, 99, mask.array).astype(np.uint8), mask.affine)
    )


def truncate(folder: Path) -> None:
    path = folder / "case_001" / "image.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])


def bad_row(folder: Path) -> None:
    path = folder / "Segmentation-Info.csv"
    path.write_text(path.read_text().replace("abdomen", "belly", 1))


def folder_without_row(folder: Path) -> None:
    shutil.copytree(folder / "case_000", folder / "case_777")


BAD_FOLDERS = [
    (remove_image, MissingFileError, "case_001/image.nii.gz: found case_001 without image.nii.gz"),
    (crop_mask, GridMismatchError, "case_001/body-regions.nii.gz: found shape (8, 6, 6)"),
    (unknown_label, UnknownLabelError, "case_001/body-parts.nii.gz: found label 99"),
    (truncate, UnreadableFileError, "case_001/image.nii.gz: found a file that is cut short"),
    (bad_row, TableError, "line 2: found anatomic_region = 'belly'"),
    (folder_without_row, TableError, "case_777: found 1 case folder(s) without a row"),
]
