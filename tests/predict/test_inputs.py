from pathlib import Path

import pytest
from helpers.case_folders import write_folder

from saros_hf.errors import MissingFileError, UsageError
from training.predict.inputs import PredictionInput, beside, find_inputs


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def target_names(source: Path, out: Path) -> list[str]:
    """Return the names of the label maps of many CTs."""
    inputs = find_inputs(source, out)
    assert not any(one.alone for one in inputs)
    return [str(one.target.relative_to(out)) for one in inputs]


def listed(tmp_path: Path, text: str, name: str = "list.csv") -> list[str]:
    """Return the CTs in a list, relative to it."""
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    inputs = find_inputs(tmp_path / name, tmp_path / "out")
    return [str(one.source.relative_to(tmp_path)) for one in inputs]


@pytest.mark.parametrize("name", ["ct.nii.gz", "dicom", "study"])
def test_one_ct_is_written_to_one_file(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "ct.nii.gz", "dicom/1.dcm", "study/series/1.dcm")
    out = tmp_path / "labels.nii.gz"
    assert find_inputs(tmp_path / name, out) == [PredictionInput(tmp_path / name, out, alone=True)]
    assert beside(out, ".png") == tmp_path / "labels.png"


def test_folders_of_cases_and_of_nifti_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(tmp_path / "cases")
    assert target_names(tmp_path / "cases", out) == [f"case_00{n}.nii.gz" for n in range(3)]
    nifti = touch(tmp_path / "nifti", "b.nii", "a.nii.gz", "._a.nii.gz", "notes.txt")
    assert target_names(nifti, out) == ["a.nii.gz", "b.nii.gz"]
    touch(tmp_path / "nifti", "a.nii")
    expected = r"found 2 CTs to be written there: .*a\.nii, .*a\.nii\.gz"
    with pytest.raises(UsageError, match=expected):
        find_inputs(nifti, out)


def test_folder_of_dicom_folders_is_many_cts_unless_the_output_is_a_file(tmp_path: Path) -> None:
    patients = touch(tmp_path / "patients", "P.1/1.dcm", "P.2/ct/1.dcm", "P.3.zip", "out/P.1.png")
    expected = ["P.1.nii.gz", "P.2.nii.gz", "P.3.nii.gz"]
    assert target_names(patients, patients / "out") == expected
    (one,) = find_inputs(patients, tmp_path / "labels.nii.gz")
    assert one.source == patients


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.nii.gz\nb\n", ["a.nii.gz", "b"]),  # the first file is missing, not a header
        ("missing/p1\np2\n", ["missing/p1", "p2"]),
        ("p1\np2\n", ["p1", "p2"]),
        ("CT_001\nCT_002\n", ["CT_001", "CT_002"]),
        ("path\nb\n", ["b"]),
        ("Image file,age\nb,50\n", ["b"]),
        ("image\nb\n", ["image", "b"]),  # named like a header, but exists
        ("\ufeffb\nc\n", ["b", "c"]),
        ('"d, e.nii.gz",50\n# b\n\n', ["d, e.nii.gz"]),
        ("path;age\nb;50\nno;60\n", ["b", "no"]),
        ("image;50\nb;60\n", ["image", "b"]),
        (",path,age\n0,b,50\n1,no,60\n", ["b", "no"]),  # as pandas writes it
        ("0,image\n1,no\n", ["image", "no"]),
        ("age\tfile\n50\tb\n", ["b"]),
        ("~/b\n~no-such-user/c\n", ["home/b", "~no-such-user/c"]),
        ("J\udcf6rg\n", ["J\udcf6rg"]),
    ],
)
def test_csv_lists(
    tmp_path: Path, text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    touch(tmp_path, "image", "J\udcf6rg")
    assert listed(tmp_path, text) == expected


def test_text_lists_hold_one_path_per_line(tmp_path: Path) -> None:
    assert listed(tmp_path, "\ufeffd, e.nii.gz\n\n # b\npath\n", "l.txt") == ["d, e.nii.gz", "path"]


def test_cts_of_the_same_name_get_the_names_of_their_folders(tmp_path: Path) -> None:
    folder = touch(tmp_path, "pA/ct.nii.gz", "pB/ct.nii.gz", "y/pC/ct.nii", "z/pC/ct.nii", "d.nii")
    every = sorted(path for path in folder.rglob("*.nii*"))
    (tmp_path / "l.txt").write_text("\n".join(map(str, [*every, every[0]])))
    names = ["d", "pA_ct", "pB_ct", "y_pC_ct", "z_pC_ct"]
    expected = [f"{name}.nii.gz" for name in names]
    assert target_names(tmp_path / "l.txt", tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("l.txt", "out", "found no path in it"),
        ("no.csv", "out", "found no such file or folder"),
        ("empty", "out", "found an empty folder"),
        ("dicom", "out", r"found no \.nii\.gz name for the label map"),
        ("many", "out.nii.gz", "found the name of one file, but 2 CTs"),
        ("latin.csv", "out", "expected a list in UTF-8"),
        ("many", "many", "found the place of the CT"),
        ("many/a.nii.gz", "many/a.nii.gz", "found the place of the CT"),
        ("cases", "cases", "found the place of the CT"),
    ],
)
def test_unusable_sources_are_refused(tmp_path: Path, source: str, out: str, message: str) -> None:
    touch(tmp_path, "many/a.nii.gz", "many/b.nii.gz", "dicom/1.dcm", "cases/case_000/image.nii.gz")
    (tmp_path / "l.txt").write_text("# nothing\n")
    (tmp_path / "latin.csv").write_bytes("Müller.nii.gz\n".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    with pytest.raises((MissingFileError, UsageError), match=message):
        find_inputs(tmp_path / source, tmp_path / out)
