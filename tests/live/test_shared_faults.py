"""`engine: shared` where machines die, stop, sleep, have wrong clocks, or where the storage goes away."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from claims import ELSEWHERE, HASTY, PATIENCE, SCYTHE, Project
from servers import BUCKET

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.run import lease
from scythe_cli.run.state import list_marks, read_mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import FaultProxy

pytestmark = pytest.mark.slow

CLAIMS = f"{layout.CLAIMS}/1/0"


@pytest.fixture
def project(any_storage: str, tmp_path: Path) -> Iterator[Project]:
    """An experiment in a folder, its runs in a folder or a bucket."""
    with closing(Project(tmp_path, any_storage)) as found:
        yield found


def kill_at_random(project: Project, chance: random.Random, *, specs: int, kills: int) -> None:
    """Four workers, of which some are killed and started again; then every spec has one outcome."""
    failing = set(chance.sample(range(specs), specs // 20))
    rows = [{"x": x, "seconds": 0.05, "do": "fail" if x in failing else ""} for x in range(specs)]
    project.write(rows)
    project.scythe("allocate", "--set", "run.max_failures=all")
    for _ in range(4):
        project.worker("--workers", "2")
    for _ in range(kills):
        time.sleep(chance.uniform(0.5, 4.0))
        alive = [process for process in project.processes if process.poll() is None]
        if not alive:
            break
        killed = chance.choice(alive)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        project.worker("--workers", "2")
    codes = {process.wait(600) for process in project.processes}
    assert codes <= {0, -signal.SIGKILL}, project.logs
    assert project.counts() == (specs, specs - len(failing), len(failing)), project.logs
    scalars, errors = project.table("scalars"), project.table("errors")
    assert sorted(scalars["x"].to_list()) == [x for x in range(specs) if x not in failing]
    assert errors["sort_index"].to_list() == sorted(failing)
    execution = project.table("execution")
    assert execution["sort_index"].to_list() == list(range(specs))
    assert set(execution["attempts"]) == {1}
    assert project.table("series").height == 2 * scalars.height
    for text in project.table("result_file_refs")["text"]:
        assert project.run.store.read(text.removeprefix(f"{project.run.store.address}/"))


@pytest.mark.timeout(300)
def test_four_workers_that_are_killed_at_random(project: Project) -> None:
    kill_at_random(project, random.Random(7), specs=160, kills=4)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(30))
def test_thirty_rounds_of_workers_that_are_killed_at_random(tmp_path: Path, number: int) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    kill_at_random(project, random.Random(number), specs=300, kills=5)
    project.close()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(10))
def test_rounds_in_a_bucket(tmp_path: Path, s3_storage: str, number: int) -> None:
    project = Project(tmp_path, s3_storage)
    kill_at_random(project, random.Random(100 + number), specs=300, kills=5)
    project.close()


@pytest.mark.timeout(300)
def test_a_storage_that_is_away_for_twenty_seconds(tmp_path: Path, s3_proxy: FaultProxy) -> None:
    project = Project(tmp_path, f"s3://{BUCKET}/away-{time.time_ns()}")
    project.write([{"x": x, "seconds": 0.3} for x in range(200)])
    project.scythe("allocate")
    for _ in range(3):
        project.worker("--workers", "2")
    project.wait_for(lambda: len(list(project.run.store.list(f"{layout.OUTPUT}/0"))) >= 10)
    s3_proxy.cut(20.0)
    time.sleep(20.0)
    project.wait_for_workers()
    assert project.counts() == (200, 200, 0), project.logs
    execution = project.table("execution")
    assert execution["sort_index"].to_list() == list(range(200))
    assert set(execution["attempts"]) == {1}
    claims = [entry.key for entry in project.run.store.list(layout.CLAIMS) if re.search(r"-c[2-9]", entry.key)]
    assert claims == [], "an outage for all is nobody's death"
    project.close()


def test_twelve_workers_that_start_in_the_same_second(project: Project) -> None:
    specs = 240
    project.write([{"x": x, "seconds": 0.05} for x in range(specs)])
    project.scythe("allocate")
    began = time.monotonic()
    for _ in range(12):
        project.worker("--workers", "1")
    assert time.monotonic() - began < 1.0
    project.wait_for_workers()
    assert project.counts() == (specs, specs, 0)
    execution = project.table("execution")
    assert execution["sort_index"].to_list() == list(range(specs))
    outcomes = list(project.run.store.list(f"{layout.OUTPUT}/0"))
    parts = [found for entry in outcomes if (found := layout.PartName.parse(entry.key)) is not None]
    assert sum(part.rows for part in parts) == specs, "no spec ran twice"
    assert list_marks(project.run.store)[Mark.GATHERED] == [1]


def damage(project: Project, parts: list[layout.PartName]) -> None:
    """Change a byte of each of some parts, as a disk does."""
    for part in parts:
        data = bytearray(project.run.store.read(part.key))
        data[len(data) // 2] ^= 0xFF
        project.run.store.write(part.key, bytes(data))


def parts_of(project: Project) -> list[layout.PartName]:
    found = (layout.PartName.parse(entry.key) for entry in project.run.store.list(f"{layout.OUTPUT}/0"))
    return sorted(part for part in found if part is not None)


def finished(project: Project) -> int:
    return sum("-done-" in entry.key for entry in project.run.store.list(CLAIMS))


def test_parts_of_finished_ranges_that_are_damaged_before_the_tables_are_built(
    project: Project, tmp_path: Path
) -> None:
    specs = 8
    project.write([{"x": x, "do": "wait" if x == specs - 1 else ""} for x in range(specs)])
    project.scythe("allocate")
    project.worker("--workers", "2")
    project.wait_for(lambda: finished(project) == specs - 1)
    before = parts_of(project)
    damage(project, before[2:4])
    (tmp_path / "go").touch()
    project.wait_for_workers()
    assert project.counts() == (specs, specs, 0)
    assert project.table("scalars")["x"].to_list() == list(range(specs))
    marks = list_marks(project.run.store)
    assert marks[Mark.GATHERED] == [1]
    assert marks[Mark.ENDED] == [1]
    again = [part for part in parts_of(project) if part not in before]
    assert sum(part.rows for part in again) == 3, "the two, and the one that waited"


def test_two_gathers_at_the_same_time(project: Project) -> None:
    specs = 60
    project.write([{"x": x, "do": "fail" if x % 20 == 1 else ""} for x in range(specs)])
    project.scythe("allocate", "--set", "run.max_failures=all")
    with lease.hold(project.run.store):  # so that the workers build no tables
        for _ in range(2):
            project.worker("--workers", "2")
        project.wait_for_workers()
    assert Mark.GATHERED not in list_marks(project.run.store)
    assert "another process builds the tables" in project.logs
    both = [
        subprocess.Popen([SCYTHE, "gather", "work"], cwd=project.folder, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=PATIENCE)[1] for one in both]
    codes = [one.returncode for one in both]
    assert 0 in codes, said
    assert set(codes) <= {0, 5}, said
    assert all("the run is held by process" in text for text, code in zip(said, codes, strict=True) if code), said
    assert project.counts() == (specs, specs - 3, 3)
    assert project.table("scalars").height == specs - 3
    assert project.table("errors")["sort_index"].to_list() == [1, 21, 41]


def left(project: Project, *, claimed: bool = False) -> dict[str, str]:
    """What failed specs left, by key: what is shown, or what the workers wrote for their claims."""
    store = project.run.store
    keys = [entry.key for entry in store.list(layout.FAILED)]
    return {key: store.read(key).decode() for key in keys if bool(layout.failed_claim(key.split("/")[1])) == claimed}


STOP_ONCE = """
import os
import signal

