"""Input files: their names in the run, probes, fetching through the cache."""

from __future__ import annotations

import hashlib
import os
import stat
import string
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import BUCKET

from scythe_cli import errors
from scythe_cli.core.clock import Clock
from scythe_cli.storage import cache as cache_module
from scythe_cli.storage import references as files
from scythe_cli.storage.cache import Cache, Remote, Trust
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import FaultProxy, WebServer

GIB = 1 << 30


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", GIB)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCYTHE_CACHE_DIR", str(tmp_path / "machine"))
    monkeypatch.setattr(Trust, "since", 0.0)


def make(folder: Path, contents: dict[str, str]) -> list[Path]:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [folder / name for name in contents]


class TestPlan:
    """`plan_uploads`."""

    def test_one_object_for_each_field_name_and_content(self, tmp_path: Path) -> None:
        a, b, c, d = make(tmp_path, {"1/w.epw": "A", "2/w.epw": "A", "3/w.epw": "B", "4/v.epw": "A"})
        plan = files.plan_uploads({"weather": [a, b, c, d, a, a], "other": [a]})
        assert [upload.key for upload in plan.uploads] == [
            "artifacts/weather/w.epw",
            f"artifacts/weather/w-{hashlib.sha256(b'B').hexdigest()[:8]}.epw",
            "artifacts/weather/v.epw",
            "artifacts/other/w.epw",
        ]
        assert plan.keys["weather", a] == plan.keys["weather", b] != plan.keys["weather", c]
        assert [(upload.source, upload.size, upload.sha256) for upload in plan.uploads][:1] == [
            (a, 1, hashlib.sha256(b"A").hexdigest())
        ]

    def test_all_suffixes_stay(self, tmp_path: Path) -> None:
        plan = files.plan_uploads(
            {"f": make(tmp_path, {"1/x.csv.gz": "A", "2/x.csv.gz": "B", "1/.rc": "A", "2/.rc": "B"})}
        )
        names = [Path(upload.key).name for upload in plan.uploads]
        assert [name.replace(hashlib.sha256(b"B").hexdigest()[:8], "#") for name in names] == [
            "x.csv.gz",
            "x-#.csv.gz",
            ".rc",
            ".rc-#",
        ]

    def test_names_that_some_disks_take_for_one(self, tmp_path: Path) -> None:
        plan = files.plan_uploads(
            {"f": make(tmp_path, {"1/A.epw": "A", "2/a.epw": "B", "3/\u00e9": "C", "4/e\u0301": "D"})}
        )
        assert len({upload.key.casefold() for upload in plan.uploads}) == 4

    def test_an_unreadable_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(errors.InputFileError, match=r"cannot read .*nope\.epw: No such file"):
            files.plan_uploads({"f": [tmp_path / "nope.epw"]})

    @given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.binary(max_size=3)), max_size=12))
    def test_the_function_sees_the_original_name(self, given: list[tuple[str, bytes]]) -> None:
        taken: dict[str, str] = {}
        keys: dict[str, bytes] = {}
        for name, content in given:
            if name in {".", ".."} or "/" in name or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
                continue
            key = files._artifact_name(name, hashlib.sha256(content).hexdigest(), taken)
            assert keys.setdefault(key, content) == content
            assert original(key, content) == name

    def test_a_name_that_brings_its_own_hash_keeps_it(self, tmp_path: Path) -> None:
        digest = hashlib.sha256(b"A").hexdigest()[:8]
        for name in (f"x-{digest}.epw", f"x-{digest}", f"x-{digest}-{digest}.csv.gz"):
            key = files._artifact_name(name, hashlib.sha256(b"A").hexdigest(), {})
            assert key != name
            assert original(key, b"A") == name

    def test_long_names_are_shortened_not_refused(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"ü" * 120 + ".epw": "A"})
        (upload,) = files.plan_uploads({"f": [path]}).uploads
        assert len(Path(upload.key).name.encode()) <= 200
        assert upload.key.endswith("ü.epw")


def original(key: str, content: bytes) -> str:
    """The original name, asked with a file as `fetch_artifact` does."""
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return files.original_name(key, Path(file.name))


STRANGE = [
    "a b.epw",
    "ü é.epw",
    "-rf",
    "100%.txt",
    ".partial-1",
    "a\nb",
    "x.tar.gz",
    string.punctuation.replace("/", ""),
]


