"""Servers that are not quite S3: said at once, and as what they are."""

from __future__ import annotations

import http.server
import threading
import time
from typing import TYPE_CHECKING

import pytest

from scythe_cli.errors import StoreError
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator


class WebPage(http.server.BaseHTTPRequestHandler):
    """Answers anything with a page."""

    protocol_version = "HTTP/1.1"
    status, body = 200, b"<!doctype html><html><body>Welcome</body></html>"
    requests = 0

    def answer(self) -> None:
        type(self).requests += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Unconditional(WebPage):
    """Cannot do conditional writes."""

    status, body = 501, b"<Error><Code>NotImplemented</Code><Message>If-None-Match</Message></Error>"


class Forgetful(WebPage):
    """Says of every new object that it exists already, and has none."""

    creates = 0

    def answer(self) -> None:
        create = self.command == "PUT"
        type(self).creates += create
        self.status = 412 if create else 404
        code = b"PreconditionFailed" if create else b"NoSuchKey"
        self.body = b"<Error><Code>" + code + b"</Code><Message>no</Message></Error>"
        super().answer()

    do_GET = do_PUT = do_HEAD = answer  # noqa: N815 - the names that http.server calls


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
        for name, value in zip(names, ("a", "b", "us-east-1", url), strict=True):
            monkeypatch.setenv(name, value)
        yield url
        server.shutdown()


@pytest.mark.parametrize("endpoint", [WebPage], indirect=True)
def test_a_web_page_is_told_as_such(endpoint: str) -> None:
    store = open_store("s3://bucket/runs")
    with pytest.raises(StoreError, match=f"what answers at {endpoint} is not S3, perhaps a web page"):
        list(store.list(""))
    with pytest.raises(StoreError, match="is not S3, perhaps a web page"):
        store.children("")
    with pytest.raises(StoreError, match="is not S3, perhaps a web page"):
        store.write("key", b"data", new=True)


@pytest.mark.parametrize("endpoint", [Unconditional], indirect=True)
def test_a_server_that_cannot_write_conditionally_is_asked_once(endpoint: str) -> None:
    Unconditional.requests, began = 0, time.monotonic()
    with pytest.raises(StoreError, match="501 Not Implemented, NotImplemented: If-None-Match"):
        open_store("s3://bucket/runs", patient=True).write("key", b"data", new=True)
    assert Unconditional.requests == 1
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("endpoint", [Forgetful], indirect=True)
def test_what_was_not_created_is_no_success(endpoint: str) -> None:
    Forgetful.creates = 0
    with pytest.raises(StoreError, match=r"cannot create s3://bucket/runs/key: the server says that it exists"):
        open_store("s3://bucket/runs").write("key", b"data", new=True)
    assert Forgetful.creates == 3
