import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from saros_hf.cases.case import PHANTOM_DESCRIPTION
from saros_hf.cases.table import TABLE_NAME, find_table, read_case_table
from saros_hf.errors import UsageError
from saros_hf.nifti import read_image, read_mask
from saros_hf.phantom import write_cohort
from saros_hf.phantom.scan import phantom_scan
from saros_hf.phantom.table import phantom_cohort
from saros_hf.phantom.write_cohort import MARKER_NAME, simulate
from saros_hf.volume import Volume

SIZE = 64


class StopError(Exception):
    pass


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cohort_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "new" / "place"
    simulate(folder, cases=8, seed=5, size=SIZE, jobs=1)
    return folder


def test_folder_has_the_layout_of_saros(cohort_dir: Path) -> None:
    assert read_case_table(find_table(cohort_dir)) == phantom_cohort(8, seed=5)
    expected = {MARKER_NAME, TABLE_NAME, *(f"case_{n:03}" for n in range(8))}
    assert {path.name for path in cohort_dir.iterdir()} == expected
    all_three = {"image.nii.gz", "body-regions.nii.gz", "body-parts.nii.gz"}
    for number in range(8):
        held = {path.name for path in (cohort_dir / f"case_{number:03}").iterdir()}
        assert held == (all_three - {"body-parts.nii.gz"} if number == 7 else all_three)


@pytest.mark.parametrize("number", [0, 3])  # LPS and LAI
def test_files_equal_the_phantom(cohort_dir: Path, number: int) -> None:
    case = phantom_cohort(8, seed=5)[number]
    scan = phantom_scan(case, seed=5, size=SIZE)
    image = read_image(cohort_dir / case.case_id / "image.nii.gz")
    regions = read_mask(cohort_dir / case.case_id / "body-regions.nii.gz", "body-regions")
    assert image.orientation == case.orientation
    assert np.array_equal(image.array, scan.image.array)
    assert np.array_equal(regions.array, scan.body_regions.array)
    assert image.same_grid(scan.image)
    assert image.same_grid(regions)


def test_files_are_labelled_synthetic(cohort_dir: Path) -> None:
    header = nib.Nifti1Image.from_filename(cohort_dir / "case_000" / "image.nii.gz").header
    assert bytes(header["descrip"]).rstrip(b"\0").decode() == PHANTOM_DESCRIPTION
    assert json.loads((cohort_dir / MARKER_NAME).read_text())["description"] == PHANTOM_DESCRIPTION


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    both = tmp_path / "both"
    simulate(tmp_path / "one", cases=3, seed=1, size=SIZE, jobs=1)
    simulate(both, cases=3, seed=1, size=SIZE, jobs=2, progress=lambda *s: steps.append(s))
    assert contents(tmp_path / "one") == contents(both)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_interrupted_run_is_resumed(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2 < total:
            raise StopError

    with pytest.raises(StopError):
        simulate(tmp_path, cases=3, seed=1, size=SIZE, jobs=1, progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {MARKER_NAME, "case_000", "case_001"}
    (tmp_path / ".writing-left-by-a-crash").mkdir()
    untouched = (tmp_path / "case_000" / "image.nii.gz").stat().st_mtime_ns

    steps: list[tuple[int, int]] = []
    simulate(tmp_path, cases=3, seed=1, size=SIZE, jobs=1, progress=lambda *s: steps.append(s))
    assert steps == [(3, 3)]
    assert (tmp_path / "case_000" / "image.nii.gz").stat().st_mtime_ns == untouched
    assert len(read_case_table(tmp_path / TABLE_NAME)) == 3
    assert not list(tmp_path.glob(".writing-*"))


def test_failing_case_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, volume: Volume, *, description: str) -> None:
        if path.name.startswith("body-parts"):
            raise OSError(28, "No space left on device")
        path.write_bytes(description.encode() + bytes(volume.shape[2] % 2))

    monkeypatch.setattr(write_cohort, "write_volume", full_disk)
    with pytest.raises(OSError, match="No space"):
        simulate(tmp_path, cases=1, seed=0, size=SIZE, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == [MARKER_NAME]


def test_folders_with_other_content_are_refused(tmp_path: Path, cohort_dir: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").write_text("mine")
    (tmp_path / "real" / "case_000").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for folder, found in [
        (tmp_path / "other", r"thesis\.docx"),
        (tmp_path / "real", "case_000"),
        (tmp_path / "file", "found a file"),
        (cohort_dir, "other arguments"),
    ]:
        with pytest.raises(UsageError, match=found):
            simulate(folder, cases=8, seed=6, size=SIZE)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize(
    "wrong", [{"cases": 0}, {"size": 63}, {"size": 513}, {"seed": -1}, {"jobs": 0}]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    (option,) = wrong
    right = {"cases": 1, "seed": 0, "size": SIZE, "jobs": 1}
    with pytest.raises(UsageError, match=f"^{option}: found") as caught:
        simulate(tmp_path / "new", progress=None, **{**right, **wrong})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
