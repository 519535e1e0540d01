"""Faults of archives and networks: what is said, and that nothing is lost or half written."""

import re
from pathlib import Path

import pytest
from helpers.archive_world import CASE_IDS, finished
from helpers.archives import Archives
from helpers.loopback import (
    ABSOLUTE_PATH,
    BOMB,
    GARBAGE,
    GET_IMAGE,
    GET_SERIES,
    MISSING_INSTANCE,
    NO_MANIFEST,
    PARENT_PATH,
    SHORT_ZIP,
    SYMLINK,
    WRONG_MD5,
    Cut,
    Fault,
    Stall,
    Status,
)
from helpers.s3_server import FORBIDDEN, GONE, Break, Damage, Hang, Refusal, S3Fault

from saros_hf.acquire.workspace import WORK_NAME

EVER = 12


# One case fails, the others are whole; the same command later finishes it.

NBIA_FAULTS: dict[str, tuple[str, Fault, str]] = {
    "http-401": (GET_IMAGE, Status(401), r"found HTTP 401 \(Unauthorized\)"),
    "http-403": (GET_IMAGE, Status(403), r"found HTTP 403 \(Forbidden\)"),
    "http-404": (GET_SERIES, Status(404), r"found HTTP 404 \(Not Found\)"),
    "http-429": (GET_IMAGE, Status(429, {"Retry-After": "0"}), "found HTTP 429"),
    "http-500": (GET_IMAGE, Status(500), "found HTTP 500"),
    "http-503": (GET_SERIES, Status(503), "found HTTP 503"),
    "page-instead-of-rows": (GET_SERIES, GARBAGE, "found no JSON but '<!DOCTYPE html>"),
    "page-instead-of-zip": (GET_IMAGE, GARBAGE, "found a file that is no whole .zip"),
    "connection-cut": (GET_IMAGE, Cut(300), "found a lost connection"),
    "connection-stalls": (GET_IMAGE, Stall(300), "found silence for 1 s"),
    "short-zip": (GET_IMAGE, SHORT_ZIP, "found a file that is no whole .zip"),
    "zip-lacks-a-slice": (GET_IMAGE, MISSING_INSTANCE, "found 4 of 5 files"),
    "zip-lacks-the-hashes": (GET_IMAGE, NO_MANIFEST, "found no md5hashes.csv"),
    "wrong-md5": (GET_IMAGE, WRONG_MD5, r"found 00000001\.dcm with MD5 \w{32}, expected MD5"),
    "zip-reaches-outside": (GET_IMAGE, PARENT_PATH, r"a member outside the archive, '\.\./x"),
    "zip-with-absolute-path": (GET_IMAGE, ABSOLUTE_PATH, "a member outside the archive, '/tmp"),
    "zip-with-link": (GET_IMAGE, SYMLINK, "a link or special file, 'link'"),
    "zip-bomb": (GET_IMAGE, BOMB, r"found [\d.]+ GiB"),
}


NOT_TRIED_AGAIN = (
    "http-401",
    "http-403",
    "http-404",
    "zip-reaches-outside",
    "zip-with-absolute-path",
    "zip-with-link",
    "zip-bomb",
)


@pytest.mark.parametrize("name", NBIA_FAULTS)
def test_nbia(archives: Archives, name: str) -> None:
    path, fault, message = NBIA_FAULTS[name]
    archives.jobs = 1
    tries = 1 if name in NOT_TRIED_AGAIN else archives.patience.attempts
    archives.web.fail(path, *[fault] * tries)
    assert re.search(message, archives.one_failure("nbia"))
    assert not archives.web.faults[path]
    assert not Path("/tmp/x.dcm").exists()
    archives.web.faults.clear()
    archives.recover("nbia")


def test_nbia_revised_the_series(archives: Archives) -> None:
    archives.web.image_count = 6
    outcomes = archives.download("nbia")
    assert {one.status for one in outcomes} == {"failed"}
    assert "found 6 files, expected 5 as listed in the index" in outcomes[0].reason
    archives.web.image_count = None
    archives.recover("nbia")


IDC_FAULTS: dict[str, tuple[str, S3Fault, str]] = {
    "forbidden": ("2.dcm", FORBIDDEN, "AccessDenied: .* 403"),
    "gone": ("2.dcm", GONE, "NoSuchKey: .* 404"),
    "listing-forbidden": ("?list", FORBIDDEN, "AccessDenied: .* 403"),
    "server-error": ("2.dcm", Refusal(500, "InternalError"), "InternalError: .* 500"),
    "connection-cut": ("2.dcm", Break(100), "found unexpected EOF"),
    "connection-stalls": ("2.dcm", Hang(100), "found a stalled connection, nothing for 1 s"),
    "other-bytes": ("2.dcm", Damage(), r"wrong size or MD5 in 1 of \d files \(2\.dcm\)"),
}


@pytest.mark.parametrize("name", IDC_FAULTS)
def test_idc(archives: Archives, name: str) -> None:
    suffix, fault, message = IDC_FAULTS[name]
    uid = archives.world.cases[1].series_instance_uid
    archives.s3.fail(suffix if suffix == "?list" else f"{uid}/{suffix}", *[fault] * EVER)
    if suffix == "?list":
        assert {one.status for one in archives.download("idc")} == {"failed"}
        assert finished(archives.folder) == []
    else:
        assert re.search(message, archives.one_failure("idc"))
    arrived = {f"/{uid}/{path.name}" for path in (archives.folder / WORK_NAME).rglob("*.dcm")}
    archives.s3.faults.clear()
    archives.s3.fetched()
    archives.recover("idc")
    # Nothing that had arrived whole is asked for again, nor anything of the other cases.
    again = {one.partition("idc-open-data")[2] for one in archives.s3.fetched()}
    assert again.isdisjoint(arrived)
    assert suffix == "?list" or all(uid in one for one in again)


def test_idc_is_busy_for_a_while(archives: Archives) -> None:
    uid = archives.world.cases[1].series_instance_uid
    archives.s3.fail(f"{uid}/2.dcm", *[Refusal(500, "InternalError")] * 4)
    assert [one.status for one in archives.download("idc")] == ["written"] * 3
    assert finished(archives.folder) == list(CASE_IDS)


def test_idc_has_another_number_of_files_than_the_index_says(archives: Archives) -> None:
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
