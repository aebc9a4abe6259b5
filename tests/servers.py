"""Servers that tests talk to, as fixtures: an S3 API over HTTP, a proxy that breaks things, a web server of files.

Every server listens on a free loopback port and ends with the session or the test.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIVE_ENDPOINT = os.environ.get("SCYTHE_TEST_S3_ENDPOINT", "")
LIVE_KEY = os.environ.get("SCYTHE_TEST_S3_KEY", "testing-key")
LIVE_SECRET = os.environ.get("SCYTHE_TEST_S3_SECRET", "testing-secret")
BUCKET = "scythe-tests"

_MOTO = """
import sys
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.disable_nagle_algorithm = True
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The address of an S3 API over HTTP, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as moto:
        assert moto.stdin is not None
        assert moto.stdout is not None
        address = moto.stdout.readline().decode().strip()
        assert address, "moto's server did not start"
        yield f"http://{address}"
        moto.stdin.close()
        moto.kill()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 API over HTTP (moto's), started once a session."""
    with moto_server() as endpoint:
        make_bucket(endpoint)
        yield endpoint


@pytest.fixture
def s3_storage(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh `s3://bucket/prefix`, with the environment set so that scythe and boto3 find the server."""
    use_s3(monkeypatch, s3_endpoint)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(params=["folder", "s3"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for runs, once in a folder and once in a bucket."""
    return str(tmp_path / "runs") if request.param == "folder" else str(request.getfixturevalue("s3_storage"))


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Point the AWS environment of this test, and of the processes it starts, at a server."""
    for name, value in environment(endpoint).items():
        monkeypatch.setenv(name, value)


def environment(endpoint: str) -> dict[str, str]:
    """The variables that make scythe and boto3 find a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": LIVE_KEY,
        "AWS_SECRET_ACCESS_KEY": LIVE_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@cache
def client(endpoint: str) -> Any:
    """The back door: boto3's own client; one for a session, for it is slow to make."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=LIVE_KEY,
        aws_secret_access_key=LIVE_SECRET,
        region_name="us-east-1",
    )


def make_bucket(endpoint: str, name: str = BUCKET) -> None:
    """Make the bucket unless it is there."""
    s3 = client(endpoint)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.create_bucket(Bucket=name)


@dataclass
class FaultProxy:
    """An HTTP proxy before one server, that counts requests and breaks them on demand.

    Attributes:
        url: where clients connect.
        counts: requests by method, answered or not.
        log: "METHOD path" of every request, in order.
        fault: asked before a request is passed on; a status means: answer with it instead.
        lie: asked after a request was passed on; a status means: answer with it although it was done.
        drop_headers: request headers, lower case, that the server never sees.
        short: so many answers to GET still break off half-way.
        code: what the answers of `fault` and `lie` call the error.
        latency: seconds that every request waits before it is passed on.
    """

    upstream: str
    url: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    fault: Callable[[str, str, int], int | None] = lambda *_: None
    lie: Callable[[str, str, int], int | None] = lambda *_: None
    drop_headers: set[str] = field(default_factory=set)
    short: int = 0
    code: str = "SlowDown"
    latency: float = 0.0
    down_until: float = 0.0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def cut(self, seconds: float) -> None:
        """Drop every connection for the next `seconds`."""
        self.down_until = time.monotonic() + seconds

    def fail_every(self, nth: int, *, method: str = "PUT", status: int = 503) -> None:
        """Answer every `nth` request of a method with an error, without passing it on."""
        self.fault = lambda seen, _path, number: status if seen == method and number % nth == 0 else None

    def total(self) -> int:
        """All requests so far."""
        return sum(self.counts.values())

    @property
    def down(self) -> bool:
        """Whether connections are being dropped."""
        return time.monotonic() < self.down_until

    def count(self, method: str, path: str) -> int:
        """Count a request; return its number among those of its method, from 1."""
        with self.guard:
            self.counts[method] += 1
            self.log.append(f"{method} {path}")
            return self.counts[method]


@contextlib.contextmanager
def fault_proxy_before(upstream: str) -> Iterator[FaultProxy]:
    """Start a `FaultProxy` before any server."""
    proxy = FaultProxy(upstream)

    class Handler(_ProxyHandler):
        faults = proxy

    with _serving(Handler) as url:
        proxy.url = url
        yield proxy


@pytest.fixture
def s3_proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A `FaultProxy` before the S3 server, with the environment pointing at the proxy."""
    with fault_proxy_before(s3_endpoint) as proxy:
        use_s3(monkeypatch, proxy.url)
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Or an answer's body waits 40 ms for the client to acknowledge the headers."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests are quiet."""

    def handle_one_request(self) -> None:
        """Read a request; a client that goes away in the middle is no error of the test."""
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def reply(self, status: int, headers: dict[str, str], body: bytes, *, announced: int | None = None) -> None:
        """Send an answer; `announced` lies about its length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _ProxyHandler(_Handler):
    faults: FaultProxy

    def _pass_on(self) -> None:
        faults = self.faults
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = faults.count(self.command, self.path)
        time.sleep(faults.latency)
        if faults.down:
            self.close_connection = True
            return
        if status := faults.fault(self.command, self.path, number):
            self.reply(status, {}, _error(faults.code))
            return
        status, headers, answer = self._ask(body)
        if lied := faults.lie(self.command, self.path, number):
            self.reply(lied, {}, _error(faults.code))
            return
        announced = int(headers.pop("content-length", len(answer)))
        if faults.short and self.command == "GET":
            faults.short -= 1
            self.close_connection = True
            answer = answer[: len(answer) // 2]
        self.reply(status, headers, answer, announced=announced)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        target = urlsplit(self.faults.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in self.faults.drop_headers}
        connection = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = {name.lower(): value for name, value in answer.getheaders()}
            for hop in ("connection", "transfer-encoding", "server", "date"):
                kept.pop(hop, None)
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - the base class's names


def _error(code: str) -> bytes:
    said = "Please reduce your request rate." if code == "SlowDown" else "The server's own words."
    return f"<Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()


@dataclass
class WebServer:
    """Files over HTTP.

    Attributes:
        url: where it listens.
        pages: by path: the body, or a status to answer with.
        counts: requests by method.
        short: paths whose answer breaks off half-way.
        unsized: paths whose answer does not say how large it is.
        redirects: by path: where it redirects to.
        no_head: answer HEAD with 405.
        etags: whether answers carry an ETag.
    """

    url: str = ""
    pages: dict[str, bytes | int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    short: set[str] = field(default_factory=set)
    unsized: set[str] = field(default_factory=set)
    redirects: dict[str, str] = field(default_factory=dict)
    no_head: bool = False
    etags: bool = True


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    """A web server of files."""
    web = WebServer()

    class Handler(_WebHandler):
        site = web

    with _serving(Handler) as url:
        web.url = url
        yield web


class _WebHandler(_Handler):
    site: WebServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.site.counts[self.command] += 1
        page = self.site.pages.get(path, 404)
        if self.command == "HEAD" and self.site.no_head:
            page = 405
        if path in self.site.redirects:
            self.reply(302, {"Location": self.site.redirects[path]}, b"")
            return
        if isinstance(page, int):
            self.reply(page, {}, b"<html>an error page</html>")
            return
        if path in self.site.unsized:
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page if self.command == "GET" else b"")
            return
        etag = {"ETag": f'"{hashlib.sha256(page).hexdigest()[:16]}"'} if self.site.etags else {}
        if path in self.site.short and self.command == "GET":
            self.close_connection = True
            self.reply(200, etag, page[: len(page) // 2], announced=len(page))
            return
        self.reply(200, etag, page)

    do_HEAD = do_GET  # noqa: N815 - the base class's name


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
