"""A stand-in for the Hugging Face Hub on 127.0.0.1 that can be written to, in memory."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".gz", ".png")
"""Suffixes that go by git-lfs, whatever their size."""

Json = Any


@dataclass
class Repository:
    """Files by path of every commit; tags and branches name commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        digest = hashlib.sha1(repr([len(self.commits), sorted(files)]).encode()).hexdigest()
        self.commits[digest] = dict(files)
        self.refs[branch] = digest
        return digest

    def find(self, revision: str) -> str | None:
        commit = self.refs.get(revision) or self.tags.get(revision) or revision
        return commit if commit in self.commits else None


@dataclass
class Hub:
    """Runs while its context lasts.

    Attributes:
        repositories: By ``datasets/user/name`` or ``models/user/name``.
        requests: Method and path of each request, in order.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.find(revision) or ""]

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.query = parse_qs(parts.query)
        self.hub.requests.append(f"{self.command} {path}")
        for pattern, answer in ROUTES:
            if match := re.fullmatch(pattern, path):
                return answer(self, **match.groupdict())
        return self.fail(404, "EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - names of the standard library

    def send(
        self, content: bytes, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, answer: Json, status: int = 200) -> None:
        self.send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, status)

    def fail(self, status: int, code: str) -> None:
        self.send(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def commit_of(self, name: str, revision: str) -> tuple[Repository, str] | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.fail(404, "RepoNotFound")
            return None
        commit = repository.find(revision)
        if commit is None:
            self.fail(404, "RevisionNotFound")
            return None
        return repository, commit


def create(handler: _Handler) -> None:
    asked = json.loads(handler.body)
    kind = asked.get("type", "model")
    owner = asked.get("organization") or "user"
    name = f"{kind}s/{owner}/{asked['name']}"
    prefix = "" if kind == "model" else f"{kind}s/"
    answer = {"url": f"{handler.hub.url}/{prefix}{owner}/{asked['name']}"}
    if name in handler.hub.repositories:
        return handler.json(answer, 409)
    handler.hub.repositories[name] = Repository()
    handler.hub.repositories[name].commit({".gitattributes": b"*.parquet filter=lfs\n"})
    return handler.json(answer)


def preupload(handler: _Handler, name: str, revision: str) -> None:
    found = handler.commit_of(name, revision)
    if found is None:
        return
    present = found[0].commits[found[1]]
    files = []
    for one in json.loads(handler.body)["files"]:
        large = one["path"].endswith(LARGE)
        answer = {
            "path": one["path"],
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
        }
        if one["path"] in present:
            answer["oid"] = _oid(present[one["path"]], large=large)
        files.append(answer)
    handler.json({"files": files})


def batch(handler: _Handler, name: str) -> None:
    del name
    objects = []
    for one in json.loads(handler.body)["objects"]:
        answer = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in handler.hub.objects:
            href = f"{handler.hub.url}/objects/{one['oid']}"
            answer["actions"] = {"upload": {"href": href}}
        objects.append(answer)
    handler.json({"transfer": "basic", "objects": objects})


def put(handler: _Handler, oid: str) -> None:
    assert hashlib.sha256(handler.body).hexdigest() == oid
    handler.hub.objects[oid] = handler.body
    handler.send(b"")


def commit(handler: _Handler, name: str, revision: str) -> None:
    found = handler.commit_of(name, revision)
    if found is None:
        return
    repository, parent = found
    files = dict(repository.commits[parent])
    for line in handler.body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif entry["key"] == "lfsFile":
            files[value["path"]] = handler.hub.objects[value["oid"]]
        elif entry["key"] == "deletedFile":
            files.pop(value["path"], None)
        elif entry["key"] == "deletedFolder":
            gone = value["path"].rstrip("/") + "/"
            files = {path: body for path, body in files.items() if not path.startswith(gone)}
    digest = repository.commit(files, revision)
    url = f"{handler.hub.url}/{_page(name)}/commit/{digest}"
    handler.json({"success": True, "commitUrl": url, "commitOid": digest})


def info(handler: _Handler, name: str, revision: str | None) -> None:
    found = handler.commit_of(name, revision or "main")
    if found is None:
        return
    files = found[0].commits[found[1]]
    siblings = [{"rfilename": path, "size": len(body)} for path, body in sorted(files.items())]
    owner = name.partition("/")[2]
    about = {"id": owner, "sha": found[1], "siblings": siblings, "private": False, "gated": False}
    handler.json({**about, "disabled": False, "downloads": 0, "likes": 0, "tags": []})


def tree(handler: _Handler, name: str, revision: str, path: str | None = None) -> None:
    found = handler.commit_of(name, revision)
    if found is None:
        return None
    recursive = handler.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    path = (path or "").strip("/")
    prefix = f"{path}/" if path else ""
    files = {p: b for p, b in found[0].commits[found[1]].items() if p.startswith(prefix)}
    if prefix and not files:
        return handler.fail(404, "EntryNotFound")
    folders = {p[: i + len(prefix)] for p in files if (i := p[len(prefix) :].find("/")) > 0}
    listed = [{"type": "directory", "path": p, "size": 0, "oid": "0" * 40} for p in sorted(folders)]
    inside = [p for p in sorted(files) if recursive or "/" not in p[len(prefix) :]]
    return handler.json(listed + [_entry(p, files[p]) for p in inside])


def paths_info(handler: _Handler, name: str, revision: str) -> None:
    found = handler.commit_of(name, revision)
    if found is None:
        return
    files = found[0].commits[found[1]]
    if handler.headers.get("Content-Type", "").startswith("application/json"):
        paths = json.loads(handler.body)["paths"]
    else:
        paths = parse_qs(handler.body.decode())["paths"]
    handler.json([_entry(path, files[path]) for path in paths if path in files])


def refs(handler: _Handler, name: str) -> None:
    repository = handler.hub.repositories[name]
    branches = [
        {"name": one, "ref": f"refs/heads/{one}", "targetCommit": sha}
        for one, sha in repository.refs.items()
    ]
    tags = [
        {"name": one, "ref": f"refs/tags/{one}", "targetCommit": sha}
        for one, sha in repository.tags.items()
    ]
    handler.json({"branches": branches, "tags": tags, "converts": []})


def tag(handler: _Handler, name: str, revision: str) -> None:
    found = handler.commit_of(name, revision)
    if found is not None:
        found[0].tags[json.loads(handler.body)["tag"]] = found[1]
        handler.json({})


def resolve(handler: _Handler, name: str, revision: str, path: str) -> None:
    found = handler.commit_of(name if name.startswith("datasets/") else f"models/{name}", revision)
    if found is None:
        return None
    files = found[0].commits[found[1]]
    if path not in files:
        return handler.fail(404, "EntryNotFound")
    body = files[path]
    etag = f'"{_oid(body, large=path.endswith(LARGE))}"'
    headers = {"X-Repo-Commit": found[1], "ETag": etag, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
    if not asked:
        return handler.send(body, headers)
    start, end = int(asked[1]), int(asked[2] or len(body) - 1)
    headers["Content-Range"] = f"bytes {start}-{min(end, len(body) - 1)}/{len(body)}"
    return handler.send(body[start : end + 1], headers, 206)


def _page(name: str) -> str:
    return name.removeprefix("models/")


def _oid(body: bytes, *, large: bool) -> str:
    if large:
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _entry(path: str, body: bytes) -> Json:
    large = path.endswith(LARGE)
    entry: Json = {"type": "file", "path": path, "size": len(body), "oid": _oid(body, large=False)}
    if large:
        entry["lfs"] = {"oid": _oid(body, large=True), "size": len(body), "pointerSize": 130}
    return entry


_API = r"/api/(?P<name>(datasets|models)/[^/]+/[^/]+)"
_REPO = r"/(?P<name>(datasets/)?[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/]+|refs/[^/]+/[^/]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"/api/repos/create", create),
    (r"/api/validate-yaml", lambda handler: handler.json({"warnings": [], "errors": []})),
    (rf"{_API}/preupload/{_REVISION}", preupload),
    (rf"{_API}/commit/{_REVISION}", commit),
    (rf"{_API}/paths-info/{_REVISION}", paths_info),
    (rf"{_API}/refs", refs),
    (rf"{_API}/tag/{_REVISION}", tag),
    (rf"{_API}/tree/{_REVISION}(/(?P<path>.*))?", tree),
    (rf"{_API}(/revision/{_REVISION})?", info),
    (rf"{_REPO}\.git/info/lfs/objects/batch", batch),
    (r"/objects/(?P<oid>\w+)", put),
    (rf"{_REPO}/resolve/{_REVISION}/(?P<path>.+)", resolve),
]
