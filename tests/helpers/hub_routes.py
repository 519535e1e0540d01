"""Answers of the stand-in for the Hugging Face Hub, by path."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import yaml
from helpers.hub_repository import LARGE, Repository, entry_of, oid_of
from helpers.hub_rules import card_errors

if TYPE_CHECKING:
    from helpers.hub_server import Handler


def whoami(handler: "Handler") -> None:
    if handler.is_known():
        role = "write" if handler.token == handler.hub.token else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": "mine", "role": role}}
        name = "user" if handler.is_owner() else "somebody"
        account = {"type": "user", "name": name, "orgs": [{"name": "lab"}], "auth": auth}
        handler.json(handler.hub.account or account)


def create(handler: "Handler") -> None:
    asked = json.loads(handler.body)
    kind = asked.get("type", "model")
    owner = asked.get("organization") or "user"
    if not handler.may_write():
        return None
    if owner not in ("user", "lab"):
        return handler.fail(403, f"You don't have the rights to create a {kind} under {owner}")
    name = f"{kind}s/{owner}/{asked['name']}"
    prefix = "" if kind == "model" else f"{kind}s/"
    answer = {"url": f"{handler.hub.url}/{prefix}{owner}/{asked['name']}"}
    if name in handler.hub.repositories:
        return handler.json(answer, 409)
    default = "private" if handler.hub.private_by_default else "public"
    private = asked.get("visibility", default) == "private"
    handler.hub.repositories[name] = Repository(private=private)
    handler.hub.repositories[name].commit({".gitattributes": b"*.parquet filter=lfs\n"})
    return handler.json(answer)


def validate_yaml(handler: "Handler") -> None:
    """Refuse missing, malformed or unknown metadata."""
    asked = json.loads(handler.body)
    errors = card_errors(asked["content"], asked["repoType"])
    answer = {"warnings": [], "errors": [{"message": one} for one in errors]}
    handler.json(answer, 400 if errors else 200)


def settings(handler: "Handler", name: str) -> None:
    if handler.may_write():
        asked = json.loads(handler.body)
        handler.hub.repositories[name].gated = asked["gated"]
        handler.json(asked)


def preupload(handler: "Handler", name: str, revision: str) -> None:
    if not handler.may_write():
        return
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
            answer["oid"] = oid_of(present[one["path"]], large=large)
        files.append(answer)
    handler.json({"files": files})


def batch(handler: "Handler", name: str) -> None:
    del name
    objects = []
    for one in json.loads(handler.body)["objects"]:
        answer = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in handler.hub.objects:
            href = f"{handler.hub.url}/objects/{one['oid']}"
            answer["actions"] = {"upload": {"href": href}}
        objects.append(answer)
    handler.json({"transfer": "basic", "objects": objects})


def put(handler: "Handler", oid: str) -> None:
    handler.hub.on_put()
    assert hashlib.sha256(handler.body).hexdigest() == oid
    handler.hub.objects[oid] = handler.body
    handler.send(b"")


def commit(handler: "Handler", name: str, revision: str) -> None:
    if not handler.may_write():
        return
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
    url = f"{handler.hub.url}/{name.removeprefix('models/')}/commit/{digest}"
    handler.json({"success": True, "commitUrl": url, "commitOid": digest})


def info(handler: "Handler", name: str, revision: str | None) -> None:
    found = handler.commit_of(name, revision or "main")
    if found is None:
        return
    files = found[0].commits[found[1]]
    siblings = [{"rfilename": path, "size": len(body)} for path, body in sorted(files.items())]
    owner = name.partition("/")[2]
    card = re.match(r"---\n(.*?)\n---\n", files.get("README.md", b"").decode(), re.DOTALL)
    tags = (yaml.safe_load(card[1]) or {}).get("tags", []) if card else []
    about = {"id": owner, "sha": found[1], "siblings": siblings, "tags": tags}
    seen = {"private": found[0].private, "gated": found[0].gated, "disabled": False}
    handler.json({**about, **seen, "downloads": 0, "likes": 0})


def tree(handler: "Handler", name: str, revision: str, path: str | None = None) -> None:
    found = handler.commit_of(name, revision, inside=True)
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
    return handler.json(listed + [entry_of(p, files[p]) for p in inside])


def paths_info(handler: "Handler", name: str, revision: str) -> None:
    found = handler.commit_of(name, revision)
    if found is None:
        return
    files = found[0].commits[found[1]]
    if handler.headers.get("Content-Type", "").startswith("application/json"):
        paths = json.loads(handler.body)["paths"]
    else:
        paths = parse_qs(handler.body.decode())["paths"]
    handler.json([entry_of(path, files[path]) for path in paths if path in files])


def refs(handler: "Handler", name: str) -> None:
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


def tag(handler: "Handler", name: str, revision: str) -> None:
    found = handler.commit_of(name, revision) if handler.may_write() else None
    if found is None:
        return None
    asked = json.loads(handler.body)["tag"]
    if asked in found[0].tags:
        return handler.fail(409, "Conflict")
    found[0].tags[asked] = found[1]
    return handler.json({})


def resolve(handler: "Handler", name: str, revision: str, path: str) -> None:
    full = name if name.startswith("datasets/") else f"models/{name}"
    found = handler.commit_of(full, revision, inside=True)
    if found is None:
        return None
    files = found[0].commits[found[1]]
    if path not in files:
        return handler.fail(404, "EntryNotFound")
    body = files[path]
    etag = f'"{oid_of(body, large=path.endswith(LARGE))}"'
    headers = {"X-Repo-Commit": found[1], "ETag": etag, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
    if not asked:
        return handler.send(body, headers)
    start, end = int(asked[1]), int(asked[2] or len(body) - 1)
    headers["Content-Range"] = f"bytes {start}-{min(end, len(body) - 1)}/{len(body)}"
    return handler.send(body[start : end + 1], headers, 206)


_API = r"/api/(?P<name>(datasets|models)/[^/]+/[^/]+)"
_REPO = r"/(?P<name>(datasets/)?[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/]+|refs/[^/]+/[^/]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"/api/repos/create", create),
    (r"/api/whoami-v2", whoami),
    (r"/api/validate-yaml", validate_yaml),
    (rf"{_API}/settings", settings),
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