class TestArtifacts:
    """There and back: `send`, `fetch_artifact`."""

    @pytest.mark.parametrize("where", ["folder", "s3"])
    def test_names_and_contents_come_back(self, where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        address = str(tmp_path / "run") if where == "folder" else request.getfixturevalue("s3_storage")
        run = open_store(address)
        paths = make(tmp_path, {f"{folder}/{name}": folder for folder in "12" for name in STRANGE})
        plan = files.plan_uploads({"f": paths})
        sent: list[int] = []
        files.send(run, plan.uploads, on_bytes=sent.append)
        assert sum(sent) == len(paths)
        for path in paths:
            got = files.fetch_artifact(run, plan.keys["f", path])
            assert got.name == path.name
            assert got.read_text() == path.parent.name

    def test_what_a_run_holds_is_asked_for_once(self, s3_proxy: FaultProxy, tmp_path: Path) -> None:
        run = open_store(f"s3://{BUCKET}/once/{os.getpid()}")
        run.write("artifacts/f/x", b"1")
        s3_proxy.counts.clear()
        for _ in range(5):
            files.fetch_artifact(run, "artifacts/f/x")
        assert s3_proxy.counts == {"GET": 1}

    def test_the_first_failure_stops_the_rest(self, tmp_path: Path) -> None:
        paths = make(tmp_path, {str(number): str(number) for number in range(100)})
        plan = files.plan_uploads({"f": paths})
        paths[3].unlink()
        run = LocalStore(tmp_path / "run")
        with pytest.raises(errors.InputFileError, match=r"cannot read .*3: No such file"):
            files.send(run, plan.uploads, workers=2)
        assert len(list(run.list())) < 99

    def test_the_run_may_have_moved(self) -> None:
        run = "energy/v1.0.0/2026-01-31_12-00-00"
        assert files.artifact_key(f"/old/place/{run}/artifacts/f/x.epw", run) == "artifacts/f/x.epw"
        assert files.artifact_key(f"s3://b/p/{run}/artifacts/f/x", run) == "artifacts/f/x"
        for other in ("/elsewhere/x.epw", f"s3://b/{run}/results/f/x", "https://a.b/artifacts/f/x"):
            assert files.artifact_key(other, run) is None

    def test_a_copy_is_the_functions_own(self, cache: Cache, web_server: WebServer, tmp_path: Path) -> None:
        web_server.pages["/x.epw"] = b"1"
        fetched = files.fetch(f"{web_server.url}/x.epw", cache=cache)
        assert not fetched.stat().st_mode & stat.S_IWUSR
        first, second = (files.copy_to(fetched, tmp_path / "temp") for _ in range(2))
        first.write_bytes(b"changed")
        assert first != second
        assert first.name == second.name == "x.epw"
        assert fetched.read_bytes() == second.read_bytes() == b"1"


class TestProbe:
    """`probe`."""

    def test_local(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"x": "12"})
        found = files.probe([str(path), str(tmp_path), str(tmp_path / "nope"), str(path)])
        assert len(found) == 3
        assert isinstance(found[str(path)], Remote)
        assert found[str(tmp_path)] == files.Problem("is a folder, not a file")
        assert found[str(tmp_path / "nope")] == files.Problem("does not exist")

    def test_web_asks_once_and_fetches_nothing(self, web_server: WebServer) -> None:
        web_server.pages |= {"/x": b"12345", "/secret": 403}
        url = web_server.url
        found = files.probe([f"{url}/x", f"{url}/nope", f"{url}/secret"] + [f"{url}/x"] * 50)
        here = found[f"{url}/x"]
        assert isinstance(here, Remote)
        assert here.size == 5
        assert found[f"{url}/nope"] == files.Problem("404 Not Found", 404)
        assert found[f"{url}/secret"] == files.Problem("403 Forbidden", 403, refused=True)
        assert web_server.counts["HEAD"] == 3

    def test_servers_that_refuse_head(self, web_server: WebServer) -> None:
        web_server.no_head = True
        web_server.pages["/x"] = b"12345"
        found = files.probe([f"{web_server.url}/x"])
        assert [remote.size for remote in found.values() if isinstance(remote, Remote)] == [5]

    def test_s3(self, s3_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        open_store(s3_storage).write("a b/ü.epw", b"123")
        files._open_bucket.cache_clear()
        found = files.probe([f"{s3_storage}/a b/ü.epw", f"{s3_storage}/nope", "s3://no-such-bucket/x"])
        here, nope, bucket = found.values()
        assert isinstance(here, Remote)
        assert here.size == 3
        assert isinstance(nope, files.Problem)
        assert nope.status == 404
        assert isinstance(bucket, files.Problem)
        assert "NoSuchBucket" in bucket.message
        assert not bucket.refused
        with pytest.raises(errors.InputFileError, match="NoSuchBucket"):
            files.fetch("s3://no-such-bucket/x")

    def test_nobody_there(self) -> None:
        (problem,) = files.probe(["http://127.0.0.1:9/x"]).values()
        assert isinstance(problem, files.Problem)
        assert problem.status is None
        assert problem.refused
        assert "Connection refused" in problem.message


class TestFetch:
    """`fetch` and the cache."""

    def test_a_local_file_as_it_is(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"x": "1"})
        assert files.fetch(str(path)) == path
        with pytest.raises(errors.InputFileError, match="nope: does not exist"):
            files.fetch(str(tmp_path / "nope"))

    def test_names_come_from_the_address(self, cache: Cache, web_server: WebServer) -> None:
        web_server.pages |= {"/d/a b.epw": b"1", "/": b"2"}
        assert files.fetch(f"{web_server.url}/d/a%20b.epw?sig=x/y", cache=cache).name == "a b.epw"
        assert files.fetch(f"{web_server.url}/", cache=cache).name == "file"

    @pytest.mark.parametrize("page", [404, 403, 500])
    def test_an_error_page_is_never_kept(
        self, cache: Cache, web_server: WebServer, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scythe_cli.storage.http.RETRIES", 0)
        from scythe_cli.storage import http as web

        web._manager.cache_clear()
        web_server.pages["/x"] = page
        with pytest.raises(errors.InputFileError if page == 404 else errors.StoreError, match=rf"/x: {page} "):
            files.fetch(f"{web_server.url}/x", cache=cache)
        web_server.pages["/x"] = b"there now"
        assert files.fetch(f"{web_server.url}/x", cache=cache).read_bytes() == b"there now"
        web._manager.cache_clear()

    def test_half_a_file_is_never_kept(self, cache: Cache, web_server: WebServer, tmp_path: Path) -> None:
        web_server.pages["/x"] = b"1" * 100_000
        web_server.short.add("/x")
        with pytest.raises(errors.StoreError, match="IncompleteRead"):
            files.fetch(f"{web_server.url}/x", cache=cache)
        assert not [path for path in (tmp_path / "cache" / "objects").rglob("*") if path.is_file()]
        web_server.short.clear()
        assert files.fetch(f"{web_server.url}/x", cache=cache).stat().st_size == 100_000

    def test_changed_content_is_noticed(
        self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = f"{web_server.url}/x"
        web_server.pages["/x"] = b"old"
        old = files.fetch(address, cache=cache)
        web_server.pages["/x"] = b"new"
        assert files.fetch(address, cache=cache) == old, "it was asked a moment ago"
        monkeypatch.setattr(cache_module, "VALID", 0.0)
        new = files.fetch(address, cache=cache)
        assert (old.read_bytes(), new.read_bytes()) == (b"old", b"new")
        again = files.fetch(address, cache=cache)
        assert again == new
        assert web_server.counts["GET"] == 2

    def test_what_was_asked_too_long_ago_is_asked_again(
        self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a command that asks anew; by a lane, of what was asked before its run; when the clock was set back."""
        address, before = f"{web_server.url}/x", time.time()
        monkeypatch.setattr(Trust, "since", before)
        for content in (b"old", b"newer"):
            web_server.pages["/x"] = content
            Trust.ask_anew()
            assert files.fetch(address, cache=cache).read_bytes() == content
        assert web_server.counts == {"HEAD": 2, "GET": 2}
        Trust.since = before
        files.fetch(address, cache=cache)
        assert web_server.counts["HEAD"] == 2, "it was asked since"
        Trust.ask_anew()
        for _ in range(3):
            files.fetch(address, cache=cache)
        assert web_server.counts == {"HEAD": 3, "GET": 2}, "it has not changed"
        monkeypatch.setattr(Clock, "time", lambda: before - 3600)
        Trust.ask_anew()
        files.fetch(address, cache=cache)
        assert web_server.counts["HEAD"] == 4

    def test_an_answer_is_as_old_as_its_question(self, cache: Cache, tmp_path: Path) -> None:
        """While a process waits for another's download the file may change: its own question comes later."""
        asked: list[int] = []

        def look() -> Remote:
            asked.append(1)
            return Remote(1, "tag")

        def download(path: Path) -> None:
            path.write_bytes(b"x")
            Trust.ask_anew()

        for _ in range(2):
            cache.get("x", name=lambda _: "file", look=look, download=download)
        assert len(asked) == 2

    def test_without_etags(self, cache: Cache, web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        web_server.etags = False
        web_server.pages["/x"] = b"old"
        old = files.fetch(f"{web_server.url}/x", cache=cache)
        monkeypatch.setattr(cache_module, "VALID", 0.0)
        web_server.pages["/x"] = b"new"
        assert files.fetch(f"{web_server.url}/x", cache=cache).read_bytes() == b"new"
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
            files.fetch(f"{web_server.url}/x", cache=Cache(tmp_path / "file", GIB))

    @pytest.mark.parametrize(("text", "size"), [("500MiB", 500 << 20), ("20GB", 20 * 10**9), ("", 20 * 10**9)])
    def test_sizes(self, text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYTHE_CACHE_SIZE", text)
        assert cache_module.of_machine()._max_bytes == size

    def test_a_wrong_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYTHE_CACHE_SIZE", "big")
        with pytest.raises(errors.ConfigError, match="SCYTHE_CACHE_SIZE: 'big' is not a size"):
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
from scythe_cli.storage import references as files
from scythe_cli.storage.cache import Cache
print("ready", flush=True)
sys.stdin.readline()
print(files.fetch(sys.argv[1], cache=Cache(Path(sys.argv[2]), 100_000_000)).stat().st_size)
"""
