"""Who may write to the storage writes anything: `status` shows the rest and names what it left out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import HALF, RUN, SCYTHE, Storage


def lists_the_rest(storage: Storage) -> str:
    """The list without the run that was spoiled; what stderr says."""
    done = storage.scythe("status", "--storage", "storage")
    assert done.code == 0, done.err
    assert HALF in done.out
    assert RUN not in done.out
    return done.err


def replace(path: Path, kind: str) -> None:
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "link out":
            path.symlink_to("/etc/hostname")
        case "link in a circle":
            path.symlink_to(path.name)
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 36)
        case "empty":
            path.touch()
        case "bytes":
            path.write_bytes(bytes(range(256)))
        case "deep":
            path.write_text("a: " + "[" * 5_000)


KINDS = ["pipe", "link to a device", "link out", "link in a circle", "huge", "empty", "bytes", "deep"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_that_is_no_manifest(storage: Storage, kind: str) -> None:
    replace(storage.run / "manifest.yml", kind)
    said = lists_the_rest(storage)
    assert said.startswith("left out: ")
    assert f"{RUN}/manifest.yml" in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mark", ["generation-1", "gathered-1"])
def test_a_mark_that_is_no_mark(storage: Storage, kind: str, mark: str) -> None:
    replace(storage.run / "control" / f"{mark}.yml", kind)
    done = storage.scythe("status", "--storage", "storage")
    assert done.code == 0
    assert HALF in done.out
    assert RUN in done.out or f"{mark}.yml" in done.err


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("manifest.yml", f"experiment_id: {RUN}", "experiment_id: ../../x"),
        ("manifest.yml", f"experiment_id: {RUN}", "experiment_id: a/b/c"),
        ("manifest.yml", f"experiment_id: {RUN}", "experiment_id: [1, 2]"),
        ("manifest.yml", "n_specs: 28", "n_specs: 1000000000000000000"),
        ("manifest.yml", "n_specs: 28", "n_specs: -1"),
        ("manifest.yml", "n_specs: 28", "n_specs: .inf"),
        ("control/generation-1.yml", "todo: 28", "todo: many"),
        ("control/generation-1.yml", "began: ", "began: never # "),
        ("control/generation-1.yml", "began: ", "began: '2026-11-29T10:00:00' # "),
        ("control/gathered-1.yml", "failed: 6", "failed: [6]"),
        ("control/gathered-1.yml", "tables:\n", "tables: 5\nothers:\n"),
    ],
)
def test_wrong_types(storage: Storage, key: str, old: str, new: str) -> None:
    storage.change(key, old, new)
    assert f"{RUN}/{key}" in lists_the_rest(storage)


@pytest.mark.parametrize(
    "text",
    [
        "host: 5",
        "pid: 99999999999999999999",
        "pid: -1",
        "started: soon",
        "written: 5",
        "lasts: .inf",
        "lasts: 1.0e+300",
        "boot_id: {}",
    ],
)
def test_a_lease_of_wrong_types(storage: Storage, text: str) -> None:
    key = text.partition(":")[0]
    lease = max((storage.half / "control").glob("lease-*.yml"))
    lines = [line for line in lease.read_text().splitlines() if not line.startswith(f"{key}:")]
    lease.write_text("\n".join([*lines, text, ""]))
    for mark in (storage.half / "control").glob("ended-*"):
        mark.unlink()
    done = storage.scythe("status", "--storage", "storage")
    assert done.code == 0
    assert lease.name in done.err
    assert RUN in done.out


def test_a_run_is_shown_once_whatever_links_lead_to_it(storage: Storage) -> None:
    (storage.root / "alias").symlink_to(storage.root / "complete")
    (storage.root / "complete" / "v9.0.0").symlink_to(storage.root / "complete" / "v1.0.0")
    (storage.run.parent / "2026-12-01_00-00-00").symlink_to(storage.run)
    (storage.root / "loop").symlink_to(storage.root)
    done = storage.scythe("status", "--storage", "storage")
    assert done.code == 0
    assert sum("2026-1" in line for line in done.out.splitlines()) == 3


def test_a_run_on_another_disk_is_shown_once(storage: Storage, tmp_path: Path) -> None:
    shutil.move(storage.root / "complete", tmp_path / "disk")
    for name in ("complete", "again"):
        (storage.root / name).symlink_to(tmp_path / "disk")
    done = storage.scythe("status", "--storage", "storage")
    assert done.out.count(RUN) == 1


@pytest.mark.parametrize(
    "part",
    [
        "scatter-gather/output/0/g1-0-999999999999999999-3-0-1.pq",
        "scatter-gather/output/7/g1-0-3-4-0-1.pq",
        "scatter-gather/output/0/g1-5-3-4-0-1.pq",
        "scatter-gather/output/0/g1-0-3-4-9-1.pq",
        f"scatter-gather/output/0/g1-0-3-4-0-{'9' * 200}.pq",
        f"control/lease-{'9' * 200}.yml",
    ],
)
def test_names_of_parts_that_nobody_writes_count_for_nothing(storage: Storage, part: str) -> None:
    before = storage.scythe("status", HALF, "--storage", "storage").out
    path = storage.half / part
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    done = storage.scythe("status", HALF, "--storage", "storage")
    assert done.code == 0
    assert done.out == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_sigterm_ends_it_while_it_parses(storage: Storage) -> None:
    """Four megabytes of YAML take long to parse; a stop is heard meanwhile."""
    (storage.run / "manifest.yml").write_text("a:\n" + "- [[[1, 2], 3], 4]\n" * 150_000)
    with subprocess.Popen(
        [SCYTHE, "status", "--storage", "storage"], cwd=storage.folder, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        stat = Path(f"/proc/{process.pid}/stat")
        while int(stat.read_text().split()[13]) < 150 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (130, 143, 0)
