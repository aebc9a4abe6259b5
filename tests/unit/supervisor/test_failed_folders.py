"""What of a failed spec's folder is kept: regular files, the smallest first, within the limits of a spec and a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scythe_cli.storage.local import LocalStore
from scythe_cli.supervisor import failed_folders
from scythe_cli.supervisor.failed_folders import FailedFolders, choose, take_aside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a spec has left: 40 bytes in three files, and what is no file."""
    left = tmp_path / "left"
    (left / "sub").mkdir(parents=True)
    (left / "eplusout.err").write_bytes(b"e" * 10)
    (left / "sub" / "mtr.csv").write_bytes(b"m" * 10)
    (left / "eplusout.sql").write_bytes(b"s" * 20)
    (left / "link").symlink_to("/etc/passwd")
    (left / "to a folder").symlink_to("/etc")
    (left / "bad\nname").write_bytes(b"")
    os.mkfifo(left / "pipe")
    return left


def kept(store: LocalStore) -> dict[str, int]:
    return {entry.key: entry.size for entry in store.list() if not entry.key.endswith(failed_folders.NOTE)}


def test_regular_files_the_smallest_first(folder: Path) -> None:
    files, left_out = choose(folder, 25)
    assert [file.name for file in files] == ["eplusout.err", "sub/mtr.csv"]
    assert [file.name for file in left_out] == ["eplusout.sql"]
    assert choose(folder, 40)[1] == []


def test_a_folder_is_kept_and_removed_here(folder: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    store.write("failed/17/of an earlier generation.txt", b"old")
    FailedFolders(store).keep(folder, "failed/17")
    assert kept(store) == {"failed/17/eplusout.err": 10, "failed/17/eplusout.sql": 20, "failed/17/sub/mtr.csv": 10}
    assert not folder.exists()
    assert Path("/etc/passwd").exists()
    note = store.read(f"failed/17/{failed_folders.NOTE}").decode()
    assert note == "Not kept, because no storage takes such names:\n  bad\\nname\n"


def test_names_that_are_no_text_are_named(tmp_path: Path) -> None:
    left, store = tmp_path / "left", LocalStore(tmp_path / "run")
    left.mkdir()
    Path(os.fsdecode(os.fsencode(left) + b"/caf\xe9.txt")).write_bytes(b"c")
    FailedFolders(store).keep(left, "failed/1")
    assert kept(store) == {}
    assert "  caf\\udce9.txt\n" in store.read(f"failed/1/{failed_folders.NOTE}").decode()


def test_the_limits_of_a_spec_and_a_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_folders, "SPEC_LIMIT", 35)
    monkeypatch.setattr(failed_folders, "RUN_LIMIT", 60)
    store = LocalStore(tmp_path / "run")
    store.write("failed/1/of another worker.txt", b"o" * 35)
    folders = FailedFolders(store)
    folders.keep(folder, "failed/2")
    assert kept(store).keys() == {"failed/1/of another worker.txt", "failed/2/eplusout.err", "failed/2/sub/mtr.csv"}
    note = store.read(f"failed/2/{failed_folders.NOTE}").decode()
    assert "a run may leave" in note
    assert "20  eplusout.sql" in note
    folder.mkdir()
    (folder / "small.txt").write_bytes(b"s" * 6)
    folders.keep(folder, "failed/3")
    assert "failed/3/small.txt" not in kept(store)


def test_the_limit_of_a_run_holds_for_all_workers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_folders, "RUN_LIMIT", 60)
    monkeypatch.setattr(failed_folders, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(failed_folders, "LOOK_SHARE", 0)
    store = LocalStore(tmp_path / "run")
    workers = [FailedFolders(store) for _ in range(3)]
    for number, worker in enumerate(workers):
        (folder / "eplusout.err").parent.mkdir(exist_ok=True)
        for name in "abc":
            (folder / f"{name}.txt").write_bytes(b"x" * 10)
        worker.keep(folder, f"failed/{number}")
    assert 40 <= sum(kept(store).values()) <= 60, "the notes of what was left out count, too"


def test_the_folder_of_a_lane_that_died(folder: Path, tmp_path: Path) -> None:
    lane, outbox = tmp_path / "lane-7", tmp_path / "outbox"
    outbox.mkdir()
    assert take_aside(lane, outbox) is None
    (lane / "spec-1").mkdir(parents=True)
    assert take_aside(lane, outbox) is None
    folder.rename(lane / "spec-2")
    place = take_aside(lane, outbox)
    assert place is not None
    assert (place / "eplusout.err").exists()
    assert place.parent == outbox
