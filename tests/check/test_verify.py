import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.case_folders import LPS, published_cases, sparse_mask, write_case, write_folder

from saros_hf.cases.licenses import PHANTOM_COLLECTION
from saros_hf.cases.table import find_table, read_case_table, write_case_table
from saros_hf.check.label_counts import count_labels
from saros_hf.check.verify import Report, verify
from saros_hf.errors import MissingFileError, TableError, UsageError
from saros_hf.nifti import write_volume
from saros_hf.volume import Volume


class StopError(Exception):
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three correct cases in a collection that is not in the paper's tables."""
    folder = write_folder(tmp_path / "saros")
    in_collection(folder, PHANTOM_COLLECTION)
    return folder


def in_collection(folder: Path, collection: str) -> None:
    table = find_table(folder)
    rows = [replace(row, collection=collection) for row in read_case_table(table)]
    write_case_table(table, rows)


def findings(report: Report) -> list[tuple[str, str, str]]:
    """Return where, check and severity, without the note that phantoms are not compared."""
    return [
        (one.where, one.check, one.severity)
        for one in report.findings
        if one.check != "not-compared"
    ]


def rewrite(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change a .nii.gz file's content below its compression."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    change(raw)
    path.write_bytes(gzip.compress(bytes(raw)))


def test_correct_folder_has_no_findings(folder: Path) -> None:
    report = verify(folder)
    assert findings(report) == []
    assert (report.cases_in_table, report.cases_present, report.cases_checked) == (3, 3, 3)
    assert report.errors == 0
    assert report.without_body_parts == ()
    assert not report.compared


def test_phantoms_have_no_findings(phantoms: Path) -> None:
    report = verify(phantoms)
    assert findings(report) == []
    assert report.cases_checked == 12
    assert report.without_body_parts == ("case_007",)
    assert report.label_table.all_cases("body-regions") == 12
    assert report.label_table.all_cases("body-parts") == 11


def test_counts_are_in_table_order(folder: Path) -> None:
    report = verify(folder, jobs=2)
    assert [(one.case.case_id, one.labels.task) for one in report.counts] == [
        (f"case_{n:03}", task) for n in range(3) for task in ("body-regions", "body-parts")
    ]
    assert report.counts[0].labels == count_labels(sparse_mask((8, 6, 7), [1, 5]), "body-regions")
    assert report.counts[0].labels.slices[:3] == (2, 2, 0)


def test_missing_body_parts_map_is_no_error(folder: Path) -> None:
    (folder / "case_001" / "body-parts.nii.gz").unlink()
    report = verify(folder)
    assert findings(report) == []
    assert report.without_body_parts == ("case_001",)


@pytest.mark.parametrize("name", ["image", "body-regions"])
def test_missing_file_is_reported_and_the_others_are_checked(folder: Path, name: str) -> None:
    (folder / "case_001" / f"{name}.nii.gz").unlink()
    other = Volume(sparse_mask((8, 6, 7), []), LPS)
    write_volume(folder / "case_001" / "body-parts.nii.gz", other)
    found = findings(verify(folder))
    assert found[0] == ("case_001", "missing-file", "error")
    assert ("case_001", "not-annotated", "error") in found


@pytest.mark.parametrize("name", ["image", "body-regions", "body-parts"])
def test_damaged_files_are_reported(folder: Path, name: str) -> None:
    cut, flipped, absurd = (folder / f"case_00{n}" / f"{name}.nii.gz" for n in range(3))
    cut.write_bytes(cut.read_bytes()[:-40])
    whole = bytearray(flipped.read_bytes())
    whole[-6] ^= 1  # in the checksum, which lies behind the last voxel
    flipped.write_bytes(whole)
    rewrite(absurd, lambda raw: raw.__setitem__(slice(70, 72), b"\x0f\x27"))  # voxel type 9999
    report = verify(folder)
    assert findings(report) == [(f"case_00{n}", "unreadable-file", "error") for n in range(3)]
    assert all(one.message.startswith(f"{name}.nii.gz") for one in report.findings[:3])
    assert len(report.counts) == (6 if name == "image" else 3)


def test_label_of_the_other_task_is_reported(folder: Path) -> None:
    mask = sparse_mask((8, 6, 7), [1, 5])
    mask[0, 0, 1] = 13
    write_volume(folder / "case_002" / "body-parts.nii.gz", Volume(mask, LPS))
    (finding,) = [one for one in verify(folder).findings if one.severity == "error"]
    assert (finding.where, finding.check) == ("case_002", "unknown-label")
    assert finding.message.startswith("body-parts.nii.gz: found label 13, expected")


def test_findings_of_the_case_checks_are_reported(folder: Path) -> None:
    write_case(folder, "case_000", affine=np.diag([-2.0, -2.0, 4.0, 1.0]))
    regions = Volume(sparse_mask((8, 6, 7), [1, 4]), LPS)
    write_volume(folder / "case_001" / "body-regions.nii.gz", regions)
    flat = Volume(np.full((8, 6, 7), -3000, np.int16), LPS)
    write_volume(folder / "case_002" / "image.nii.gz", flat)
    assert findings(verify(folder)) == [
        ("case_000", "slice-spacing", "error"),
        ("case_001", "annotated-slices", "error"),
        ("case_002", "hu-range", "note"),
    ]


def test_ct_converted_from_another_series_is_an_error(folder: Path) -> None:
    for n, text in enumerate(
        (json.dumps({"series_instance_uid": "1.2.3.1"}), '{"series_instance_uid": "9.9"}', "[]")
    ):
        (folder / f"case_00{n}" / "source.json").write_text(text)
    report = verify(folder)
    assert findings(report) == [(f"case_00{n}", "source", "error") for n in (1, 2)]
    assert report.findings[0].message == "CT of series 9.9, the case table says 1.2.3.2"


def test_folders_without_a_row_and_leftovers_are_reported(folder: Path) -> None:
    shutil.copytree(folder / "case_000", folder / "case_777")
    (folder / ".writing-abc").mkdir()
    (folder / "case_001" / ".writing-def").mkdir()
    report = verify(folder)
    assert findings(report) == [
        ("case_777", "no-row", "error"),
        (".writing-abc", "leftover", "note"),
        ("case_001/.writing-def", "leftover", "note"),
    ]
    assert (report.cases_present, report.errors) == (3, 1)


def test_absent_cases_are_no_error_unless_all_are(folder: Path) -> None:
    shutil.rmtree(folder / "case_001")
    report = verify(folder)
    assert findings(report) == []
    assert (report.cases_in_table, report.cases_present) == (3, 2)
    shutil.rmtree(folder / "case_000")
    shutil.rmtree(folder / "case_002")
    assert findings(verify(folder)) == [("saros", "missing-file", "error")]


def test_missing_folder_or_table_is_refused(folder: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        verify(folder / "elsewhere")
    find_table(folder).write_text("id\n")
    with pytest.raises(TableError):
        verify(folder)
    find_table(folder).unlink()
    with pytest.raises(MissingFileError, match="case table"):
        verify(folder)


def test_sample_is_seeded_and_in_table_order(phantoms: Path) -> None:
    def drawn(seed: int, sample: int = 4) -> list[str]:
        report = verify(phantoms, sample=sample, seed=seed)
        assert (report.cases_present, report.cases_checked) == (12, min(sample, 12))
        return list(dict.fromkeys(one.case.case_id for one in report.counts))

    assert drawn(0) == drawn(0) == sorted(drawn(0))
    assert drawn(0) != drawn(1)
    assert len(drawn(0, sample=99)) == 12


@pytest.mark.parametrize("option", ["sample", "jobs"])
def test_numbers_less_than_one_are_refused(folder: Path, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option}: found 0, expected at least 1"):
        verify(folder, **{option: 0})


def test_progress_counts_cases_and_errors_stop_the_run(folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    verify(folder, progress=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]

    def stop(*_: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        verify(folder, jobs=1, progress=stop)


def test_subset_is_compared_as_a_subset(folder: Path) -> None:
    in_collection(folder, "C4KC-KiTS")
    report = verify(folder)
    assert report.compared
    messages = {one.message for one in report.findings if one.check == "table-3"}
    # All CTs of the paper show muscle, so a CT without it is not one of them.
    assert "fold-2 Muscle: 0 CTs / 0 slices in 1 of 150 cases, published 150 / 3396" in messages
    assert not any("Brain" in message or "Background" in message for message in messages)
    assert [one.message for one in report.findings if one.check == "not-compared"] == [
        "a case table of 3 rows, not the published one of 900"
    ]


def test_whole_case_table_is_compared_with_table_1(tmp_path: Path) -> None:
    rows = published_cases()
    rows[0] = replace(rows[0], collection="HNSCC")
    write_case(tmp_path, "case_001")
    write_case_table(tmp_path / "Segmentation-Info.csv", rows)
    report = verify(tmp_path)
    assert [one.message for one in report.findings if one.check == "table-1"] == [
        "ACRIN-FLT-Breast wholebody: 31 in the case table, published 32",
        "HNSCC wholebody: 18 in the case table, published 17",
    ]
