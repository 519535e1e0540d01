"""The whole command against archives on loopback."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from helpers.archive_world import CASE_IDS, World, finished
from helpers.archives import Archives
from helpers.case_folders import case

from saros_hf.acquire.download import SourceName
from saros_hf.acquire.plan import Selection
from saros_hf.archive.local_files import open_source
from saros_hf.archive.retry import Patience
from saros_hf.cases.table import write_case_table
from saros_hf.dicom import find_series
from saros_hf.errors import UsageError
from saros_hf.labels import TASKS
from saros_hf.nifti import read_image, read_mask
from training.cli import main


@pytest.mark.parametrize("source", ["idc", "nbia"])
def test_complete_cases_are_not_fetched_again(archives: Archives, source: SourceName) -> None:
    assert [one.status for one in archives.download(source)] == ["written"] * 3
    assert finished(archives.folder) == list(CASE_IDS)
    names = {path.name for path in archives.folder.iterdir()}
    assert names == {
        *CASE_IDS,
        "Segmentation-Info.csv",
        "SAROS-Collection-NIfTI-files-v2_03-70-2024.zip",
    }
    archives.s3.fetched()
    archives.web.requests.clear()
    assert [one.status for one in archives.download(source)] == ["kept"] * 3
    assert archives.s3.fetched() == []
    assert [one.path for one in archives.web.requests] == ["/uploads/Segmentation-Info.csv"]


def test_dicom_is_kept_on_request(archives: Archives) -> None:
    archives.download("idc")
    before = (archives.folder / "case_001" / "image.nii.gz").stat().st_mtime_ns
    archives.keep_dicom = True
    assert [one.status for one in archives.download("idc")] == ["written"] * 3
    for case_id in CASE_IDS:
        kept = sorted(path.read_bytes() for path in (archives.folder / case_id / "dicom").iterdir())
        assert kept == sorted(path.read_bytes() for path in archives.world.series(case_id))
    assert (archives.folder / "case_001" / "image.nii.gz").stat().st_mtime_ns == before
    assert [one.status for one in archives.download("idc")] == ["kept"] * 3


def test_dry_run_fetches_only_the_table(
    archives: Archives, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["download", *archives.arguments(), "--dry-run", "--limit", "2"])
    assert "public" in capsys.readouterr().out
    assert not archives.folder.exists()
    assert archives.s3.requests == []
    assert [one.path for one in archives.web.requests] == ["/uploads/Segmentation-Info.csv"]


def test_dry_run_over_the_published_cases(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = real_data / "archive"
    main(
        [
            "download",
            str(tmp_path / "saros"),
            "--dry-run",
            "--table",
            str(archive / "segmentation-info-reconstructed.csv"),
            "--index",
            str(archive / "idc-v25-saros-public-series.parquet"),
        ]
    )
    rows = [line.split() for line in capsys.readouterr().out.replace("│", " ").splitlines()]
    assert ["public", "726", "72.9"] in rows
    assert ["controlled", "access", "174", "-"] in rows
    assert ["QIN-HEADNECK", "NIH", "controlled", "access", "94", "-", "controlled"] in rows
    assert not (tmp_path / "saros").exists()


def test_withheld_cases_are_listed_until_converted(
    archives: Archives, capsys: pytest.CaptureFixture[str]
) -> None:
    archives.write_index(without=["case_002"])
    main(["download", *archives.arguments()])
    output = capsys.readouterr().out
    assert "2 written, 1 under controlled access" in output
    assert "phs004225" in output
    with pytest.raises(SystemExit) as ended:
        main(["download", *archives.arguments(), "--cases", "2"])
    assert ended.value.code == 1
    assert "1 under controlled access" in capsys.readouterr().out
    dicom = archives.world.root / "dicom" / "case_002"
    main(["convert", str(dicom), str(archives.folder)])
    assert "1 written" in capsys.readouterr().out
    assert finished(archives.folder) == list(CASE_IDS)
    main(["download", *archives.arguments()])
    output = capsys.readouterr().out
    assert "2 there already\n" in output
    assert "phs004225" not in output


def test_invalid_selection_or_jobs_are_refused(archives: Archives) -> None:
    archives.selection = Selection(case_ids=("case_004",))
    with pytest.raises(UsageError, match="--cases: found 'case_004'"):
        archives.download("idc")
    archives.selection = Selection(splits=("validation",), limit=1)
    archives.jobs = 17
    with pytest.raises(UsageError, match="--jobs: found 17, expected 1 to 16"):
        archives.download("idc")
    archives.jobs = 1
    assert [one.case_id for one in archives.download("idc")] == ["case_000"]


def authors_image(folder: Path) -> sitk.Image:
    """Return the image that the authors' script makes from a series."""
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
def test_real_series(tmp_path: Path, real_data: Path) -> None:
    world, expected = real_world(tmp_path / "archives", real_data)
    with Archives(world, tmp_path / "saros") as archives:
        archives.patience = Patience(stall_s=30)
        assert [(one.status, one.reason) for one in archives.download("idc")] == [
            ("written", "")
        ] * 3
    for case_id, image in expected.items():
        found = read_image(tmp_path / "saros" / case_id / "image.nii.gz")
        np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(image).T)
        for task in TASKS:
            mask = read_mask(tmp_path / "saros" / case_id / f"{task}.nii.gz", task)
            np.testing.assert_array_equal(mask.affine, found.affine)
