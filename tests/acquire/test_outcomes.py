from pathlib import Path

from saros_hf.acquire.outcomes import Outcome, write_failures


def outcome(number: int, reason: str = "") -> Outcome:
    status = "failed" if reason else "written"
    return Outcome(f"1.{number}", f"case_{number:03d}", status, None, reason)


def lines(folder: Path) -> list[str]:
    return (folder / "failures.csv").read_text().splitlines()


def test_failures_of_other_series_stay(tmp_path: Path) -> None:
    first = [outcome(1, "HTTP 503"), outcome(2, 'a "gap", of 4 mm'), outcome(3)]
    assert write_failures(tmp_path, first) == tmp_path / "failures.csv"
    assert lines(tmp_path) == [
        "case_id,series_instance_uid,reason",
        "case_001,1.1,HTTP 503",
        'case_002,1.2,"a ""gap"", of 4 mm"',
    ]
    assert write_failures(tmp_path, [outcome(1)]) is None
    assert lines(tmp_path)[1:] == ['case_002,1.2,"a ""gap"", of 4 mm"']
    assert write_failures(tmp_path, [outcome(2, "again")]) == tmp_path / "failures.csv"
    assert lines(tmp_path)[1:] == ["case_002,1.2,again"]
    assert write_failures(tmp_path, [outcome(2)]) is None
    assert not (tmp_path / "failures.csv").exists()


def test_cells_are_text_to_spreadsheets_and_terminals(tmp_path: Path) -> None:
    hostile = Outcome("=HYPERLINK(1)", "", "failed", None, "\x1b[2J \udcff +1")
    for _ in range(2):
        write_failures(tmp_path, [hostile])
        assert lines(tmp_path)[1:] == [",'=HYPERLINK(1),\\x1b[2J \\udcff +1"]
    write_failures(tmp_path, [outcome(1, "HTTP 503")])
    assert len(lines(tmp_path)) == 3


def test_file_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    text = "case_id,series_instance_uid,reason\ncase_001,1.1,\x84J\xf6rg\x93\n"
    (tmp_path / "failures.csv").write_text(text, encoding="latin-1")
    write_failures(tmp_path, [outcome(2, "HTTP 503")])
    assert [line.partition(",")[0] for line in lines(tmp_path)[1:]] == ["case_001", "case_002"]
    (tmp_path / "failures.csv").write_text("x" * 200_000)  # csv's limit of a field is 131,072
    write_failures(tmp_path, [outcome(2, "HTTP 503")])
    assert lines(tmp_path)[1:] == ["case_002,1.2,HTTP 503"]


def test_damaged_files_of_unknown_series_are_listed_once(tmp_path: Path) -> None:
    lost = Outcome("", "", "failed", None, "1.dcm: cut short")
    write_failures(tmp_path, [lost])
    write_failures(tmp_path, [lost, outcome(1, "HTTP 503")])
    assert lines(tmp_path)[1:] == [",,1.dcm: cut short", "case_001,1.1,HTTP 503"]
    write_failures(tmp_path, [outcome(1)])
    assert not (tmp_path / "failures.csv").exists()
