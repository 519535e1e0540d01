"""``saros composition`` on files: tables, records, resuming, and cases that fail."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from helpers.bodies import Body, cylinder
from helpers.dicom_files import write_series, zipped

from saros_hf.composition import measure
from saros_hf.composition.levels import VERTEBRAE
from saros_hf.composition.sources import find_cts
from saros_hf.composition.tables import TABLES
from saros_hf.ct import read_ct
from saros_hf.nifti import read_labels, write_volume
from saros_hf.volume import Volume
from training.cli import main

BODY = cylinder(size=61, slices=6, affine=np.diag([-3.0, -3.0, 4.0, 1.0]))


def saros(*arguments: str | Path) -> int:
    try:
        main(["composition", "--jobs", "1", *map(str, arguments)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def write_body(folder: Path, body: Body = BODY) -> Path:
    """Write a case as SAROS has it and return its CT."""
    write_volume(folder / "image.nii.gz", body.ct)
    write_volume(folder / "body-regions.nii.gz", body.regions)
    write_volume(folder / "body-parts.nii.gz", body.parts)
    return folder / "image.nii.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("case_000", "case_001"):
        write_body(tmp_path / "data" / name)
    return tmp_path / "data"


def rows(out: Path, table: str) -> list[dict[str, str]]:
    with (out / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def record(out: Path, case: str) -> dict[str, Any]:
    return dict(json.loads((out / case / "composition.json").read_text()))


def test_folder_of_cases_gives_tidy_tables(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert saros(folder, "--out", out, "--height-cm", "170", "--level", "slice:3") == 0
    expected = measure(BODY.ct, BODY.regions, parts=BODY.parts, height_cm=170, levels=["slice:3"])
    cases = rows(out, "cases")
    assert [row["case"] for row in cases] == ["case_000", "case_001"]
    muscle = expected.volume("muscle")
    assert float(cases[0]["muscle_volume_ml"]) == pytest.approx(muscle.volume_ml, abs=1e-4)
    torso = expected.volume("muscle", "torso").volume_ml
    assert float(cases[0]["torso_muscle_volume_ml"]) == pytest.approx(torso, abs=1e-4)
    assert cases[0]["brain_region_volume_ml"] == ""  # missing is empty, not 0
    assert len(rows(out, "slices")) == 2 * 6 * 3  # cases, slices, extents
    assert len(rows(out, "levels")) == 2 * 2 * 3  # cases, ways, extents
    index = [float(row["muscle_index_cm2_per_m2"]) for row in rows(out, "levels")]
    area = [float(row["muscle_area_cm2"]) for row in rows(out, "levels")]
    np.testing.assert_allclose(index, np.array(area) / 1.7**2, atol=1e-3)
    tissues = read_labels(out / "case_000" / "tissues.nii.gz")
    np.testing.assert_array_equal(tissues.array, expected.tissue_map.array)
    assert tissues.same_grid(BODY.ct)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["cases"] == {"done": 2, "flagged": 0, "failed": 0, "kept": 0}
    ranges = manifest["definitions"]["tissues"][0]["ranges"]
    assert ranges == [{"region": "muscle", "low_hu": -29, "end_hu": 151}]


def test_parquet_holds_the_numbers_of_the_csv(folder: Path, tmp_path: Path) -> None:
    assert saros(folder, "--out", tmp_path / "out", "--level", "slice:3") == 0
    for table in TABLES:
        parquet = pyarrow.parquet.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        for row, text in zip(parquet, rows(tmp_path / "out", table), strict=True):
            for column, value in row.items():
                if isinstance(value, float):
                    assert float(text[column]) == pytest.approx(value)
                elif not isinstance(value, bool):
                    assert text[column] == ("" if value is None else str(value))


def test_second_run_measures_only_what_changed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert saros(folder, "--out", out) == 0
    first = (out / "case_001" / "composition.json").stat().st_mtime_ns
    corrected = np.where(BODY.regions.array == 7, 9, BODY.regions.array)
    write_volume(folder / "case_000" / "body-regions.nii.gz", Volume(corrected, BODY.ct.affine))
    assert saros(folder, "--out", out) == 0
    assert (out / "case_001" / "composition.json").stat().st_mtime_ns == first
    assert rows(out, "cases")[0]["epicardial_adipose_volume_ml"] == ""
    assert json.loads((out / "manifest.json").read_text())["cases"]["kept"] == 1
    assert saros(folder, "--out", out, "--median-filter") == 0
    assert json.loads((out / "manifest.json").read_text())["cases"]["kept"] == 0


def test_record_cut_short_is_measured_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert saros(folder, "--out", out) == 0
    path = out / "case_000" / "composition.json"
    path.write_text(path.read_text()[:100])
    assert saros(folder, "--out", out) == 0
    assert record(out, "case_000")["status"] == "done"


def test_one_bad_case_is_a_line_and_a_row(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    regions = folder / "case_000" / "body-regions.nii.gz"
    write_volume(regions, Volume(BODY.regions.array[..., :4], BODY.ct.affine))
    (folder / "case_002").mkdir()
    (folder / "case_002" / "image.nii.gz").write_bytes(b"no NIfTI")
    assert saros(folder, "--out", out) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("saros: ")]
    assert [line.split(":")[1] for line in lines] == [" case_000", " case_002"]
    assert "Resample the label map to the CT" in lines[0]
    status = {row["case"]: row["status"] for row in rows(out, "cases")}
    assert status == {"case_000": "failed", "case_001": "done", "case_002": "failed"}
    assert rows(out, "cases")[0]["muscle_volume_ml"] == ""
    assert rows(out, "cases")[1]["muscle_volume_ml"] != ""
    assert {row["case"] for row in rows(out, "volumes")} == {"case_001"}
    write_volume(regions, BODY.regions)
    assert saros(folder / "case_000" / "image.nii.gz", "--out", out) == 0


def test_all_cases_failed_leaves_a_table_of_reasons(tmp_path: Path) -> None:
    write_volume(tmp_path / "ct.nii.gz", BODY.ct)
    assert saros(tmp_path / "ct.nii.gz", "--out", tmp_path / "out") == 1
    (row,) = rows(tmp_path / "out", "cases")
    assert "Give it with --regions, or a model with --model" in row["reason"]


@pytest.mark.parametrize("packed", [False, True])
def test_dicom_series_with_a_mask_and_its_acquisition(tmp_path: Path, packed: bool) -> None:
    planes = np.ascontiguousarray(BODY.ct.array.T)
    tags = {"KVP": 120, "ConvolutionKernel": "B30f", "ContrastBolusAgent": "IODINE"}
    write_series(tmp_path / "series", planes, 4.0, PixelSpacing=[3, 3], **tags)
    source = zipped(tmp_path / "series") if packed else tmp_path / "series"
    ct = read_ct(source)
    write_volume(tmp_path / "mask.nii.gz", Volume(BODY.regions.array, ct.affine).oriented("RAS"))
    out = tmp_path / "out"
    assert saros(source, "--regions", tmp_path / "mask.nii.gz", "--out", out) == 0
    (row,) = rows(out, "cases")
    assert (row["case"], row["kernel"], row["contrast_agent"]) == ("series", "B30f", "IODINE")
    assert float(row["tube_voltage_kv"]) == 120
    assert row["slice_thickness_mm"] == ""
    expected = measure(BODY.ct, BODY.regions).volume("muscle").volume_ml
    assert float(row["muscle_volume_ml"]) == pytest.approx(expected, abs=1e-3)


def test_list_with_folders_of_label_maps_and_heights(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        write_volume(tmp_path / "cts" / f"{name}.nii.gz", BODY.ct)
        write_volume(tmp_path / "maps" / f"{name}.nii.gz", BODY.regions)
        mask = np.zeros(BODY.ct.shape, np.uint8)
        mask[30, 30, 2:5] = 1
        bone = Volume(mask, BODY.ct.affine)
        write_volume(tmp_path / "spines" / name / "vertebrae_L3.nii.gz", bone)
    (tmp_path / "list.csv").write_text("ct\ncts/anna.nii.gz\ncts/bert.nii.gz\n")
    (tmp_path / "heights.csv").write_text("case,height_cm\nanna,160\nbert,180\n")
    arguments = ["--regions", tmp_path / "maps", "--vertebrae", tmp_path / "spines"]
    arguments += ["--height-cm", tmp_path / "heights.csv", "--out", tmp_path / "out"]
    assert saros(tmp_path / "list.csv", *arguments) == 0
    anna, bert = rows(tmp_path / "out", "cases")
    assert (anna["case"], anna["l3_slice"], anna["l3_extent"]) == ("anna", "3", "whole")
    ratio = float(anna["l3_muscle_index_cm2_per_m2"]) / float(bert["l3_muscle_index_cm2_per_m2"])
    assert ratio == pytest.approx((180 / 160) ** 2, abs=1e-3)


def test_results_inside_the_folder_of_studies_are_no_study(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    for name in ("anna", "bert"):
        write_series(studies / name, np.ascontiguousarray(BODY.ct.array.T), 4.0)
    found = find_cts(studies, studies / "results")
    (studies / "results").mkdir()
    assert find_cts(studies, studies / "results") == found
    assert list(found) == ["anna", "bert"]
    assert list(find_cts(studies / "anna", tmp_path)) == ["anna"]  # plain files are one series


def test_list_that_is_not_utf_8_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_bytes(b"m\xfcller.nii.gz\n")
    assert saros(tmp_path / "list.txt", "--out", tmp_path / "out") == 1
    assert "expected a list in UTF-8" in capsys.readouterr().err


def test_vertebrae_with_other_numbers(folder: Path, tmp_path: Path) -> None:
    mask = np.zeros(BODY.ct.shape, np.uint8)
    mask[30, 30, 1:4] = 22
    write_volume(tmp_path / "spine.nii.gz", Volume(mask, BODY.ct.affine))
    arguments = [folder / "case_000" / "image.nii.gz", "--vertebrae", tmp_path / "spine.nii.gz"]
    arguments += ["--out", tmp_path / "out"]
    assert saros(*arguments) == 1
    assert saros(*arguments, "--vertebra-labels", "L3=22") == 0
    assert {row["level"] for row in rows(tmp_path / "out", "levels")} == {"L3"}
    assert VERTEBRAE["L3"] == 29


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--height-cm", "tall"], "--height-cm: found 'tall', expected a height in cm"),
        (["--height-cm", "1.75"], "Write 175."),
        (["--vertebra-labels", "X3=1"], "--vertebra-labels: found 'X3=1'"),
        (["--regions", "{file}"], "found one file for 2 CTs"),
        (["--level", "L3"], "level L3: found no vertebra mask"),
        (["--parts", "nowhere"], "nowhere: found no such file or folder, expected a label map"),
        (["--vertebrae", "{folder}"], "case_000.nii.gz: found no such file"),
        (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
    ],
)
def test_bad_option_is_one_line(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    file = folder / "case_000" / "body-regions.nii.gz"
    texts = [text.format(file=file, folder=folder) for text in arguments]
    assert saros(folder, "--out", tmp_path / "out", *texts) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_several_processes_give_the_same_tables(folder: Path, tmp_path: Path) -> None:
    assert saros(folder, "--out", tmp_path / "one") == 0
    main(["composition", str(folder), "--out", str(tmp_path / "two"), "--jobs", "2"])
    for table in TABLES[1:]:
        one, two = ((tmp_path / n / f"{table}.csv").read_bytes() for n in ("one", "two"))
        assert one == two
