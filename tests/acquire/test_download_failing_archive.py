"""Downloads from archives and networks with faults."""

import re

import pytest
from helpers.archive_world import CASE_IDS, finished
from helpers.archives import Archives
from helpers.loopback import (
    GET_IMAGE,
    GET_SERIES,
    PARENT_PATH,
    SHORT_ZIP,
    Body,
    Fault,
    Stall,
    Status,
)
from helpers.s3_server import FORBIDDEN, Hang, Refusal, S3Fault

from saros_hf.acquire.workspace import WORK_NAME

ALWAYS = 12


# One case fails, the others are complete; the same command later finishes it.

NBIA_FAULTS: dict[str, tuple[str, Fault, str]] = {
    "http-403": (GET_IMAGE, Status(403), r"found HTTP 403 \(Forbidden\)"),
    "http-503": (GET_SERIES, Status(503), "found HTTP 503"),
    "connection-stalls": (GET_IMAGE, Stall(300), "found silence for 0.5 s"),
    "short-zip": (GET_IMAGE, SHORT_ZIP, "found an invalid or incomplete .zip"),
    "zip-reaches-outside": (GET_IMAGE, PARENT_PATH, r"a member outside the archive, '\.\./x"),
}
NOT_RETRIED = ("http-403", "zip-reaches-outside")


@pytest.mark.parametrize("name", NBIA_FAULTS)
def test_nbia_fault(archives: Archives, name: str) -> None:
    path, fault, message = NBIA_FAULTS[name]
    archives.jobs = 1
    tries = 1 if name in NOT_RETRIED else archives.patience.attempts
    archives.web.fail(path, *[fault] * tries)
    assert re.search(message, archives.one_failure("nbia"))
    assert not archives.web.faults[path]
    archives.web.faults.clear()
    archives.recover("nbia")


def test_revised_nbia_series_is_refused(archives: Archives) -> None:
    archives.web.fail(GET_SERIES, *[Body(b'[{"ImageCount": 6}]')] * 3)
    outcomes = archives.download("nbia")
    assert {one.status for one in outcomes} == {"failed"}
    assert "found 6 files, expected 5 as listed in the index" in outcomes[0].reason
    archives.recover("nbia")


IDC_FAULTS: dict[str, tuple[str, S3Fault, str]] = {
    "forbidden": ("2.dcm", FORBIDDEN, "AccessDenied: .* 403"),
    "listing-forbidden": ("?list", FORBIDDEN, "AccessDenied: .* 403"),
    "connection-stalls": ("2.dcm", Hang(100), "found a stalled connection, nothing for 0.5 s"),
}


@pytest.mark.parametrize("name", IDC_FAULTS)
def test_idc_fault(archives: Archives, name: str) -> None:
    suffix, fault, message = IDC_FAULTS[name]
    uid = archives.world.cases[1].series_instance_uid
    archives.s3.fail(suffix if suffix == "?list" else f"{uid}/{suffix}", *[fault] * ALWAYS)
    if suffix == "?list":
        assert {one.status for one in archives.download("idc")} == {"failed"}
        assert finished(archives.folder) == []
    else:
        assert re.search(message, archives.one_failure("idc"))
    arrived = {f"/{uid}/{path.name}" for path in (archives.folder / WORK_NAME).rglob("*.dcm")}
    archives.s3.faults.clear()
    archives.s3.fetched()
    archives.recover("idc")
    # Complete files and other cases are not fetched again.
    again = {one.partition("idc-open-data")[2] for one in archives.s3.fetched()}
    assert again.isdisjoint(arrived)
    assert suffix == "?list" or all(uid in one for one in again)


def test_busy_idc_is_retried(archives: Archives) -> None:
    uid = archives.world.cases[1].series_instance_uid
    archives.s3.fail(f"{uid}/2.dcm", *[Refusal(500, "InternalError")] * 4)
    assert [one.status for one in archives.download("idc")] == ["written"] * 3
    assert finished(archives.folder) == list(CASE_IDS)


def test_idc_series_with_another_number_of_files_is_refused(archives: Archives) -> None:
    archives.write_index(more=1)
    outcomes = archives.download("idc")
    assert "found 5 files, expected 6 as listed in the index" in outcomes[0].reason
    archives.write_index()
    archives.recover("idc")


@pytest.mark.parametrize("source", ["idc", "nbia"])
def test_no_network(archives: Archives, source: str) -> None:
    archives.endpoint = "http://127.0.0.1:9"
    outcomes = archives.download(source)
    assert {one.status for one in outcomes} == {"failed"}
    assert "Connection refused" in outcomes[0].reason or "connection refused" in outcomes[0].reason
    archives.endpoint = None
    archives.recover(source)
