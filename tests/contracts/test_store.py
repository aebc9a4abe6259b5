"""What every store promises: one class, a subclass for each store with a back door that does not go through it.

The same class runs against any S3 server that SCYTHE_TEST_S3_ENDPOINT names.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from abc import abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
import servers
from servers import BUCKET

from scythe_cli import errors
from scythe_cli.errors import ConfigError, KeyExists, KeyMissing, ScytheError, StoreError
from scythe_cli.storage import atomic_files
from scythe_cli.storage.open_store import open_store
from scythe_cli.storage.s3 import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore.store import S3Credential
    from servers import FaultProxy

    from scythe_cli.storage.base import Store

STRANGE_NAMES = ["a b", "ü-é", "-x", "100%", "%20", "a+b&c=d", "q?x#y", "~{}[]^|`<>*\"'", "x.csv.gz", ".hidden", "日本"]
BAD_KEYS = [
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../b",
    "a//b",
    "a/",
    "./a",
    "a\0b",
    "a\nb",
    ".partial-1",
    "a/.partial-x",
]


class Promises:
    """The contract. A subclass gives the store and the back door."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> Any:
        """An empty store."""

    @abstractmethod
    def peek(self, store: Store, key: str) -> bytes | None:
        """Read an object without the store; None when it is not there."""

    @abstractmethod
    def poke(self, store: Store, key: str, data: bytes) -> None:
        """Write an object without the store."""

    def test_write_is_seen_from_outside(self, store: Store) -> None:
        store.write("a/b/c.yml", b"hello")
        assert self.peek(store, "a/b/c.yml") == b"hello"

    def test_read_what_others_wrote(self, store: Store) -> None:
        self.poke(store, "a/b", b"there")
        assert store.read("a/b") == b"there"

    def test_write_replaces(self, store: Store) -> None:
        store.write("k", b"one")
        store.write("k", b"second")
        assert store.read("k") == b"second"
        assert [entry.size for entry in store.list()] == [6]

    def test_empty_object(self, store: Store) -> None:
        store.write("empty", b"")
        assert store.read("empty") == b""
        assert [(entry.key, entry.size) for entry in store.list()] == [("empty", 0)]

    def test_an_object_may_have_a_file_of_its_own(self, store: Store) -> None:
        store.write("a/b", b"there")
        file = store.open_file("a/b")
        assert (file is not None) == (not store.address.startswith("s3:"))
        if file is not None:
            with file:
                assert (file.read(), file.seek(1), file.read()) == (b"there", 1, b"here")

    def test_missing_key(self, store: Store, tmp_path: Path) -> None:
        store.write("folder/inside", b"x")
        for key in ("nope", "folder", "folder/inside/deeper"):
            asks: list[Callable[[str], object]] = [
                store.read,
                store.stat,
                lambda key: store.download(key, tmp_path / "x"),
            ]
            for ask in asks:
                with pytest.raises(KeyMissing) as told:
                    ask(key)
                assert store.locate(key) in str(told.value)
        assert not (tmp_path / "x").exists()

    def test_delete(self, store: Store) -> None:
        store.write("a/b", b"1")
        store.write("a/c", b"2")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/there")
        assert self.peek(store, "a/b") is None
        assert [entry.key for entry in store.list()] == ["a/c"]
        store.write("a/b", b"3", new=True)
        assert store.read("a/b") == b"3"

    def test_stat_agrees_with_list(self, store: Store) -> None:
        store.write("a/b", b"12345")
        assert [store.stat("a/b")] == list(store.list())

    def test_etag_changes_with_the_content(self, store: Store) -> None:
        store.write("k", b"one")
        before = store.stat("k").etag
        store.write("k", b"two")
        assert before != store.stat("k").etag

    def test_create_refuses_a_taken_key(self, store: Store) -> None:
        store.write("claim", b"mine", new=True)
        with pytest.raises(KeyExists, match="claim exists already"):
            store.write("claim", b"yours", new=True)
        assert store.read("claim") == b"mine"

    def test_twenty_racing_creates_have_one_winner(self, store: Store) -> None:
        start = threading.Barrier(20)

        def race(number: int) -> bool:
            start.wait()
            try:
                store.write("race/claim", b"%d" % number, new=True)
            except KeyExists:
                return False
            return True

        with ThreadPoolExecutor(20) as pool:
            won = list(pool.map(race, range(20)))
        assert won.count(True) == 1
        assert store.read("race/claim") == b"%d" % won.index(True)

    def test_racing_creates_of_equal_bytes_have_one_winner(self, store: Store) -> None:
        def race(_: int) -> bool:
            try:
                store.write("claim", b"the same", new=True)
            except KeyExists:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(race, range(8))).count(True) == 1

    @pytest.mark.parametrize("name", STRANGE_NAMES)
    def test_strange_names(self, store: Store, name: str, tmp_path: Path) -> None:
        key = f"in/{name}/{name}"
        store.write(key, b"x")
        assert self.peek(store, key) == b"x"
        assert store.read(key) == b"x"
        assert [entry.key for entry in store.list("in")] == [key]
        assert list(store.children("in")) == [name]
        store.download(key, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == b"x"

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_no_key_leaves_the_root(self, store: Store, key: str, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x")
        refused: list[Callable[[], object]] = [
            lambda: store.read(key),
            lambda: store.stat(key),
            lambda: store.write(key, b"x"),
            lambda: store.write(key, b"x", new=True),
            lambda: store.delete(key),
            lambda: store.upload(key, source),
            lambda: store.download(key, tmp_path / "got"),
        ]
        for call in refused:
            with pytest.raises(ValueError, match="is not a valid key"):
                call()

    def test_list_knows_folders_from_prefixes(self, store: Store) -> None:
        for key in ("a/1", "a/b/2", "ab/3", "a.x", "c"):
            store.write(key, key.encode())
        assert sorted(entry.key for entry in store.list()) == ["a.x", "a/1", "a/b/2", "ab/3", "c"]
        assert sorted(entry.key for entry in store.list("a")) == ["a/1", "a/b/2"]
        assert sorted(entry.key for entry in store.list("a/b")) == ["a/b/2"]
        assert list(store.list("nope")) == []
        assert list(store.list("c")) == []
        assert list(store.children()) == ["a", "ab"]
        assert list(store.children("a")) == ["b"]
        assert list(store.children("nope")) == []

    def test_within_is_the_same_store_deeper(self, store: Store) -> None:
        inner = store.within("run/v1")
        inner.write("a/k", b"x")
        assert store.read("run/v1/a/k") == b"x"
        assert [entry.key for entry in inner.list()] == ["a/k"]
        assert list(inner.children()) == ["a"]
        assert inner.address == store.locate("run/v1")
        assert inner.locate("a/k") == store.locate("run/v1/a/k") == f"{store.address}/run/v1/a/k"
        assert inner.locate("") == inner.address
        with pytest.raises(ValueError, match="is not a valid key"):
            store.within("../other")

    def test_the_address_opens_the_same_store(self, store: Store) -> None:
        store.write("k", b"x")
        assert open_store(store.address).read("k") == b"x"

    @pytest.mark.parametrize("size", [0, 1, 3 << 20, 20 << 20])
    def test_files_go_up_and_down(self, store: Store, tmp_path: Path, size: int) -> None:
        source, target = tmp_path / "source", tmp_path / "deep" / "er" / "target"
        source.write_bytes(os.urandom(1024) * (size // 1024) if size > 1 else b"x" * size)
        up: list[int] = []
        down: list[int] = []
        store.upload("files/f", source, on_bytes=up.append)
        store.download("files/f", target, on_bytes=down.append)
        assert target.read_bytes() == source.read_bytes()
        assert sum(up) == sum(down) == size
        assert [file.name for file in target.parent.iterdir()] == ["target"]
        assert source.exists()

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_consumed_file_is_gone(self, store: Store, tmp_path: Path, size: int) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"z" * size)
        moved: list[int] = []
        store.upload("f", source, consume=True, on_bytes=moved.append)
        assert not source.exists()
        assert store.stat("f").size == size == sum(moved)

    def test_upload_of_a_missing_file_blames_the_file(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(errors.InputFileError, match="source: No such file"):
            store.upload("f", tmp_path / "source")

    def test_download_replaces_whole(self, store: Store, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"old")
        store.write("k", b"new")
        store.download("k", target)
        assert target.read_bytes() == b"new"

    def test_download_into_a_file_as_folder(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        store.write("k", b"new")
        with pytest.raises(StoreError, match=r"cannot write .*file/k: .*choose another folder"):
            store.download("k", tmp_path / "file" / "k")

    def test_listing_more_than_a_page(self, store: Store) -> None:
        keys = [f"many/{number}" for number in range(1003)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: store.write(key, b""), keys))
        assert sorted(entry.key for entry in store.list("many")) == sorted(keys)

    def test_listing_while_others_write_and_remove(self, store: Store) -> None:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.write(f"busy/{uuid.uuid4().hex}/x", b"1")

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            seen = [len(list(store.list())) for _ in range(20)]
            stop.set()
            writing.result()
        assert seen == sorted(seen)


class TestFolder(Promises):
    """A folder of the disk."""

    def test_a_file_that_is_missing_or_leads_out_is_not_opened(self, store: Store, tmp_path: Path) -> None:
        store.write("a/b", b"there")
        (tmp_path / "secret").write_bytes(b"x")
        Path(store.address, "a", "link").symlink_to(tmp_path / "secret")
        with pytest.raises(KeyMissing):
            store.open_file("a/c")
        with pytest.raises(errors.BrokenRun, match="leads out of"):
            store.open_file("a/link")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store("runs", base=tmp_path / "not" / "yet")

    def peek(self, store: Store, key: str) -> bytes | None:
        path = Path(store.address, key)
        return path.read_bytes() if path.exists() else None

    def poke(self, store: Store, key: str, data: bytes) -> None:
        path = Path(store.address, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def test_half_written_files_are_neither_listed_nor_left(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write("a/k", b"old")

        def full(_: int) -> None:
            assert len(list(Path(store.address, "a").iterdir())) == 2
            assert [entry.key for entry in store.list()] == ["a/k"]
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"cannot write .*a/k: No space left on device \(free some space"):
            store.write("a/k", b"new")
        assert [file.name for file in Path(store.address, "a").iterdir()] == ["k"]
        assert store.read("a/k") == b"old"

    def test_everything_is_synced(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []
        fsync = os.fsync

        def note(descriptor: int) -> None:
            synced.append(descriptor)
            fsync(descriptor)

        store.write("a/k", b"1")
        monkeypatch.setattr(os, "fsync", note)
        store.write("a/k", b"2")
        assert len(synced) == 2
        synced.clear()
        store.write("b/c/k", b"2")
        assert len(synced) == 4, "the two new folders stand in folders that are synced too"

    def test_a_file_is_no_folder(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        for address in (tmp_path / "file", tmp_path / "file" / "deeper"):
            wrong = open_store(address)
            with pytest.raises(StoreError, match=r"cannot write .*: Not a directory \(a part of the path is a file"):
                wrong.write("k", b"")
        for ask in (lambda wrong: wrong.read("k"), lambda wrong: list(wrong.list()), lambda wrong: wrong.children()):
            with pytest.raises(StoreError, match="Not a directory"):
                ask(open_store(tmp_path / "file"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreError, match=r"Permission denied \(check the permissions\)"):
            open_store(tmp_path).write("k", b"")
        tmp_path.chmod(0o700)

    def test_disks_without_hard_links_have_one_winner_too(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        self.test_twenty_racing_creates_have_one_winner(store)
        assert [file.name for file in Path(store.address, "race").iterdir()] == ["claim"]

    def test_each_real_folder_is_listed_once(self, store: Store, tmp_path: Path) -> None:
        store.write("run/a/k", b"x")
        store.write("other/far", b"y")
        Path(store.address, "run", "moved").symlink_to(Path(store.address, "other"))
        Path(store.address, "run", "again").symlink_to(Path(store.address, "other"))
        Path(store.address, "run", "a", "up").symlink_to(store.address)
        Path(store.address, "run", "dangling").symlink_to("nowhere")
        assert sorted(entry.key for entry in store.list()) == ["other/far", "run/a/k"]
        assert [entry.key for entry in store.list("run")] in (
            ["run/a/k", "run/moved/far"],
            ["run/a/k", "run/again/far"],
        )

    def test_a_file_with_other_names_is_copied_not_moved(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "model").write_text("model")
        (tmp_path / "hard").hardlink_to(tmp_path / "model")
        (tmp_path / "soft").symlink_to(tmp_path / "model")
        for name in ("hard", "soft"):
            store.upload(name, tmp_path / name, consume=True)
            assert not (tmp_path / name).is_symlink()
            assert not (tmp_path / name).exists()
        (tmp_path / "model").write_text("changed")
        assert store.read("hard") == store.read("soft") == b"model"


class S3Promises(Promises):
    """Any S3 server. The back door is boto3's own client."""

    boto: Any

    def server(self, request: pytest.FixtureRequest) -> str:
        """The server's address."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
        endpoint = self.server(request)
        servers.use_s3(monkeypatch, endpoint)
        self.boto = servers.client(endpoint)
        return open_store(f"s3://{BUCKET}/contract/{uuid.uuid4().hex}")

    def peek(self, store: Store, key: str) -> bytes | None:
        full = store.locate(key).removeprefix(f"s3://{BUCKET}/")
        try:
            body: bytes = self.boto.get_object(Bucket=BUCKET, Key=full)["Body"].read()
        except self.boto.exceptions.NoSuchKey:
            return None
        return body

    def poke(self, store: Store, key: str, data: bytes) -> None:
        self.boto.put_object(Bucket=BUCKET, Key=store.locate(key).removeprefix(f"s3://{BUCKET}/"), Body=data)

    def test_missing_bucket_is_not_a_missing_key(self, store: Store, tmp_path: Path) -> None:
        wrong = open_store("s3://no-such-bucket-at-all/x")
        (tmp_path / "f").write_bytes(b"x" * (9 << 20))
        calls: dict[str, Callable[[], object]] = {
            "read": lambda: wrong.read("k"),
            "write": lambda: wrong.write("k", b""),
            "create": lambda: wrong.write("k", b"", new=True),
            "list": lambda: list(wrong.list()),
        }
        for operation, call in calls.items():
            with pytest.raises(
                StoreError, match=f"cannot {operation} s3://no-such-bucket-at-all/x.*NoSuchBucket.*check the"
            ):
                call()
        more: list[Callable[[], object]] = [
            lambda: wrong.stat("k"),
            wrong.children,
            lambda: wrong.upload("k", tmp_path / "f"),
            lambda: wrong.download("k", tmp_path / "y"),
        ]
        for call in more:
            with pytest.raises(StoreError, match="NoSuchBucket"):
                call()

    def test_uploads_are_streamed(self, store: Store, tmp_path: Path) -> None:
        psutil = pytest.importorskip("psutil")
        size = 200 << 20
        with (tmp_path / "big").open("wb") as file:
            file.truncate(size)
        store.write("warm", b"")
        process = psutil.Process()
        before, peak, done = process.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                peak[0] = max(peak[0], process.memory_info().rss)

        watching = threading.Thread(target=watch)
        watching.start()
        store.upload("big", tmp_path / "big")
        store.download("big", tmp_path / "back")
        done.set()
        watching.join()
        assert (tmp_path / "back").stat().st_size == size
        assert peak[0] - before < IN_MEMORY + (32 << 20)


class TestS3(S3Promises):
    """Moto's server, over HTTP."""

    def server(self, request: pytest.FixtureRequest) -> str:
        return str(request.getfixturevalue("s3_endpoint"))

    def test_folder_marks_of_other_tools_are_no_objects(self, store: Store) -> None:
        folder = store.locate("w/marker").removeprefix(f"s3://{BUCKET}/")
        self.boto.put_object(Bucket=BUCKET, Key=f"{folder}/", Body=b"")
        self.poke(store, "w/marker/x", b"1")
        self.poke(store, "w/marker.y", b"")
        assert sorted(entry.key for entry in store.list()) == ["w/marker.y", "w/marker/x"]

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_file_that_goes_while_it_is_uploaded(
        self, store: Store, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def goes(path: Path) -> Iterator[BinaryIO]:
            with atomic_files.source_file(path) as file:
                path.unlink()
                yield file

        (tmp_path / "source").write_bytes(b"z" * size)
        monkeypatch.setattr("scythe_cli.storage.s3.source_file", goes)
        store.upload("f", tmp_path / "source")
        assert store.stat("f").size == size

    def test_a_mark_of_the_folder_itself_is_no_object(self, store: Store) -> None:
        folder = store.locate("").removeprefix(f"s3://{BUCKET}/")
        for marked in (folder, f"{folder}/control"):
            self.boto.put_object(Bucket=BUCKET, Key=f"{marked}/", Body=b"")
        assert list(store.list("control")) == []
        self.poke(store, "x", b"1")
        assert [entry.key for entry in store.list() if entry.size] == ["x"]
        assert "" not in [entry.key for entry in store.list()]


if servers.LIVE_ENDPOINT:

    @pytest.mark.live_s3
    class TestLiveS3(S3Promises):
        """The server that SCYTHE_TEST_S3_ENDPOINT names."""

        def server(self, request: pytest.FixtureRequest) -> str:
            servers.make_bucket(servers.LIVE_ENDPOINT)
            return servers.LIVE_ENDPOINT


@pytest.mark.slow
class TestS3Faults:
    """What a store does when the server does not do its part."""

    @pytest.fixture
    def store(self, s3_proxy: FaultProxy) -> Store:
        store = open_store(f"s3://{BUCKET}/faults/{uuid.uuid4().hex}")
        store.write("first", b"")
        s3_proxy.counts.clear()
        s3_proxy.log.clear()
        return store

    def test_every_third_put_fails(self, store: Store, s3_proxy: FaultProxy, tmp_path: Path) -> None:
        s3_proxy.fail_every(3)
        (tmp_path / "big").write_bytes(os.urandom(1 << 20) * 40)
        for number in range(10):
            store.write(f"k/{number}", b"x")
        store.upload("big", tmp_path / "big")
        store.download("big", tmp_path / "back")
        assert len(list(store.list("k"))) == 10
        assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
        assert s3_proxy.counts["PUT"] > 14

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_passing_troubles_are_waited_out(self, store: Store, s3_proxy: FaultProxy, status: int) -> None:
        s3_proxy.fault = lambda _method, _path, number: status if number < 3 else None
        store.write("k", b"1")
        assert store.read("k") == b"1"
        store.write("new", b"1", new=True)

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_create_that_was_retried_knows_its_own_work(
        self, store: Store, s3_proxy: FaultProxy, status: int
    ) -> None:
        s3_proxy.lie = lambda method, _path, number: status if method == "PUT" and number == 1 else None
        store.write("claim", b"1", new=True)
        with pytest.raises(KeyExists):
            store.write("claim", b"1", new=True)

    def test_a_lost_connection_is_waited_out(self, store: Store, s3_proxy: FaultProxy, tmp_path: Path) -> None:
        (tmp_path / "big").write_bytes(os.urandom(1 << 20) * 20)
        store.write("old", b"1")
        s3_proxy.cut(3)
        with ThreadPoolExecutor(6) as pool:
            calls: list[Future[Any]] = [
                pool.submit(store.write, "k", b"1"),
                pool.submit(store.read, "old"),
                pool.submit(lambda: list(store.list())),
                pool.submit(lambda: store.write("claim", b"1", new=True)),
                pool.submit(store.upload, "big", tmp_path / "big"),
                pool.submit(store.stat, "old"),
            ]
            for call in calls:
                call.result()
        assert not s3_proxy.down
        assert sorted(entry.key for entry in store.list()) == ["big", "claim", "first", "k", "old"]

    def test_a_download_that_breaks_off_goes_on(self, store: Store, s3_proxy: FaultProxy, tmp_path: Path) -> None:
        content = os.urandom(1 << 20) * 4
        store.write("big", content)
        s3_proxy.short = 2
        store.download("big", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        s3_proxy.short = 1
        assert store.read("big") == content

    def test_a_server_that_ignores_the_condition_is_noticed(self, store: Store, s3_proxy: FaultProxy) -> None:
        s3_proxy.drop_headers = {"if-none-match"}
        with pytest.raises(StoreError, match=r"cannot create .*claim safely.*If-None-Match"):
            store.write("claim", b"1", new=True)
        assert [entry.key for entry in store.list()] == ["first"]

    def test_the_condition_is_checked_once(self, store: Store, s3_proxy: FaultProxy) -> None:
        for number in range(5):
            store.within("deeper").write(f"claim-{number}", b"1", new=True)
        assert s3_proxy.counts == {"PUT": 6}

    def test_a_write_is_one_request(self, store: Store, s3_proxy: FaultProxy) -> None:
        store.write("k", b"1")
        store.read("k")
        list(store.list())
        assert s3_proxy.counts == {"PUT": 1, "GET": 2}

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (401, "401 Unauthorized, SlowDown: .* (renew the credentials"),
            (403, "403 Forbidden, SlowDown: .* (check that these credentials may write there)"),
            (301, "301 redirected (check AWS_DEFAULT_REGION"),
            (400, "400 Bad Request, SlowDown: Please reduce your request rate. (see what the server said)"),
        ],
    )
    def test_refusals_are_one_line(self, store: Store, s3_proxy: FaultProxy, status: int, said: str) -> None:
        s3_proxy.fault = lambda *_: status
        with pytest.raises(StoreError) as told:
            store.write("k", b"1")
        message = str(told.value)
        assert "\n" not in message
        assert message.startswith(f"cannot write {store.locate('k')}: ")
        head, _, tail = said.partition(" .* ")
        assert head in message
        assert tail in message
        for call in (
            lambda: list(store.list()),
            store.children,
            lambda: store.stat("k"),
            lambda: store.read("k"),
        ):
            with pytest.raises(StoreError):
                call()

    def test_listing_needs_no_right_to_read(self, store: Store, s3_proxy: FaultProxy) -> None:
        s3_proxy.fault = lambda method, *_: 403 if method == "HEAD" else None
        assert [entry.key for entry in open_store(store.address).list()] == ["first"]
        assert open_store(store.address).children() == []
        assert s3_proxy.counts["HEAD"] == 2

    def test_another_web_server_is_no_empty_bucket(self, store: Store, s3_proxy: FaultProxy) -> None:
        s3_proxy.fault = lambda *_: 404
        for call in (lambda: store.read("k"), lambda: store.write("k", b""), lambda: list(store.list())):
            with pytest.raises(StoreError, match=r"404 Not Found.*check the endpoint and the bucket's name"):
                call()

    def test_a_wrong_endpoint_is_told_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        servers.use_s3(monkeypatch, "http://127.0.0.1:9")
        monkeypatch.setattr("scythe_cli.storage.s3_client.QUICK", 1.0)
        began = time.monotonic()
        with pytest.raises(
            StoreError,
            match=r"cannot write s3://bucket/p/k: Connection refused \(check the endpoint http://127.0.0.1:9 and",
        ):
            open_store("s3://bucket/p").write("k", b"")
        assert time.monotonic() - began < 3

    def test_no_credentials(self, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        servers.use_s3(monkeypatch, s3_endpoint)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StoreError, match="cannot use s3://bucket: no AWS credentials found"):
            open_store("s3://bucket/p")

    def test_no_region(self, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        servers.use_s3(monkeypatch, s3_endpoint)
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        open_store("s3://bucket/p")
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        with pytest.raises(StoreError, match="no AWS region is set"):
            open_store("s3://bucket/p")

    @pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://", "http://a b"])
    def test_no_such_endpoint(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        servers.use_s3(monkeypatch, endpoint)
        with pytest.raises(StoreError, match=f"the endpoint '{endpoint.rstrip('/')}.* is not an http:// or https://"):
            open_store("s3://bucket/p")

    def test_the_password_of_an_endpoint_is_not_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        servers.use_s3(monkeypatch, "http://ada:s3cretpw@minio:9000")
        with pytest.raises(StoreError, match=r"the endpoint 'http://\*\*\*@minio:9000' is not an http:// or https://"):
            open_store("s3://bucket/p")

    def test_an_unknown_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StoreError, match="nobody"):
            open_store("s3://bucket/p")

    def test_expired_credentials_are_renewed(self, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        from scythe_cli.storage import s3_client

        asked: list[Boto3CredentialProvider] = []
        ask = Boto3CredentialProvider.__call__

        def note(self: Boto3CredentialProvider) -> S3Credential:
            asked.append(self)
            return ask(self)

        monkeypatch.setattr(s3_client, "LIFETIME", s3_client.LIFETIME * 0)
        monkeypatch.setattr(Boto3CredentialProvider, "__call__", note)
        store = open_store(f"s3://{BUCKET}/renewed")
        for _ in range(3):
            store.write("k", b"")
        assert len(asked) >= 3


@pytest.mark.parametrize(
    "address", ["", "  ", "s3://", "s3:///x", "s3://my bucket/x", "gs://bucket/x", "s3://bucket/../x", "S4://x"]
)
def test_no_such_storage(address: str) -> None:
    with pytest.raises(ConfigError, match="storage"):
        open_store(address)


def test_every_store_error_exits_with_four() -> None:
    assert issubclass(StoreError, ScytheError)
    assert StoreError.exit_code == KeyExists.exit_code == 4
