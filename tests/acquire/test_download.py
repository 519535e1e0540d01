"""The whole command against archives on loopback."""

import pytest
from helpers.archive_world import CASE_IDS, finished
from helpers.archives import Archives

from saros_hf.acquire.download import SourceName
from saros_hf.acquire.plan import Selection
from saros_hf.errors import UsageError
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
