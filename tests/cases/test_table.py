from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.case_folders import case

from saros_hf.cases.table import COLUMNS, TABLE_NAME, find_table, read_case_table, write_case_table
from saros_hf.errors import MissingFileError, TableError


def table(folder: Path) -> Path:
    path = folder / TABLE_NAME
    write_case_table(path, [case("case_000"), case("case_001", "test", orientation="LAI")])
    return path


def test_written_table_is_read_back(tmp_path: Path) -> None:
    cases = read_case_table(table(tmp_path))
    assert cases == (case("case_000"), case("case_001", "test", orientation="LAI"))
    assert table(tmp_path).read_text().splitlines()[0] == ",".join(COLUMNS)
    assert find_table(tmp_path).name == TABLE_NAME


def test_other_header_and_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    path = table(tmp_path)
    text = path.read_text().replace("tcia_collection", "Collection")
    path.write_text("\ufeff" + text)
    assert read_case_table(path)[1].collection == "C4KC-KiTS"


@pytest.mark.parametrize(
    "save",
    [
        lambda text: text.replace("FALSE", "False"),
        lambda text: text.replace("FALSE", "false"),
        lambda text: "".join(f"{n},{line}" for n, line in enumerate(text.splitlines(True))),
        lambda text: text + "," * 9 + "\n\n",
        lambda text: text.replace("\n", ",,\n"),
        lambda text: text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace(",", "\t"),
    ],
)
def test_table_saved_by_pandas_or_a_spreadsheet(tmp_path: Path, save: Callable[[str], str]) -> None:
    path = table(tmp_path)
    cases = read_case_table(path)
    path.write_text(save(path.read_text()))
    assert read_case_table(path) == cases


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("female", "woman", "line 2: found gender = 'woman', expected female or male"),
        ("fold-2", "fold-9", "found split = 'fold-9', expected fold-1 or fold-2"),
        ("case_000", "0", "found id = '0', expected case_ and three digits"),
        ("case_000", "case_\u0660\u0660\u0660", "expected case_ and three digits"),
        ("FALSE", "no", "found has_breast_implant = 'no', expected TRUE or FALSE"),
        ("1.2.3.1,", "abc,", "tcia_series_instance_uid = 'abc', expected a DICOM UID"),
        ("LPS", "LPX", "orientation_code = 'LPX', expected an axial code"),
        ("case_001", "case_000", "found case_000 twice, expected one row per case"),
        (",abdomen,FALSE,LPS,fold-2", "", "found anatomic_region = '', expected abdomen or"),
        ("gender,", "sex,", "found no column gender, expected the columns id,"),
    ],
)
def test_bad_row_is_named_by_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TableError) as caught:
        read_case_table(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_binary_file_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="a file that is not CSV text"):
        read_case_table(path)


def test_folder_must_hold_exactly_one_table(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="found no such folder"):
        find_table(tmp_path / "absent")
    with pytest.raises(MissingFileError, match="found 0 such files"):
        find_table(tmp_path)
    table(tmp_path)
    (tmp_path / "Segmentation Info (1).csv").write_text("")
    with pytest.raises(MissingFileError, match="found 2 such files"):
        find_table(tmp_path)


def test_licences_of_the_reconstructed_table_match_the_archive(real_data: Path) -> None:
    cases = read_case_table(real_data / "archive" / "segmentation-info-reconstructed.csv")
    assert Counter(one.license for one in cases) == {
        "CC BY 3.0": 593,
        "CC BY 4.0": 57,
        "CC BY-NC 3.0": 76,
        "NIH controlled access": 174,
    }
