"""A web server on 127.0.0.1: files with Range support, NBIA's REST v4, and faults on demand."""

import hashlib
import io
import json
import os
import re
import struct
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipInfo

os.environ["no_proxy"] = "127.0.0.1"

NBIA = "/nbia-api/services/v4/"
GET_SERIES = NBIA + "getSeries"
GET_IMAGE = NBIA + "getImage"
LAST_MODIFIED = "Tue, 01 Sep 2026 10:00:00 GMT"

Members = dict[str, bytes]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Status:
    """Answer with this status and no content."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stall:
    """Send this number of bytes of the body (``None``: not even headers), then nothing."""

    after: int | None = None


@dataclass(frozen=True)
class Cut:
    """Close the connection after this number of bytes of the body."""

    after: int = 0


@dataclass(frozen=True)
class Body:
    """Answer with HTTP 200 and this body."""

    content: bytes
    chunked: bool = False


@dataclass(frozen=True)
class Zip:
    """Change the members or the bytes of NBIA's ZIP."""

    edit: Callable[[Members], object] = lambda _: None
    pack: Callable[[bytes], bytes] = lambda packed: packed


Fault = Status | Stall | Cut | Body | Zip


def _declare_huge(packed: bytes) -> bytes:
    """Set the size of the first member in the directory of the ZIP to 2 GiB."""
    at = packed.index(b"PK\1\2") + 24
    return packed[:at] + struct.pack("<I", 1 << 31) + packed[at + 4 :]


def _spoil_md5(members: Members) -> None:
    *body, last = members["00000001.dcm"]
    members["00000001.dcm"] = bytes([*body, last ^ 0xFF])


GARBAGE = Body(b"<!DOCTYPE html><html><body>Down for maintenance</body></html>")
SHORT_ZIP = Zip(pack=lambda packed: packed[: len(packed) // 2])
WRONG_MD5 = Zip(_spoil_md5)
MISSING_INSTANCE = Zip(lambda members: members.pop("00000002.dcm"))
NO_MANIFEST = Zip(lambda members: members.pop("md5hashes.csv"))
PARENT_PATH = Zip(lambda members: members.update({"../x.dcm": b"x"}))
BOMB = Zip(pack=_declare_huge)


@dataclass
class Loopback:
    """Runs while its context lasts.

    Attributes:
        files: Body by path.
        series: The instances of each SeriesInstanceUID.
        version: Headers that identify the version of a file.
        ranges: Whether byte ranges are supported.
        chunked: Whether files are sent without Content-Length.
        requests: All requests, in order.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    series: dict[str, Sequence[bytes]] = field(default_factory=dict)
    version: Literal["etag", "date", "weak", "none"] = "etag"
    ranges: bool = True
    chunked: bool = False
    requests: list[Request] = field(default_factory=list)
    release: Event = field(default_factory=Event)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def fail(self, path: str, *faults: Fault) -> None:
        """Apply faults to the next requests for a path, one each."""
        self.faults[path].extend(faults)

    def asked(self, path: str) -> list[Request]:
        return [one for one in self.requests if one.path == path and one.method == "GET"]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"loopback": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def series_zip(instances: Sequence[bytes], fault: Zip | None = None) -> bytes:
    """Return what NBIA's getImage sends."""
    fault = fault or Zip()
    members = {f"{number:08d}.dcm": body for number, body in enumerate(instances, 1)}
    hashes = [f"{name},{hashlib.md5(body).hexdigest()}" for name, body in members.items()]
    table = "\n".join(["Filename,MD5Hash", *hashes]) + "\n"
    members = {"LICENSE": b"CC BY 3.0", **members, "md5hashes.csv": table.encode()}
    fault.edit(members)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(ZipInfo(name), body)
    return fault.pack(packed.getvalue())


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.close_connection = True
        server, parts = self.loopback, urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append(Request(self.command, parts.path, parts.query, headers))
        fault = server.faults[parts.path].popleft() if server.faults[parts.path] else None
        if isinstance(fault, Status):
            return self._send(fault.code, b"", fault.headers)
        if fault == Stall():
            server.release.wait(10)
            return None
        if isinstance(fault, Body):
            return self._send(200, fault.content, chunked=fault.chunked)
        if parts.path.startswith(NBIA):
            return self._nbia(parts.path, parse_qs(parts.query), fault)
        if parts.path not in server.files:
            return self._send(404)
        return self._file(server.files[parts.path], fault)

    def _nbia(self, path: str, query: dict[str, list[str]], fault: Fault | None) -> None:
        server, known = self.loopback, {"SeriesInstanceUID", "IncludeMD5"}
        uid = query.get("SeriesInstanceUID", [""])[0]
        if path not in (GET_SERIES, GET_IMAGE) or not uid or set(query) - known:
            return self._send(400)
        instances = server.series.get(uid, ())
        if path == GET_IMAGE:
            packed = series_zip(instances, fault if isinstance(fault, Zip) else None)
            return self._send(200, packed, fault=fault, chunked=True)
        row = {
            "SeriesInstanceUID": uid,
            "ImageCount": len(instances),
            "FileSize": sum(map(len, instances)),
            "LicenseName": "Creative Commons Attribution 3.0 Unported License",
            "Authorized": "1",
        }
        return self._send(200, json.dumps([row] if instances else []).encode(), fault=fault)

    def _file(self, body: bytes, fault: Fault | None) -> None:
        server, etag = self.loopback, f'"{hashlib.md5(body).hexdigest()}"'
        headers = {"etag": {"ETag": etag}, "weak": {"ETag": f"W/{etag}"}}.get(server.version, {})
        if server.version == "date":
            headers = {"Last-Modified": LAST_MODIFIED}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", etag) in (etag, LAST_MODIFIED)
        if not wanted or not server.ranges or not same:
            return self._send(200, body, headers, fault=fault, chunked=server.chunked)
        first, last = wanted.groups()
        start = int(first) if first else max(len(body) - int(last), 0)
        end = min(int(last) + 1, len(body)) if first and last else len(body)
        if start >= len(body):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        return self._send(206, body[start:end], headers, fault=fault)

    def _send(
        self,
        code: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        fault: Fault | None = None,
        chunked: bool = False,
    ) -> None:
        length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", len(body))
        self.send_response(code)
        for name, value in [*(headers or {}).items(), length, ("Connection", "close")]:
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body[: fault.after] if isinstance(fault, Stall | Cut) else body
        ending = b"" if isinstance(fault, Stall | Cut) else b"0\r\n\r\n"
        framed = b"%x\r\n%b\r\n" % (len(sent), sent) if chunked and sent else sent
        self.wfile.write(framed + ending if chunked else framed)
        self.wfile.flush()
        if isinstance(fault, Stall):
            self.loopback.release.wait(10)