from scythe_cli.run import parts

encode = parts.encode


def stop_and_encode(*given, **named):
    parts.encode = encode
    os.kill(os.getpid(), signal.SIGSTOP)
    return encode(*given, **named)


parts.encode = stop_and_encode
"""
"""A worker that is stopped when it has kept the first folder, and has not written the outcome."""


@pytest.mark.timeout(300)
def test_what_failed_specs_left_is_of_the_attempt_that_counts(project: Project, tmp_path: Path) -> None:
    """Both workers run all specs: one is stopped after it has kept folders, and before their outcomes are written."""
    project.write([{"x": x, "do": "leave a file and fail"} for x in range(4)] + [{"x": 4, "do": "wait"}])
    project.scythe("allocate", "--set", "run.max_failures=all", "--set", "run.keep_failed=true")
    stopped = project.hasty_worker("--workers", "2", before=STOP_ONCE)
    project.wait_for(lambda: bool(left(project, claimed=True)) and is_stopped(stopped.pid))
    (tmp_path / "go").touch()
    other = project.hasty_worker("--workers", "2")
    assert other.wait(PATIENCE) == 0, project.logs
    errors = project.table("errors")
    assert errors["sort_index"].to_list() == [0, 1, 2, 3]
    expected = {f"failed/{x}/{name}.err": str(other.pid) for x in range(4) for name in (other.pid, "eplusout")}
    assert left(project) == expected
    assert set(left(project, claimed=True).values()) <= {str(stopped.pid)}
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.wait(PATIENCE)
    assert left(project) == expected, "a worker that comes back changes nothing"
    shown = json.loads(project.scythe("show", "work", "0", "--json"))["specs"][0]["files"]
    assert {name: address.rpartition("/failed/")[2] for name, address in shown.items()} == {
        f"{other.pid}.err": f"0/{other.pid}.err",
        "eplusout.err": "0/eplusout.err",
    }
    project.scythe("download", "work", "copy", "--files")
    assert sorted(path.name for path in (tmp_path / "copy" / "failed" / "0").iterdir()) == sorted(
        [f"{other.pid}.err", "eplusout.err"]
    )


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.timeout(300)
def test_who_watches_sees_that_a_worker_elsewhere_has_died(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "wait"} for x in range(2)])
    project.scythe("allocate")
    there = project.hasty_worker("--workers", "2", before=ELSEWHERE.format(hours=1))
    project.wait_for(lambda: len(list(project.run.store.list(CLAIMS))) >= 2)
    os.kill(there.pid, signal.SIGKILL)
    there.wait()
    command = f"{HASTY}\nfrom scythe_cli.cli.app import main\nmain()"
    watching = [sys.executable, "-c", command, "status", "work", "--watch"]
    done = subprocess.run(watching, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "stopped before the end (no worker is at work)" in done.stdout, (done.stdout, done.stderr)
    project.close()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_elsewhere_whose_clock_is_wrong_by_an_hour(tmp_path: Path, hours: int) -> None:
    """While it lives, nobody takes its specs; when it has died, they are taken; and it may build the tables."""
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "wait"} for x in range(4)])
    project.scythe("allocate")
    there = ELSEWHERE.format(hours=hours)
    wrong = project.hasty_worker("--workers", "4", before=there)
    claims = project.run.store
    project.wait_for(lambda: len(list(claims.list(CLAIMS))) >= 4)
    right = project.hasty_worker("--workers", "1")
    project.wait_for(lambda: "no specs are free" in project.logs)
    time.sleep(6.0)  # longer than the 4 seconds after which these workers take others for dead
    assert not [entry.key for entry in claims.list(CLAIMS) if "-c2" in entry.key]
    said = project.scythe("status", "work")
    assert "running" in said
    assert "one look does not show whether workers of other machines still live" in said
    os.kill(wrong.pid, signal.SIGKILL)
    wrong.wait()
    project.wait_for(lambda: bool([entry.key for entry in claims.list(CLAIMS) if "-c2" in entry.key]))
    late = project.hasty_worker("--workers", "1", before=there)
    (tmp_path / "go").touch()
    assert [right.wait(PATIENCE), late.wait(PATIENCE)] == [0, 0], project.logs
    assert project.counts() == (4, 4, 0)
    assert project.table("execution")["sort_index"].to_list() == [0, 1, 2, 3]
    project.close()


def test_too_many_failures_stop_all_workers(project: Project) -> None:
    project.write([{"x": x, "seconds": 0.1, "do": "fail" if x % 2 else ""} for x in range(400)])
    project.scythe("allocate", "--set", "run.max_failures=20")
    for _ in range(3):
        project.worker("--workers", "2")
    project.wait_for_workers(5)
    total, succeeded, failed = project.counts()
    assert total == 400
    assert failed > 20
    assert succeeded + failed < 300, "they stopped soon"
    assert "more than 20" in project.logs or "20" in project.scythe("status", "work")
    project.scythe("allocate", "--resume", "work", "--engine", "shared", "--set", "run.max_failures=all")
    project.scythe("worker", "--run", "work", "--workers", "4")
    assert project.counts() == (400, 200, 200)


SLOW_CLAIMS = """
import time

