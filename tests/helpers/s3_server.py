"""An S3 server (moto) on 127.0.0.1, with faults on demand, and an index of its series."""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "idc-open-data"


@dataclass(frozen=True)
class Refusal:
    """Answer with this status and an S3 error."""

    code: int
    name: str


@dataclass(frozen=True)
class Hang:
    """Send this number of bytes of the body, then nothing."""

    after: int = 0


@dataclass(frozen=True)
class Break:
    """Close the connection after this number of bytes of the body."""

    after: int = 0


@dataclass(frozen=True)
class Damage:
    """Send other bytes of the same length."""


S3Fault = Refusal | Hang | Break | Damage

SLOW_DOWN = Refusal(503, "SlowDown")
FORBIDDEN = Refusal(403, "AccessDenied")
GONE = Refusal(404, "NoSuchKey")


@dataclass
class S3Server:
    """Runs while its context lasts.

    Attributes:
        requests: Method and path of every request, in order; listings end in ``?list``.
        faults: Faults of the next requests, by the end of the path.
        delay_s: Delay of every object.
    """

    requests: list[str] = field(default_factory=list)
    faults: dict[str, deque[S3Fault]] = field(default_factory=lambda: defaultdict(deque))
    release: Event = field(default_factory=Event)
    delay_s: float = 0.0

    def fail(self, suffix: str, *faults: S3Fault) -> None:
        """Apply faults to the next requests for paths that end in ``suffix``, one each."""
        self.faults[suffix].extend(faults)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, uuid: str, bodies: Sequence[bytes]) -> None:
        """Store the instances of a series as ``<uuid>/<number>.dcm``, publicly readable."""
        for number, body in enumerate(bodies):
            self._client.put_object(
                Bucket=BUCKET, Key=f"{uuid}/{number}.dcm", Body=body, ACL="public-read"
            )

    def fetched(self) -> list[str]:
        """Return the objects that were requested since the last call."""
        asked = [one.removeprefix("GET ") for one in self.requests if one.endswith(".dcm")]
        self.requests.clear()
        return asked

    def __enter__(self) -> Self:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        moto = DomainDispatcherApplication(create_backend_app)

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
            return self._answer(moto, environ, start_response)

        self._server = make_server("127.0.0.1", 0, application, threaded=True)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )
        self._client.create_bucket(Bucket=BUCKET, ACL="public-read")
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, moto: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        path = environ["PATH_INFO"] + ("?list" if "list-type" in environ["QUERY_STRING"] else "")
        if environ["REQUEST_METHOD"] != "PUT":
            self.requests.append(f"{environ['REQUEST_METHOD']} {path}")
        due = [queue for suffix, queue in self.faults.items() if path.endswith(suffix) and queue]
        if path.endswith(".dcm") and environ["REQUEST_METHOD"] == "GET":
            self.release.wait(self.delay_s)
        fault = due[0].popleft() if due and environ["REQUEST_METHOD"] == "GET" else None
        if isinstance(fault, Refusal):
            body = f"<Error><Code>{fault.name}</Code><Message>no</Message></Error>".encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start_response(f"{fault.code} {fault.name}", headers)
            return [body]
        body = b"".join(moto(environ, start_response))
        if isinstance(fault, Damage):
            return [bytes(byte ^ 0xFF for byte in body[:-1]) + body[-1:]]
        if isinstance(fault, Hang | Break):
            return self._part_of(body, fault)
        return [body]

    def _part_of(self, body: bytes, fault: Hang | Break) -> Iterator[bytes]:
        yield body[: fault.after]
        if isinstance(fault, Hang):
            self.release.wait(10)
        else:
            time.sleep(0.01)


def write_index(path: Path, series: Mapping[str, Sequence[bytes]], bucket: str = BUCKET) -> None:
    """Write an index as in the package idc-index-data; the uuid of a series is its UID."""
    table = {
        "SeriesInstanceUID": list(series),
        "instanceCount": [len(bodies) for bodies in series.values()],
        "series_size_MB": [sum(map(len, bodies)) / 1e6 for bodies in series.values()],
        "license_short_name": ["CC BY 3.0"] * len(series),
        "aws_bucket": [bucket] * len(series),
        "crdc_series_uuid": list(series),
    }
    pq.write_table(pa.table(table), path)
