import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.case_folders import case as helpers_case
from helpers.dicom_files import OTHER_UID, SERIES_UID, flat_slices, good_series, write_slice

from saros_hf.acquire.assemble import assemble
from saros_hf.acquire.convert import Conversion, local_table
from saros_hf.acquire.outcomes import Outcome
from saros_hf.cases.case import Case
from saros_hf.cases.table import write_case_table
from saros_hf.dicom import CtSeries
from saros_hf.errors import MissingFileError, TableError
from saros_hf.nifti import read_image, write_volume
from saros_hf.volume import Volume


def convert(source: Path, folder: Path, table: Path | None = None) -> list[Outcome]:
    return Conversion(folder, local_table(folder, table, print)).run(source)


def case(case_id: str, series_uid: str) -> Case:
    return replace(helpers_case(case_id), series_instance_uid=series_uid)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_folder_becomes_numbered_cases(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom" / "patient-b", OTHER_UID)
    good_series(tmp_path / "dicom" / "patient-a" / "study" / "series")
    seen: list[tuple[int, int]] = []
    out = tmp_path / "cases"
    outcomes = Conversion(out).run(tmp_path / "dicom", progress=lambda *counts: seen.append(counts))
    assert outcomes == [
        Outcome(SERIES_UID, "case_000", "written", out / "case_000"),
        Outcome(OTHER_UID, "case_001", "written", out / "case_001"),
    ]
    assert seen == [(1, 2), (2, 2)]
    volume = read_image(out / "case_000" / "image.nii.gz")
    assert volume.array[0, 0].tolist() == [1, 5]
    assert volume.spacing_mm == (1, 1, 5)
    assert json.loads((out / "case_000" / "source.json").read_text()) == {
        "series_instance_uid": SERIES_UID,
        "study_instance_uid": "1.2.826.0.1.3680043.10.2",
        "collection": "",
        "patient_id": "",
        "manufacturer": "MADE UP",
        "spacing_mm": [1, 1, 2],
        "slices": 5,
        "stacking": "along-normal",
        "note": "",
    }


def test_patient_id_is_recorded_only_if_asked_for(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    Conversion(tmp_path / "cases", keep_patient_id=True).run(tmp_path / "dicom")
    source = json.loads((tmp_path / "cases" / "case_000" / "source.json").read_text())
    assert source["patient_id"] == "P-1"


def test_second_run_keeps_complete_cases(tmp_path: Path) -> None:
    out = tmp_path / "cases"
    good_series(tmp_path / "dicom" / "b")
    convert(tmp_path / "dicom", out)
    written = (out / "case_000" / "image.nii.gz").stat().st_mtime_ns
    good_series(tmp_path / "dicom" / "a", OTHER_UID)
    outcomes = convert(tmp_path / "dicom", out)
    assert [(o.case_id, o.status) for o in outcomes] == [
        ("case_001", "written"),
        ("case_000", "kept"),
    ]
    assert (out / "case_000" / "image.nii.gz").stat().st_mtime_ns == written


def test_case_ids_from_the_table_are_not_used_for_other_series(tmp_path: Path) -> None:
    out = tmp_path / "cases"
    cases = [case("case_000", "1.9"), case("case_007", SERIES_UID)]
    write_case_table(out / "Segmentation-Info_09-29-2023.csv", cases)
    # The grid of the series at 5 mm: 4 x 3 pixels of 1 mm from (-30, -40, -20), 2 slices.
    affine = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 40], [0, 0, 5, -20], [0, 0, 0, 1]])
    masks = out / "case_007" / "body-regions.nii.gz"
    write_volume(masks, Volume(np.zeros((4, 3, 2), np.uint8), affine))
    before = masks.read_bytes()
    good_series(tmp_path / "dicom" / "a")
    good_series(tmp_path / "dicom" / "b", OTHER_UID)
    outcomes = convert(tmp_path / "dicom", out)
    assert [(o.case_id, o.status) for o in outcomes] == [
        ("case_007", "written"),
        ("case_001", "written"),
    ]
    assert masks.read_bytes() == before
    source = json.loads((out / "case_007" / "source.json").read_text())
    assert (source["collection"], source["patient_id"]) == (
        cases[1].collection,
        cases[1].patient_id,
    )
    assert not list(out.glob(".writing-*"))


