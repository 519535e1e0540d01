"""Real CT through a full download; SimpleITK is the oracle."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from helpers.archive_world import CASE_IDS, World
from helpers.archives import Archives
from helpers.case_folders import case

from saros_hf.acquire.download import SourceName
from saros_hf.archive.local_files import open_source
from saros_hf.archive.retry import Patience
from saros_hf.cases.table import write_case_table
from saros_hf.dicom import find_series
from saros_hf.labels import TASKS
from saros_hf.nifti import read_image, read_mask


def authors_image(folder: Path) -> sitk.Image:
    """Return what the authors' script makes of a series."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    columns, rows, slices = image.GetSize()
    x_mm, y_mm, z_mm = image.GetSpacing()
    return sitk.Resample(
        image,
        (columns, rows, round(slices * z_mm / 5)),
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (x_mm, y_mm, 5.0),
        image.GetDirection(),
    )


def real_world(root: Path, real_data: Path) -> tuple[World, dict[str, sitk.Image]]:
    """Put three real series into the archives, with label maps as the authors' tools write them."""
    names = ("dicom-abdomen-2mm", "dicom-chest-3mm.zip", "dicom-liver-5mm.zip")
    cases, expected = [], {}
    for case_id, name in zip(CASE_IDS, names, strict=True):
        folder = root / "dicom" / case_id
        folder.mkdir(parents=True)
        with open_source(real_data / name) as files:
            (series,) = find_series(files.paths).series
            for number, slice_ in enumerate(series.slices):
                shutil.copyfile(slice_.path, folder / f"{number}.dcm")
        cases.append(replace(case(case_id, "fold-1"), series_instance_uid=series.uid))
        expected[case_id] = authors_image(folder)
    world = World(root, tuple(cases))
    write_case_table(world.table, cases)
    with zipfile.ZipFile(world.masks, "w") as packed:
        for case_id, image in expected.items():
            for task in TASKS:
                path = root / f"{case_id}-{task}.nii.gz"
                sitk.WriteImage(sitk.Cast(image * 0, sitk.sitkUInt8), path, True)
                packed.write(path, f"SAROS/{case_id}/{task}.nii.gz")
    return world, expected


@pytest.mark.slow
@pytest.mark.parametrize("source", ["idc", "nbia"])
def test_downloaded_voxels_of_real_ct_equal_simpleitks(
    tmp_path: Path, real_data: Path, source: SourceName
) -> None:
    world, expected = real_world(tmp_path / "archives", real_data)
    with Archives(world, tmp_path / "saros") as archives:
        archives.patience = Patience(stall_s=30)
        assert [(one.status, one.reason) for one in archives.download(source)] == [
            ("written", "")
        ] * 3
    for case_id, image in expected.items():
        found = read_image(tmp_path / "saros" / case_id / "image.nii.gz")
        np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(image).T)
        for task in TASKS:
            mask = read_mask(tmp_path / "saros" / case_id / f"{task}.nii.gz", task)
            np.testing.assert_array_equal(mask.affine, found.affine)
