"""Input files: probes, and fetching through the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from written_files import make

from scythe_cli import errors
from scythe_cli.core.clock import Clock
from scythe_cli.storage import cache as cache_module
from scythe_cli.storage import http, references
from scythe_cli.storage.cache import Cache, Remote
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import WebServer

GIB = 1 << 30

pytestmark = pytest.mark.usefixtures("own_cache")


class TestProbe:
    """`probe`."""

    def test_local(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"x": "12"})
        found = references.probe([str(path), str(tmp_path), str(tmp_path / "nope"), str(path)])
        assert len(found) == 3
        assert isinstance(found[str(path)], Remote)
        assert found[str(tmp_path)] == references.FileProblem("is a folder, not a file")
        assert found[str(tmp_path / "nope")] == references.FileProblem("does not exist")

    def test_web_asks_once_and_fetches_nothing(self, web_server: WebServer) -> None:
        web_server.pages |= {"/x": b"12345", "/secret": 403}
        url = web_server.url
        found = references.probe([f"{url}/x", f"{url}/nope", f"{url}/secret"] + [f"{url}/x"] * 50)
        here = found[f"{url}/x"]
        assert isinstance(here, Remote)
        assert here.size == 5
        assert found[f"{url}/nope"] == references.FileProblem("404 Not Found", 404)
        assert found[f"{url}/secret"] == references.FileProblem("403 Forbidden", 403, refused=True)
        assert web_server.counts["HEAD"] == 3

    def test_servers_that_refuse_head(self, web_server: WebServer) -> None:
        web_server.no_head = True
        web_server.pages["/x"] = b"12345"
        found = references.probe([f"{web_server.url}/x"])
        assert [remote.size for remote in found.values() if isinstance(remote, Remote)] == [5]

    def test_s3(self, s3_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        open_store(s3_storage).write("a b/ü.epw", b"123")
        references._open_bucket.cache_clear()
        found = references.probe([f"{s3_storage}/a b/ü.epw", f"{s3_storage}/nope", "s3://no-such-bucket/x"])
        here, nope, bucket = found.values()
        assert isinstance(here, Remote)
        assert here.size == 3
        assert isinstance(nope, references.FileProblem)
        assert nope.status == 404
        assert isinstance(bucket, references.FileProblem)
        assert "NoSuchBucket" in bucket.message
        assert not bucket.refused
        with pytest.raises(errors.InputFileError, match="NoSuchBucket"):
            references.fetch("s3://no-such-bucket/x")

    @pytest.mark.parametrize("key", ["weather//a.epw", "dir/", ""])
    def test_an_address_that_no_object_has(self, s3_storage: str, key: str) -> None:
        open_store(s3_storage).write("x", b"123")
        references._open_bucket.cache_clear()
        bucket = s3_storage.rpartition("/")[0]
        said = f"{key!r} is not a valid key: the segment '' is not allowed"
        found = references.probe([f"{bucket}/{key}", f"{s3_storage}/x"])
        assert found[f"{bucket}/{key}"] == references.FileProblem(said)
        assert isinstance(found[f"{s3_storage}/x"], Remote), "the others of its bucket are looked for"
        with pytest.raises(errors.InputFileError, match=f"^{bucket}/{key}: {said}$"):
            references.fetch(f"{bucket}/{key}")

    def test_nobody_there(self) -> None:
        (problem,) = references.probe(["http://127.0.0.1:9/x"]).values()
        assert isinstance(problem, references.FileProblem)
        assert problem.status is None
        assert problem.refused
        assert "Connection refused" in problem.message


class TestFetch:
    """`fetch` and the cache."""

    def test_a_local_file_as_it_is(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"x": "1"})
        assert references.fetch(str(path)) == path
        with pytest.raises(errors.InputFileError, match="nope: does not exist"):
            references.fetch(str(tmp_path / "nope"))

    def test_names_come_from_the_address(self, cache: Cache, web_server: WebServer) -> None:
        web_server.pages |= {"/d/a b.epw": b"1", "/": b"2"}
        assert references.fetch(f"{web_server.url}/d/a%20b.epw?sig=x/y", cache=cache).name == "a b.epw"
        assert references.fetch(f"{web_server.url}/", cache=cache).name == "file"

    @pytest.mark.parametrize("page", [404, 403, 500])
    def test_an_error_page_is_never_kept(
        self, cache: Cache, web_server: WebServer, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scythe_cli.storage.http.RETRIES", 0)
        http._manager.cache_clear()
        web_server.pages["/x"] = page
        with pytest.raises(errors.InputFileError if page == 404 else errors.StoreError, match=rf"/x: {page} "):
            references.fetch(f"{web_server.url}/x", cache=cache)
        web_server.pages["/x"] = b"there now"
        assert references.fetch(f"{web_server.url}/x", cache=cache).read_bytes() == b"there now"
        http._manager.cache_clear()

    def test_half_a_file_is_never_kept(self, cache: Cache, web_server: WebServer, tmp_path: Path) -> None:
        web_server.pages["/x"] = b"1" * 100_000
        web_server.short.add("/x")
        with pytest.raises(errors.StoreError, match="IncompleteRead"):
            references.fetch(f"{web_server.url}/x", cache=cache)
        assert not [path for path in (tmp_path / "cache" / "objects").rglob("*") if path.is_file()]
        web_server.short.clear()
        assert references.fetch(f"{web_server.url}/x", cache=cache).stat().st_size == 100_000

    def test_changed_content_is_noticed(
        self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = f"{web_server.url}/x"
        web_server.pages["/x"] = b"old"
        old = references.fetch(address, cache=cache)
        web_server.pages["/x"] = b"new"
        assert references.fetch(address, cache=cache) == old, "it was asked a moment ago"
        monkeypatch.setattr(cache_module, "VALID", 0.0)
        new = references.fetch(address, cache=cache)
        assert (old.read_bytes(), new.read_bytes()) == (b"old", b"new")
        again = references.fetch(address, cache=cache)
        assert again == new
        assert web_server.counts["GET"] == 2

    def test_what_was_asked_too_long_ago_is_asked_again(
        self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a command that asks anew; by a lane, of what was asked before its run; when the clock was set back."""
        address, before = f"{web_server.url}/x", time.time()
        cache_module.revalidate_before(before)
        for content in (b"old", b"newer"):
            web_server.pages["/x"] = content
            cache_module.revalidate_before(Clock.time())
            assert references.fetch(address, cache=cache).read_bytes() == content
        assert web_server.counts == {"HEAD": 2, "GET": 2}
        cache_module.revalidate_before(before)
        references.fetch(address, cache=cache)
        assert web_server.counts["HEAD"] == 2, "it was asked since"
        cache_module.revalidate_before(Clock.time())
        for _ in range(3):
            references.fetch(address, cache=cache)
        assert web_server.counts == {"HEAD": 3, "GET": 2}, "it has not changed"
        monkeypatch.setattr(Clock, "time", lambda: before - 3600)
        cache_module.revalidate_before(Clock.time())
        references.fetch(address, cache=cache)
        assert web_server.counts["HEAD"] == 4

    def test_an_answer_is_as_old_as_its_question(self, cache: Cache, tmp_path: Path) -> None:
        """While a process waits for another's download the file may change: its own question comes later."""
        asked: list[int] = []

        def look() -> Remote:
            asked.append(1)
            return Remote(1, "tag")

        def download(path: Path) -> None:
            path.write_bytes(b"x")
            cache_module.revalidate_before(Clock.time())

        for _ in range(2):
            cache.get("x", name=lambda _: "file", look=look, download=download)
        assert len(asked) == 2

    def test_without_etags(self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        web_server.etags = False
        web_server.pages["/x"] = b"old"
        old = references.fetch(f"{web_server.url}/x", cache=cache)
        monkeypatch.setattr(cache_module, "VALID", 0.0)
        web_server.pages["/x"] = b"new"
        assert references.fetch(f"{web_server.url}/x", cache=cache).read_bytes() == b"new"
        assert old.read_bytes() == b"old", "somebody may be reading it"

    def test_sixteen_processes_one_get(self, web_server: WebServer, tmp_path: Path) -> None:
        web_server.pages["/big"] = os.urandom(1 << 20) * 50
        address = f"{web_server.url}/big"
        fetchers = [run_python(_FETCH, address, tmp_path / "shared") for _ in range(16)]
        for fetcher in fetchers:
            assert fetcher.stdout is not None
            assert fetcher.stdout.readline() == b"ready\n"
        for fetcher in fetchers:
            assert fetcher.communicate(b"go\n")[0] == b"%d\n" % (50 << 20)
        assert web_server.counts == {"GET": 1, "HEAD": 1}

    def test_the_least_recently_used_goes_but_never_what_is_in_use(self, tmp_path: Path) -> None:
        keeper, evicter = (Cache(tmp_path / "cache", 100) for _ in range(2))
        held = get(keeper, "held", 40)
        old, young = get(evicter, "old", 20), get(evicter, "young", 20)
        evicter.release()
        os.utime(held, (1, 1))
        os.utime(old, (2, 2))
        os.utime(young, (3, 3))
        get(evicter, "new", 30)
        assert held.exists()
        assert not old.exists()
        assert young.exists()
        keeper.release()
        get(evicter, "newest", 20)
        assert not held.exists()
        assert get(evicter, "held", 40).stat().st_size == 40

    def test_a_dead_process_uses_nothing(self, tmp_path: Path, web_server: WebServer) -> None:
        web_server.pages["/x"] = b"x" * 90
        fetcher = run_python(_FETCH, f"{web_server.url}/x", tmp_path)
        assert fetcher.communicate(b"go\n")[0] == b"ready\n90\n"
        assert len(list((tmp_path / "use").iterdir())) == 1
        get(Cache(tmp_path, 100), "y", 90)
        assert len(list((tmp_path / "objects").glob("*/*"))) == 1

    def test_a_damaged_cache_mends(self, cache: Cache, tmp_path: Path) -> None:
        path = get(cache, "x", 10)
        path.chmod(0o644)
        path.write_bytes(b"short")
        assert get(cache, "x", 10).stat().st_size == 10
        for index in (tmp_path / "cache" / "index").iterdir():
            index.write_text('{"addr')
        assert get(cache, "x", 10).stat().st_size == 10

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path, web_server: WebServer) -> None:
        (tmp_path / "file").write_text("")
        web_server.pages["/x"] = b"1"
        with pytest.raises(errors.StoreError, match=r"cannot keep it in the cache, .*see SCYTHE_CACHE_DIR"):
            references.fetch(f"{web_server.url}/x", cache=Cache(tmp_path / "file", GIB))

    @pytest.mark.parametrize(("text", "size"), [("500MiB", 500 << 20), ("20GB", 20 * 10**9), ("", 20 * 10**9)])
    def test_sizes(self, text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYTHE_CACHE_SIZE", text)
        assert cache_module.of_machine()._max_bytes == size

    def test_a_wrong_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYTHE_CACHE_SIZE", "big")
        with pytest.raises(errors.ConfigError, match="SCYTHE_CACHE_SIZE = 'big' must be a size"):
            cache_module.of_machine()


def get(cache: Cache, address: str, size: int) -> Path:
    """Something of a size through a cache, as if from a server."""

    def download(path: Path) -> None:
        path.write_bytes(b"x" * size)

    look: Callable[[], Any] = lambda: Remote(size, "tag")  # noqa: E731 - its type is what the cache asks for
    return cache.get(address, name=lambda _: "file", look=look, download=download)


def run_python(code: str, *args: object) -> subprocess.Popen[bytes]:
    """Start another process of the machine."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


_FETCH = """
import sys
from pathlib import Path
from scythe_cli.storage import references
from scythe_cli.storage.cache import Cache
print("ready", flush=True)
sys.stdin.readline()
print(references.fetch(sys.argv[1], cache=Cache(Path(sys.argv[2]), 100_000_000)).stat().st_size)
"""
