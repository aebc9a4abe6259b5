"""A folder that somebody else may write to: links, pipes, devices and sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scythe_cli.errors import BrokenRun
from scythe_cli.storage.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(tmp_path: Path) -> LocalStore:
    """A run with `final` as a link to a folder of the victim's."""
    (tmp_path / "victim" / "deep").mkdir(parents=True)
    (tmp_path / "victim" / "thesis.pq").write_text("years of work")
    (tmp_path / "victim" / "deep" / "more.pq").write_text("more")
    (tmp_path / "run" / "results").mkdir(parents=True)
    (tmp_path / "run" / "final").symlink_to(tmp_path / "victim")
    (tmp_path / "run" / "results" / "deep").symlink_to(tmp_path / "victim" / "deep")
    (tmp_path / "run" / "manifest.yml").symlink_to(tmp_path / "victim" / "thesis.pq")
    return LocalStore(tmp_path / "run")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return tmp_path / "victim"


KEYS = ["final/thesis.pq", "final/deep/more.pq", "results/deep/more.pq"]


@pytest.mark.parametrize("key", [*KEYS, "manifest.yml"])
def test_nothing_is_read_through_a_link_that_leaves_the_run(run: LocalStore, key: str, tmp_path: Path) -> None:
    for read in (run.read, run.stat, lambda key: run.download(key, tmp_path / "copy")):
        with pytest.raises(BrokenRun, match="through a link, and links out of a run are not followed"):
            read(key)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("key", KEYS)
def test_nothing_is_written_through_it(run: LocalStore, victim: Path, key: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("ours")
    attempts: list[Callable[[], None]] = [
        lambda: run.write(key, b"x"),
        lambda: run.write(f"{key}.new", b"x", new=True),
        lambda: run.upload(key, tmp_path / "source"),
        lambda: run.upload(key, tmp_path / "source", consume=True),
        lambda: run.delete(key),
    ]
    for write in attempts:
        with pytest.raises(BrokenRun, match="links out of a run are not followed"):
            write()
    assert sorted(path.name for path in victim.rglob("*")) == ["deep", "more.pq", "thesis.pq"]
    assert (victim / "thesis.pq").read_text() == "years of work"
    assert (tmp_path / "source").exists()


def test_a_link_that_is_overwritten_or_deleted_is_replaced_itself(run: LocalStore, victim: Path) -> None:
    run.write("manifest.yml", b"ours")
    assert run.read("manifest.yml") == b"ours"
    run.delete("final")
    assert (victim / "thesis.pq").read_text() == "years of work"


def test_listings_leave_out_what_lies_behind_it(run: LocalStore) -> None:
    run.write("results/own", b"x")
    assert [entry.key for entry in run.list()] == ["results/own"]
    with pytest.raises(BrokenRun, match="links out of a run"):
        list(run.list("final"))


def test_a_link_through_the_name_of_the_run_is_no_way_out(tmp_path: Path) -> None:
    """`run-2` begins as `run` does."""
    (tmp_path / "run-2").mkdir()
    (tmp_path / "run-2" / "k").write_text("other")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x").symlink_to(tmp_path / "run-2")
    with pytest.raises(BrokenRun):
        LocalStore(tmp_path / "run").read("x/k")


def test_the_run_itself_may_be_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    store = LocalStore(tmp_path / "run")
    store.write("final/a.pq", b"x")
    assert store.read("final/a.pq") == b"x"
    assert [entry.key for entry in store.list("final")] == ["final/a.pq"]


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.yml")
    store = LocalStore(tmp_path)
    for read in (store.read, store.stat, lambda key: store.download(key, tmp_path / "copy")):
        with pytest.raises(BrokenRun, match="is not a regular file but a pipe, a device or a socket"):
            read("manifest.yml")
    assert list(store.list()) == []


def test_links_in_circles_end(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a"), ("self", "self")):
        (tmp_path / one).symlink_to(tmp_path / other)
    assert list(LocalStore(tmp_path).list()) == []


def test_forty_links_to_each_other_are_listed_once(tmp_path: Path) -> None:
    """Without memory this has 40^40 paths."""
    (tmp_path / "store").mkdir()
    for folder in range(40):
        (tmp_path / "store" / f"f{folder}").mkdir()
        for other in range(40):
            (tmp_path / "store" / f"f{folder}" / f"l{other}").symlink_to(tmp_path / "store" / f"f{other}")
    LocalStore(tmp_path / "store").write("f0/k", b"x")
    assert [entry.key for entry in LocalStore(tmp_path / "store").list()] == ["f0/k"]


def test_an_object_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.yml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BrokenRun, match="has 1,099,511,627,776 bytes, more than the 1,000 that"):
        LocalStore(tmp_path).read("manifest.yml", limit=1000)


@pytest.mark.parametrize("answers", [[0], [3, 0]])
def test_a_file_system_that_copies_nothing_and_says_nothing(
    tmp_path: Path, answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(source: int, target: int, _: int) -> int:
        moved = answers.pop(0)
        os.write(target, os.read(source, moved))
        return moved

    store = LocalStore(tmp_path)
    store.write("a", b"content")
    monkeypatch.setattr(os, "copy_file_range", copy)
    assert store.copy_from(store, "a", "b")
    assert store.read("b") == b"content"
