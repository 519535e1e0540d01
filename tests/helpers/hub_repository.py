"""A repository of the stand-in for the Hugging Face Hub: commits, branches and tags in memory."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LARGE = (".parquet", ".safetensors", ".gz", ".png")
"""Suffixes of files stored with git-lfs."""


@dataclass
class Repository:
    """Files by path of every commit; tags and branches name commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: str | bool = False

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        digest = hashlib.sha1(repr([len(self.commits), sorted(files)]).encode()).hexdigest()
        self.commits[digest] = dict(files)
        self.refs[branch] = digest
        return digest

    def find(self, revision: str) -> str | None:
        commit = self.refs.get(revision) or self.tags.get(revision) or revision
        return commit if commit in self.commits else None


def oid_of(body: bytes, *, large: bool) -> str:
    if large:
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def entry_of(path: str, body: bytes) -> dict[str, Any]:
    large = path.endswith(LARGE)
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(body),
        "oid": oid_of(body, large=False),
    }
    if large:
        entry["lfs"] = {"oid": oid_of(body, large=True), "size": len(body), "pointerSize": 130}
    return entry