from scythe_cli.engines.shared.claimer import Claimer

take = Claimer._take
Claimer._take = lambda self, offer: (time.sleep(0.3), take(self, offer))[1]
"""


def test_a_worker_whose_claims_take_longer_than_their_rows_sees_that_it_must_stop(project: Project) -> None:
    project.write([{"x": x, "do": "fail" if x % 2 else ""} for x in range(400)])
    project.scythe("allocate", "--set", "run.max_failures=20", "--set", "run.leaf_size=4")
    project.hasty_worker("--workers", "2", before=SLOW_CLAIMS)
    project.wait_for_workers(5)
    total, succeeded, failed = project.counts()
    assert (total, failed > 20) == (400, True)
    assert succeeded + failed < 100, "it claims a range, and looks"


def test_the_first_specs_fail_alike_on_several_workers(project: Project) -> None:
    project.write([{"x": x, "seconds": 0.1, "do": "fail"} for x in range(400)])
    project.scythe("allocate")
    for _ in range(3):
        project.worker("--workers", "2")
    project.wait_for_workers(5)
    assert "failed alike" in project.logs
    total, succeeded, failed = project.counts()
    assert (total, succeeded) == (400, 0)
    assert failed < 300


def test_a_damaged_part_of_an_earlier_generation_ends_this_one(project: Project, tmp_path: Path) -> None:
    specs = 8
    project.write([{"x": x, "do": "wait" if x == specs - 1 else ""} for x in range(specs)])
    project.scythe("allocate")
    project.worker("--workers", "2")
    project.wait_for(lambda: finished(project) == specs - 1)
    project.scythe("cancel", "work")
    project.wait_for_workers(5)
    before = parts_of(project)
    project.processes.clear()
    project.scythe("allocate", "--resume", "work")
    project.worker("--workers", "1")
    damage(project, before[2:3])
    (tmp_path / "go").touch()
    project.wait_for_workers(5)
    assert "was set aside and its specs count as missing" in project.logs
    assert Mark.GATHERED not in list_marks(project.run.store)
    assert "scythe allocate --resume" in project.scythe("status", "work")
    project.scythe("worker", "--run", "work", code=5)
    project.scythe("allocate", "--resume", "work")
    project.scythe("worker", "--run", "work")
    assert project.counts() == (specs, specs, 0)
    assert project.table("scalars")["x"].to_list() == list(range(specs))


def test_a_damaged_part_whose_rows_another_part_has_changes_nothing(project: Project, tmp_path: Path) -> None:
    specs = 8
    project.write([{"x": x, "do": "wait" if x == specs - 1 else ""} for x in range(specs)])
    project.scythe("allocate")
    project.worker("--workers", "2")
    project.wait_for(lambda: finished(project) == specs - 1)
    store, part = project.run.store, parts_of(project)[2]
    again = dataclasses.replace(part, attempt=part.attempt + layout.CLAIM_PARTS)  # of a second worker's claim
    store.write(again.key, store.read(part.key))
    store.write(again.frame_key("series"), store.read(part.frame_key("series"))[:-100])
    (tmp_path / "go").touch()
    project.wait_for_workers()
    assert project.counts() == (specs, specs, 0)
    assert project.table("series").height == 2 * specs
    assert list_marks(store)[Mark.GATHERED] == [1]
    assert (read_mark(store, Mark.ENDED, 1) or {})["reason"] == "done"
    assert any("aside" in entry.key for entry in store.list(layout.CONTROL)), "it was read"
