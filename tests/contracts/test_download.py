"""What `download` promises, over every store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scythe_cli.core.events import DownloadAdvanced, DownloadStarted
from scythe_cli.core.layout import DOWNLOAD_RECORD
from scythe_cli.errors import NotFinishedError, NotFoundError, StoreError
from scythe_cli.operations.download import download
from scythe_cli.storage.base import Entry
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.core.events import Event
    from scythe_cli.storage.base import Store

OBJECTS = {
    "manifest.yml": b"m",
    "final/scalars.pq": b"s" * 10,
    "final/errors.pq": b"",
    "results/plot/1.csv.gz": b"p1",
    "results/plot/2.csv.gz": b"p2",
    "results/model/1.osm": b"m1",
}


class Promises:
    """The contract. A subclass gives the run's store."""

    @pytest.fixture
    def run(self, address: str) -> Store:
        store = open_store(address).within("energy/v1.0.0/2026-01-31_12-00-00")
        for key, data in OBJECTS.items():
            store.write(key, data)
        return store

    def test_tables_alone(self, run: Store, tmp_path: Path) -> None:
        report = download(run, tmp_path / "out")
        assert tree(tmp_path / "out") == {key: data for key, data in OBJECTS.items() if key.startswith("final/")}
        assert list(report.tables) == ["scalars", "errors"]
        assert report.tables["scalars"] == tmp_path / "out" / "final" / "scalars.pq"
        assert (report.n_files, report.n_bytes, report.fetched_files, report.fetched_bytes) == (2, 10, 2, 10)

    def test_files_too(self, run: Store, tmp_path: Path) -> None:
        heard: list[Event] = []
        report = download(run, tmp_path, files=True, listener=heard.append)
        assert tree(tmp_path) == {key: data for key, data in OBJECTS.items() if key != "manifest.yml"}
        assert heard[0] == DownloadStarted(5, 16)
        assert sum(event.n_bytes for event in heard if isinstance(event, DownloadAdvanced)) == report.n_bytes == 16

    def test_one_field(self, run: Store, tmp_path: Path) -> None:
        download(run, tmp_path, only_field="plot")
        assert sorted(tree(tmp_path)) == [
            "final/errors.pq",
            "final/scalars.pq",
            "results/plot/1.csv.gz",
            "results/plot/2.csv.gz",
        ]
        with pytest.raises(
            NotFoundError, match=r"output field 'plt' .* Did you mean 'plot'\? Fields of files: model, pl"
        ):
            download(run, tmp_path, only_field="plt")

    def test_a_field_without_any_file(self, run: Store, tmp_path: Path) -> None:
        report = download(run, tmp_path, only_field="log", fields=["log", "model", "plot"])
        assert sorted(tree(tmp_path)) == ["final/errors.pq", "final/scalars.pq"]
        assert (report.n_files, report.fetched_files) == (2, 2)

    def test_a_table_of_several_files_replaces_other_forms_of_it(self, run: Store, tmp_path: Path) -> None:
        parts = [f"final/hourly.pq/part-{at:05d}.parquet" for at in range(3)]
        forms = [["final/hourly.pq"], parts, parts[:2], ["final/hourly.pq"], []]
        for form in forms:
            for entry in list(run.list("final")):
                if "hourly" in entry.key:
                    run.delete(entry.key)
            for key in form:
                run.write(key, b"h")
            report = download(run, tmp_path)
            assert sorted(key for key in tree(tmp_path) if "hourly" in key) == form
            assert ("hourly" in report.tables) == bool(form)
            if form:
                assert report.tables["hourly"] == tmp_path / "final" / "hourly.pq"

    def test_a_file_of_the_users_own_stays(self, run: Store, tmp_path: Path) -> None:
        (tmp_path / "final").mkdir()
        (tmp_path / "final" / "mine.pq").write_bytes(b"mine")
        download(run, tmp_path)
        assert (tmp_path / "final" / "mine.pq").read_bytes() == b"mine"

    def test_a_second_call_fetches_what_is_missing_or_differs(self, run: Store, tmp_path: Path) -> None:
        download(run, tmp_path, files=True)
        assert download(run, tmp_path, files=True).fetched_files == 0
        run.write("final/scalars.pq", b"S" * 10)
        (tmp_path / "results/plot/1.csv.gz").unlink()
        (tmp_path / "results/plot/2.csv.gz").write_bytes(b"xx")
        (tmp_path / "results/model/1.osm").write_bytes(b"longer")
        report = download(run, tmp_path, files=True)
        assert (report.fetched_files, report.n_files) == (4, 5)
        assert tree(tmp_path)["results/model/1.osm"] == b"m1"
        assert tree(tmp_path)["final/scalars.pq"] == b"S" * 10
        assert download(run, tmp_path, files=True).fetched_files == 0

    def test_a_lost_or_damaged_record_costs_bytes_only(self, run: Store, tmp_path: Path) -> None:
        download(run, tmp_path)
        (tmp_path / DOWNLOAD_RECORD).write_text((tmp_path / DOWNLOAD_RECORD).read_text()[:-20])
        assert download(run, tmp_path).fetched_files == 1
        (tmp_path / DOWNLOAD_RECORD).unlink()
        assert download(run, tmp_path).fetched_files == 2

    def test_a_run_that_is_not_finished(self, address: str, tmp_path: Path) -> None:
        store = open_store(address)
        store.write("experiment.yml", b"")
        with pytest.raises(NotFinishedError, match="has no final tables yet") as told:
            download(store, tmp_path / "out")
        assert "scythe gather" in (told.value.hint or "")
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_cannot_be_written(self, run: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="file"):
            download(run, tmp_path / "file")


class TestFolder(Promises):
    """A folder of the disk."""

    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")


class TestS3(Promises):
    """Moto's server, over HTTP."""

    @pytest.fixture
    def address(self, s3_storage: str) -> str:
        return s3_storage


class Hostile(LocalStore):
    """Lists a key that no store should hold, or downloads with half a file."""

    evil = "final/../../../escaped.pq"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        yield Entry(self.evil, 1, "x")


@pytest.mark.parametrize("key", ["final/../../escaped.pq", "/tmp/escaped.pq", "final/../../../escaped.pq"])
def test_contained_whatever_a_key_says(key: str, tmp_path: Path) -> None:
    store = Hostile(tmp_path / "store")
    store.evil = key
    with pytest.raises(StoreError, match="would be written outside of"):
        download(store, tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_failure_leaves_no_half_file_and_what_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = LocalStore(tmp_path / "store")
    for number in range(40):
        run.write(f"final/{number:02}.pq", b"1")

    def one_is_gone(store: LocalStore, key: str, path: Path, **more: object) -> None:
        if key == "final/20.pq":
            raise StoreError("away")
        original(store, key, path)

    original = LocalStore.download
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "download", one_is_gone)
        with pytest.raises(StoreError, match="away"):
            download(run, tmp_path / "out")
    arrived = tree(tmp_path / "out")
    assert "final/20.pq" not in arrived
    assert download(run, tmp_path / "out").fetched_files == 40 - len(arrived)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the record."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != DOWNLOAD_RECORD and "store" not in path.relative_to(folder).parts
    }
