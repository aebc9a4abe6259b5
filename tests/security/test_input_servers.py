"""A server that inputs come from: redirects, endless bodies, what it says; and secrets in its address."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from scythe_cli.errors import InputFileError, ScytheError, StoreError
from scythe_cli.storage import http, references, s3_client
from scythe_cli.storage.cache import Cache

if TYPE_CHECKING:
    from pathlib import Path

    from servers import WebServer


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 30)


def test_a_redirect_within_a_server_is_followed(web_server: WebServer, cache: Cache) -> None:
    web_server.pages["/new.epw"] = b"weather"
    web_server.redirects["/old.epw"] = "/new.epw"
    assert references.fetch(f"{web_server.url}/old.epw", cache=cache).read_bytes() == b"weather"


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "file:///etc/passwd"]
)
def test_a_redirect_to_somewhere_else_inside_is_not(web_server: WebServer, cache: Cache, target: str) -> None:
    web_server.redirects["/x.epw"] = target
    with pytest.raises(ScytheError, match="redirects to"):
        references.fetch(f"{web_server.url}/x.epw", cache=cache)
    (found,) = references.probe([f"{web_server.url}/x.epw"]).values()
    assert isinstance(found, references.FileProblem)
    assert "redirects to" in found.message


def test_redirects_in_a_circle_end(web_server: WebServer, cache: Cache) -> None:
    web_server.redirects |= {"/a": "/b", "/b": "/a"}
    with pytest.raises(ScytheError, match="redirects more than 5 times"):
        references.fetch(f"{web_server.url}/a", cache=cache)


def test_a_body_without_a_length_has_a_limit(
    web_server: WebServer, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    web_server.pages["/x"] = b"x" * 5000
    web_server.unsized.add("/x")
    monkeypatch.setattr(http, "UNSIZED_LIMIT", 5000)
    assert references.fetch(f"{web_server.url}/x", cache=cache).stat().st_size == 5000
    monkeypatch.setattr(http, "UNSIZED_LIMIT", 4999)
    with pytest.raises(StoreError, match="does not say how large it is, and it has more than 4,999 bytes"):
        references.fetch(f"{web_server.url}/x", cache=Cache(tmp_path / "other", 1 << 30))


def test_a_file_larger_than_the_disk_is_not_begun(
    web_server: WebServer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_server.pages["/x"] = b"x" * 5000
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4000}))
    with pytest.raises(StoreError, match="has 5,000 bytes, and the disk of the cache has 4,000 left"):
        references.fetch(f"{web_server.url}/x", cache=cache)


@pytest.mark.parametrize("filler", ["<Code>", "<Message>", "status code: ", "\n", "a" * 50])
def test_an_absurd_error_of_a_bucket_takes_no_time(filler: str) -> None:
    text = "status code: 400 Bad Request " + filler * 2_000_000
    began = time.monotonic()
    problem = s3_client.explain(RuntimeError(text), operation="read", endpoint="")
    assert time.monotonic() - began < 5
    assert len(problem.text) < 1000


def test_what_a_bucket_says_is_printable() -> None:
    text = "status code: 400 Bad\n<Code>\x1b[31mX</Code><Message>\x1b]0;owned\x07\rno</Message>"
    assert s3_client.explain(RuntimeError(text), operation="read", endpoint="").text.isprintable()


SECRET = "s3cr3t"


def test_secrets_of_an_address_are_in_no_message(web_server: WebServer, cache: Cache) -> None:
    host = web_server.url.partition("//")[2]
    for address in (f"http://ada:{SECRET}@{host}/x", f"http://{host}/x?X-Amz-Signature={SECRET}"):
        with pytest.raises(InputFileError, match=r"\*\*\*") as caught:
            references.fetch(address, cache=cache)
        assert SECRET not in caught.value.message


def test_nor_in_the_index_of_the_cache(web_server: WebServer, cache: Cache, tmp_path: Path) -> None:
    web_server.pages["/x"] = b"1"
    references.fetch(f"{web_server.url}/x?X-Amz-Signature={SECRET}", cache=cache)
    (index,) = (tmp_path / "cache" / "index").glob("*.json")
    assert json.loads(index.read_text())["address"].endswith("X-Amz-Signature=***")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
