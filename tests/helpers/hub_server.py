"""A writable stand-in for the Hugging Face Hub on 127.0.0.1, in memory."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from helpers.hub_repository import Repository
from helpers.hub_routes import ROUTES


@dataclass
class Hub:
    """A server that runs while its context lasts.

    Attributes:
        repositories: By ``datasets/user/name`` or ``models/user/name``.
        requests: Method and path of each request, in order.
        token: Token of ``user`` with write access.
        reader: Read-only token of ``user``.
        stranger: Token of another user, who has agreed to no terms.
        private_by_default: Whether new repositories are private.
        refusals: Status by pattern of a request such as "POST /api/repos/create"; 0 hangs up.
        account: Answer to the question who owns a token, instead of the truth.
        on_put: Called before a large file is stored.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    token: str = "hf_test"
    reader: str = "hf_read"
    stranger: str = "hf_stranger"
    private_by_default: bool = False
    refusals: dict[str, int] = field(default_factory=dict)
    account: dict[str, str] | None = None
    on_put: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.find(revision) or ""]

    def __enter__(self) -> Self:
        handler = type("Handler", (Handler,), {"hub": self})
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


class Handler(BaseHTTPRequestHandler):
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
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        for pattern, status in self.hub.refusals.items():
            if re.fullmatch(pattern, request):
                if not status:
                    self.close_connection = True
                    return None
                return self.fail(status, HTTPStatus(status).phrase)
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

    def json(self, answer: object, status: int = 200) -> None:
        self.send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, status)

    def fail(self, status: int, code: str) -> None:
        self.send(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status)

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def is_known(self) -> bool:
        """Return whether the request has a known token; answer it if not."""
        if self.token in (self.hub.token, self.hub.reader, self.hub.stranger):
            return True
        self.send(b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"}, 401)
        return False

    def may_write(self) -> bool:
        """Return whether the request has write access; answer it if not."""
        if not self.is_known():
            return False
        if self.token != self.hub.token:
            self.fail(403, "Forbidden")
        return self.token == self.hub.token

    def is_owner(self) -> bool:
        return self.token in (self.hub.token, self.hub.reader)

    def commit_of(
        self, name: str, revision: str, *, inside: bool = False
    ) -> tuple[Repository, str] | None:
        """Return a commit, or answer with an error; ``inside`` also checks the gate."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.is_owner()):
            self.fail(404 if self.token else 401, "RepoNotFound")
            return None
        if inside and repository.gated and not self.is_owner():
            self.fail(403 if self.token else 401, "GatedRepo")
            return None
        commit = repository.find(revision)
        if commit is None:
            self.fail(404, "RevisionNotFound")
            return None
        return repository, commit