def test_given_table(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    write_case_table(tmp_path / "table.csv", [case("case_123", SERIES_UID)])
    (outcome,) = convert(tmp_path / "dicom", tmp_path / "cases", table=tmp_path / "table.csv")
    assert outcome.case_id == "case_123"
    with pytest.raises(MissingFileError, match=r"nowhere\.csv: found no such file"):
        convert(tmp_path / "dicom", tmp_path / "cases", table=tmp_path / "nowhere.csv")
    (tmp_path / "cases" / "Segmentation-Info.csv").write_text("id,split\n")
    with pytest.raises(TableError, match="found no column tcia_study_instance_uid"):
        convert(tmp_path / "dicom", tmp_path / "cases")


def test_image_without_record_is_kept(tmp_path: Path) -> None:
    image = tmp_path / "cases" / "case_007" / "image.nii.gz"
    write_volume(image, Volume(np.zeros((2, 2, 2), np.int16), np.eye(4)))
    write_case_table(tmp_path / "table.csv", [case("case_007", SERIES_UID)])
    good_series(tmp_path / "dicom")
    (outcome,) = convert(tmp_path / "dicom", tmp_path / "cases", table=tmp_path / "table.csv")
    assert outcome.status == "kept"
    assert files_below(tmp_path / "cases") == ["Segmentation-Info.csv", "case_007/image.nii.gz"]


def test_case_of_another_series_is_not_overwritten(tmp_path: Path) -> None:
    good_series(tmp_path / "first")
    good_series(tmp_path / "second", OTHER_UID)
    write_case_table(tmp_path / "table.csv", [case("case_000", OTHER_UID)])
    convert(tmp_path / "first", tmp_path / "cases")
    (outcome,) = convert(tmp_path / "second", tmp_path / "cases", table=tmp_path / "table.csv")
    assert outcome.status == "failed"
    assert f"case_000 made from series {SERIES_UID}" in outcome.reason


def test_one_failing_series_does_not_stop_the_others(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom" / "a", OTHER_UID)[2].unlink()
    good_series(tmp_path / "dicom" / "b")
    (tmp_path / "dicom" / "empty.dcm").touch()
    outcomes = convert(tmp_path / "dicom", tmp_path / "cases")
    lost, gap, good = outcomes
    assert (lost.series_uid, lost.status) == ("", "failed")
    assert f"{tmp_path / 'dicom' / 'empty.dcm'}: found a DICOM file that is cut" in lost.reason
    assert (gap.series_uid, gap.case_id, gap.path) == (OTHER_UID, "", None)
    assert "a gap of 4 mm between 001.dcm, 003.dcm" in gap.reason
    assert good.case_id == "case_000"
    assert files_below(tmp_path / "cases") == ["case_000/image.nii.gz", "case_000/source.json"]


def test_unexpected_error_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good_series(tmp_path / "dicom" / "a", OTHER_UID)
    good_series(tmp_path / "dicom" / "b")

    def failing(series: CtSeries, folder: Path, **options: Any) -> str:  # noqa: ANN401
        if series.uid == OTHER_UID:
            raise ZeroDivisionError("division\nby zero")
        return assemble(series, folder, **options)

    monkeypatch.setattr("saros_hf.acquire.convert.assemble", failing)
    bad, good = convert(tmp_path / "dicom", tmp_path / "cases")
    assert bad.reason == "unexpected ZeroDivisionError: division by zero"
    assert good.status == "written"


def test_failed_writing_leaves_no_files(tmp_path: Path) -> None:
    good_series(tmp_path / "dicom")
    write_case_table(tmp_path / "table.csv", [case("case_000", SERIES_UID)])
    # With a file in place of the case folder, renaming fails after writing.
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "case_000").write_text("in the way")
    (outcome,) = convert(tmp_path / "dicom", tmp_path / "cases", table=tmp_path / "table.csv")
    assert outcome.status == "failed"
    assert "Not a directory" in outcome.reason
    assert files_below(tmp_path / "cases") == ["Segmentation-Info.csv", "case_000"]


def test_source_without_ct_is_refused(tmp_path: Path) -> None:
    write_slice(tmp_path / "dicom" / "mr.dcm", flat_slices(1)[0], (0, 0, 0), Modality="MR")
    (tmp_path / "dicom" / "notes.txt").write_text("no DICOM")
    with pytest.raises(MissingFileError, match=r"no CT series among 2 files \(1 MR, 1 no DICOM\)"):
        convert(tmp_path / "dicom", tmp_path / "cases")
    with pytest.raises(MissingFileError, match="found nothing there"):
        convert(tmp_path / "nowhere", tmp_path / "cases")
    assert not (tmp_path / "cases").exists()


@pytest.mark.slow
def test_real_series(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "dicom-liver-5mm.zip"
    (outcome,) = convert(source, tmp_path)
    assert outcome.reason == ""
    image = read_image(tmp_path / "case_000" / "image.nii.gz")
    assert image.shape == (512, 512, 51)
    assert image.spacing_mm[2] == 5
    assert image.orientation == "LPS"
    assert image.array.min() == -3024
    assert convert(source, tmp_path)[0].status == "kept"
