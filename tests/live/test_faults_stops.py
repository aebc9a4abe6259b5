"""What stops a run from outside: signals, cancel, a store that refuses, a lease that is held, parts that are broken."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import pyarrow.parquet as pq
import pytest

from scythe_cli.core import layout, processes
from scythe_cli.core.events import ignore
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range
from scythe_cli.errors import InputError, KeyMissing, NotFinishedError, StoreError
from scythe_cli.operations.cancel import cancel
from scythe_cli.operations.gather import gather
from scythe_cli.operations.resume import remaining
from scythe_cli.operations.status import quick_status, status
from scythe_cli.run import lease, state
from scythe_cli.run.precedence import list_parts
from scythe_cli.run.run import open_run
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.run.run import Run


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def traces(tmp_path: Path) -> Iterator[faults.Traces]:
    with faults.temporary(tmp_path / "tmp") as traces:
        yield traces
        traces.check()


def begin(tmp_path: Path, n: int, seconds: float, *, hangs: int = -1, tag: str = "", **settings: Any) -> Run:
    """A run whose specs write a diary; the one at `hangs` never ends, nor does what it starts."""
    specs = [
        {
            "trouble": "waits_for_an_endless_tree" if at == hangs else "none",
            "tag": tag,
            "seconds": seconds,
            "diary": str(tmp_path / "diary"),
        }
        for at in range(n)
    ]
    (tmp_path / "diary").touch()
    return faults.begin(tmp_path / "runs", specs, **settings)


def diary(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "diary").read_text().split()]


def lanes_of(process: subprocess.Popen[str]) -> set[int]:
    (server,) = processes.children(process.pid)
    return set(processes.children(server))


# signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_specs_end(tmp_path: Path, number: int) -> None:
    run = begin(tmp_path, 40, 0.1)
    with faults.driver(run) as process:
        faults.wait_for(lambda: len(diary(tmp_path)) > 4)
        process.send_signal(number)
        at = len(diary(tmp_path))
        said = json.loads(faults.result(process, 130))
    assert said["ended"] == "interrupted"
    begun = diary(tmp_path)
    assert len(begun) <= at + 2 * faults.LANES, "specs began after the signal"
    state = status(run)
    assert (state.state, state.done) == ("incomplete", len(begun)), "what ended was not flushed"
    assert faults.drive(faults.rest(run)) is None
    assert sorted(diary(tmp_path)) == list(range(40)), "a spec ran twice"
    assert not faults.tables(run).bad


def test_a_signal_to_all_processes_fails_no_spec(tmp_path: Path) -> None:
    """As Slurm sends it to a task that is requeued, and systemd to a service; no attempt may count."""
    run = begin(tmp_path, 20, 0.5, retries=0)
    with faults.driver(run) as process:
        faults.wait_for(lambda: len(diary(tmp_path)) >= faults.LANES)
        for pid in [*lanes_of(process), *processes.children(process.pid), process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert json.loads(faults.result(process, 130))["ended"] == "interrupted"
    assert status(run).failed == 0
    assert faults.drive(faults.rest(run)) is None
    assert not faults.tables(run).bad


def test_the_second_signal_ends_all_at_once(tmp_path: Path, traces: faults.Traces) -> None:
    run = begin(tmp_path, 20, 0.05, hangs=7, tag=traces.tag)
    with faults.driver(run) as process:
        faults.wait_for(lambda: len(diary(tmp_path)) == 20)
        faults.wait_for(traces.processes_of_specs)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "the running spec got no time"
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        faults.result(process, 130)
        assert time.monotonic() - began < 15, "it waited for the grace time"
    assert status(run).done == 19
    assert remaining(run).missing == [Range(7, 7)]


def test_grace_ends(tmp_path: Path, traces: faults.Traces) -> None:
    run = begin(tmp_path, 20, 0.05, hangs=7, tag=traces.tag, grace=0.5)
    ticket = faults.submit(faults.first(run))
    with faults.later(traces.processes_of_specs, ticket.stop):
        ended = ticket.wait(ignore)
    assert ended is not None
    assert ended.reason == "interrupted"
    assert 7 in [row for one in remaining(run).missing for row in one], "a spec that was stopped did not fail"
    ticket.stop()  # as a signal handler may, long after


def test_stopped_before_it_began(tmp_path: Path) -> None:
    run = begin(tmp_path, 10, 0.0)
    ticket = faults.submit(faults.first(run))
    ticket.stop()
    ended = ticket.wait(ignore)
    assert ended is not None
    assert diary(tmp_path) == []


# cancel


def test_cancel_from_another_process(tmp_path: Path, traces: faults.Traces) -> None:
    run = begin(tmp_path, 200, 0.1, hangs=3, tag=traces.tag)
    with faults.driver(run) as process:
        faults.wait_for(traces.processes_of_specs)
        began = time.monotonic()
        done = cancel(run)
        assert not done.already
        faults.wait_for(lambda: not traces.processes_of_specs())
        assert time.monotonic() - began < 5
        said = json.loads(faults.result(process, 5))
    assert said["ended"] == "cancelled"
    state = status(run)
    assert state.state == "cancelled"
    assert f"by {done.by} at {done.at}" in (state.detail, said["detail"].removeprefix("cancelled "))
    assert cancel(run).already
    assert 3 in [row for one in remaining(run).missing for row in one]
    assert remaining(run).cancelled
    tables = faults.tables(run, partial=True)
    assert 0 < len(tables.good) < 200
    with pytest.raises(NotFinishedError, match=r"of 200 specs have no outcome yet"):
        gather(run)
    assert faults.rest(run).generation == 2, "a cancel holds for its generation alone"


# the store


class Refusing:
    """Has a folder refuse some writes, as a full disk does."""

    def __init__(self, patch: pytest.MonkeyPatch, refuses: Callable[[str], bool]) -> None:
        self.count = 0
        write = LocalStore.write

        def guarded(store: LocalStore, key: str, data: bytes, *, new: bool = False) -> None:
            if refuses(key):
                self.count += 1
                raise StoreError(f"cannot write {key}: No space left on device")
            write(store, key, data, new=new)

        patch.setattr(LocalStore, "write", guarded)


@pytest.mark.parametrize("which", ["parts", "uploads"])
def test_a_store_that_refuses_stops_the_run_and_resume_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    specs = [{"trouble": "none", "seconds": 0.02, "diary": str(tmp_path / "diary")} for _ in range(100)]
    run = faults.begin(tmp_path / "runs", specs, function="trouble:steady", flush=0.2)
    with monkeypatch.context() as patch:
        written = itertools.count()
        if which == "uploads":

            def refuse(*_: object, **__: object) -> None:
                raise StoreError("cannot write: No space left on device")

            patch.setattr(LocalStore, "upload", refuse)
        else:
            Refusing(patch, lambda key: layout.OUTPUT in key and next(written) > 4)
        with pytest.raises(StoreError, match="No space left") as told:
            faults.drive(faults.first(run))
    assert told.value.exit_code == 4
    before = len(diary(tmp_path))
    done = status(run)
    assert done.state == "incomplete"
    assert done.done < 100
    assert faults.drive(faults.rest(run)) is None
    assert len(diary(tmp_path)) - before == 100 - done.done, "a flushed spec ran again"
    assert not faults.tables(run).bad
    assert gather(run).rows["monthly"] == 2 * len(range(0, 100, 3))


def test_a_store_that_is_gone_for_good(tmp_path: Path) -> None:
    code = f"""
import sys, faults
from scythe_cli.storage.open_store import open_store
from scythe_cli.errors import StoreError
from scythe_cli.run.run import open_run
from scythe_cli.storage.local import LocalStore
run = open_run(open_store({str(tmp_path / "runs")!r}), sys.argv[1])
def refuse(self, key, data, new=False):
    if "/output/" in key:
        LocalStore.write = lambda *_, **__: (_ for _ in ()).throw(StoreError("gone"))
    return write(self, key, data, new=new)
write, LocalStore.write = LocalStore.write, refuse
try:
    faults.drive(faults.first(run))
except StoreError as exc:
    print("told", exc)
"""
    run = begin(tmp_path, 50, 0.02, flush=0.1)
    done = subprocess.run(
        [sys.executable, "-c", code, run.id],
        cwd=Path(faults.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "told gone\n", done.stderr
    assert faults.drive(faults.rest(run)) is None, "the lease of a dead process is void"


# leases


def test_a_run_has_one_holder(tmp_path: Path, traces: faults.Traces) -> None:
    run = begin(tmp_path, 10, 0.0, hangs=0, tag=traces.tag)
    with faults.driver(run) as holder:
        faults.wait_for(traces.processes_of_specs)
        with faults.driver(run, "--resume") as second:
            said = json.loads(faults.result(second, 5))
        assert f"held by process {holder.pid} on {socket.gethostname()}" in said["error"]
        holder.kill()
        holder.wait()
        with faults.driver(run, "--resume", "run.timeout=0.5", "run.retries=0") as third:
            faults.result(third)
    assert faults.tables(run).kinds == {"timeout": 1}


def test_two_resumes_that_start_at_once(tmp_path: Path) -> None:
    run = begin(tmp_path, 30, 0.05)
    with faults.driver(run, "--resume") as one, faults.driver(run, "--resume") as other:
        said = [one.communicate(timeout=30)[0], other.communicate(timeout=30)[0]]
    assert sorted([one.returncode, other.returncode]) == [0, 5], said
    assert sorted(diary(tmp_path)) == list(range(30))


ELSEWHERE = {"host": "elsewhere", "boot_id": "another"}


@pytest.mark.parametrize(
    ("changes", "seconds_ago", "held"),
    [
        (ELSEWHERE, 1, True),
        (ELSEWHERE, 31, False),
        (ELSEWHERE | {"lasts": 0.0}, 1, False),
        ({"pid": os.getppid(), "started": processes.start_time(os.getppid())}, 1, True),
        ({"pid": os.getppid(), "started": processes.start_time(os.getppid())}, 31, True),
        ({"pid": os.getppid(), "started": 1.0}, 1, False),
        ({"pid": 2**22 + 1}, 1, False),
        ({"pid": 1, "boot_id": "before"}, 1, True),
        ({"pid": 2**22 + 1, "namespace": "pid:[1]"}, 1, True),
        ({"pid": 2**22 + 1, "namespace": "pid:[1]"}, 31, False),
        ({}, 31, False),
    ],
)
def test_who_holds(changes: dict[str, Any], seconds_ago: int, held: bool) -> None:
    written = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    assert lease.is_held(lease._note(30.0) | {"written": written.isoformat()} | changes) is held


@pytest.mark.parametrize("removed", [False, True], ids=["the next number is taken", "the next was taken long ago"])
def test_who_lost_the_run_to_another_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traces: faults.Traces, removed: bool
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", 1.0)
    if removed:
        monkeypatch.setattr(lease, "LASTS", 0.1)
    run = begin(tmp_path, 10, 0.0, hangs=0, tag=traces.tag, grace=0)
    ticket = faults.submit(faults.first(run))

    def take() -> None:
        note = lease._note(30.0) | ELSEWHERE
        state.write_mark(run.store, Mark.LEASE, 90 if removed else max(lease._numbers(run.store)) + 1, note)

    with faults.later(traces.processes_of_specs, take):
        ended = ticket.wait(ignore)
    assert ended is not None
    assert ended.reason == "taken over"


def test_a_lease_is_renewed_through_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", 0.02)
    monkeypatch.setattr(lease, "RETRY_EVERY", 0.02)
    store = LocalStore(tmp_path / "run")

    def numbers() -> list[int]:
        return sorted(int(entry.key.split("-")[1].removesuffix(".yml")) for entry in store.list(layout.CONTROL))

    with lease.hold(store):
        faults.wait_for(lambda: numbers()[-1] > 6, numbers)
        with monkeypatch.context() as patch:
            refusing = Refusing(patch, lambda key: "lease" in key)
            faults.wait_for(lambda: refusing.count > 2)
        at = numbers()[-1]
        faults.wait_for(lambda: numbers()[-1] > at + 2, numbers)
        with pytest.raises(NotFinishedError, match="the run is held by process"), lease.hold(store):
            pass
        assert len(numbers()) <= lease.KEEP + 2
    with lease.hold(store):
        pass


# parts


def break_part(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(data[:60] + bytes([data[60] ^ 255]) + data[61:])
    elif how == "footer":  # the name of a column, as the footer has it
        at = data.rindex(b"sort_index", 0, data.rindex(b"ARROW:schema"))
        path.write_bytes(data[:at] + b"S" + data[at + 1 :])
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes((path.parent / how).read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run in many parts."""
    folder = tmp_path_factory.mktemp("whole")
    specs = [{"trouble": "none", "diary": str(folder / "diary"), "seconds": 0.01} for _ in range(60)]
    run = faults.begin(folder / "runs", specs, function="trouble:steady", flush=0.1)
    assert faults.drive(faults.first(run)) is None
    faults.tables(run)
    return run


def copy_of(run: Run, tmp_path: Path) -> Run:
    """A run moved elsewhere is a run."""
    shutil.copytree(Path(run.store.locate("")), tmp_path / "runs" / run.id)
    return open_run(open_store(str(tmp_path / "runs")), run.id)


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "footer", "frame gone", "frame truncated"])
def test_a_broken_part_is_set_aside(tmp_path: Path, whole: Run, how: str) -> None:
    run = copy_of(whole, tmp_path)
    part = next(part for part in list_parts(run.store) if part.rows > 3)
    key = part.frame_key("monthly") if how.startswith("frame") else part.key
    break_part(Path(run.store.locate(key)), how.removeprefix("frame "))
    with pytest.raises(NotFinishedError, match=key):
        gather(run)
    report = gather(run, partial=True)
    assert report.missing == part.rows
    assert status(run).missing == part.rows
    assert faults.rest(run).todo == part.rows


def test_a_broken_frame_of_an_older_version_is_set_aside(tmp_path: Path, whole: Run) -> None:
    """It has no checksum of the whole part, so what is broken shows when its rows are read."""
    run = copy_of(whole, tmp_path)
    part = next(part for part in list_parts(run.store) if part.rows > 3)
    path = Path(run.store.locate(part.frame_key("monthly")))
    assert b"scythe.crc32" in (pq.read_metadata(path).metadata or {})
    pq.write_table(pq.read_table(path), path, write_page_checksum=True, use_dictionary=False, compression="none")
    assert b"scythe.crc32" not in (pq.read_metadata(path).metadata or {})
    assert gather(run).missing == 0
    at = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[at.data_page_offset + at.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(NotFinishedError, match=part.frame_key("monthly")):
        gather(run)
    assert gather(run, partial=True).missing == part.rows
    assert faults.rest(run).todo == part.rows


def test_what_a_broken_part_held_is_run_again(tmp_path: Path, whole: Run) -> None:
    run = copy_of(whole, tmp_path)
    before = faults.tables(run).good
    several = [part for part in list_parts(run.store) if part.rows > 1][:2]
    for part, how in zip(several, ("truncated", "flipped"), strict=True):
        break_part(Path(run.store.locate(part.key)), how)
    lost = sum(part.rows for part in several)
    with pytest.raises(NotFinishedError):
        gather(run)
    ran = len(diary(Path(whole.store.locate("")).parents[3]))
    assert faults.drive(faults.rest(run)) is None
    assert len(diary(Path(whole.store.locate("")).parents[3])) - ran == lost
    assert faults.tables(run).good == before
    assert gather(run).rows["monthly"] == 40


def test_partial_with_a_broken_part_goes_on_without_it(tmp_path: Path, whole: Run) -> None:
    run = copy_of(whole, tmp_path)
    part = list_parts(run.store)[0]
    break_part(Path(run.store.locate(part.key)), "truncated")
    assert gather(run, partial=True).missing == part.rows


@pytest.mark.parametrize("how", ["truncated", "gone"])
@pytest.mark.parametrize("partial", [True, False])
def test_a_run_that_lost_a_part_is_not_gathered_any_more(tmp_path: Path, whole: Run, how: str, partial: bool) -> None:
    """Its table of runs says so too, which reads the marks alone."""
    run = copy_of(whole, tmp_path)
    assert (gather(run).missing, quick_status(run).state) == (0, "gathered")
    part = list_parts(run.store)[0]
    break_part(Path(run.store.locate(part.key)), how)
    with nullcontext() if partial else pytest.raises(NotFinishedError):
        gather(run, partial=partial)
    assert (quick_status(run).state, quick_status(run).missing) == ("incomplete", part.rows)
    assert quick_status(run) == status(run)
    assert faults.drive(faults.rest(run)) is None
    assert (quick_status(run).state, quick_status(run).missing) == ("complete", 0)
    gather(run)
    assert (quick_status(run).state, quick_status(run).missing) == ("gathered", 0)


@pytest.mark.parametrize("frames", [True, False])
def test_a_partial_gather_that_comes_late_leaves_no_gathered_run(
    tmp_path: Path, whole: Run, frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked at the run before its end, and put its tables in the place of the whole ones."""
    if frames:
        run = copy_of(whole, tmp_path)
    else:
        run = faults.begin(tmp_path / "runs", [{"trouble": "none"}] * 5)
        assert faults.drive(faults.first(run)) is None
        gather(run)
    assert quick_status(run).state == "gathered"
    found = state.read_state(run)
    early = dataclasses.replace(found, blocks={}, marks={Mark.GENERATION: [1]})
    with monkeypatch.context() as patched:
        patched.setattr("scythe_cli.operations.gather.read_state", lambda _: early)
        assert gather(run, partial=True).missing == run.total
    assert quick_status(run).state == "complete"
    assert gather(run).missing == 0
    assert quick_status(run).state == "gathered"


def test_a_table_that_no_part_has_any_more_goes(tmp_path: Path, whole: Run) -> None:
    run = copy_of(whole, tmp_path)
    assert "monthly" in gather(run).tables
    for part in list_parts(run.store):
        Path(run.store.locate(part.frame_key("monthly"))).unlink(missing_ok=True)
    own = Path(run.store.locate("final/notes.txt"))
    own.touch()
    report = gather(run, partial=True)
    assert report.missing
    assert set(report.tables) == set(status(run).final) == {"scalars", "errors", "result_file_refs", "execution"}
    assert own.exists()


def test_a_resume_that_meets_a_broken_part_of_failures(tmp_path: Path) -> None:
    run = faults.begin(tmp_path / "runs", [{"trouble": "raises"}] * 5, retries=0)
    assert faults.drive(faults.first(run)) is None
    break_part(Path(run.store.locate(list_parts(run.store)[0].key)), "truncated")
    assert remaining(run, failed=True).todo == 5


def test_gather_twice_gives_the_same_bytes(tmp_path: Path, whole: Run) -> None:
    run = copy_of(whole, tmp_path)
    one, other = ([Path(address).read_bytes() for address in gather(run).tables.values()] for _ in range(2))
    assert one == other


# resume


def test_resume_chooses_and_success_wins(tmp_path: Path) -> None:
    specs = [{"trouble": "raises" if at in (2, 5) else "none", "diary": str(tmp_path / "diary")} for at in range(8)]
    run = faults.begin(tmp_path / "runs", specs, function="trouble:second_time", retries=0)
    assert faults.drive(faults.first(run)) is None
    before = faults.tables(run)
    assert set(before.bad) == {2, 5}
    assert faults.rest(run, failed=False).todo == 0
    assert faults.rest(run, missing=False).todo == 2
    rest = faults.rest(run)
    assert (rest.todo, rest.generation, rest.done, rest.failed) == (2, 2, 6, 0)
    assert faults.drive(rest) is None
    after = faults.tables(run)
    assert not after.bad
    ids = {row: table["workflow_run_id"] for row, table in (before.good | before.bad).items()}
    assert {row: table["workflow_run_id"] for row, table in after.good.items()} == ids
    assert faults.rest(run).todo == 0


def test_resume_refuses_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(tmp_path, 3, 0.0)
    monkeypatch.setattr("scythe_cli.experiment.experiment.Experiment.source_hash", "f" * 64)
    with pytest.raises(
        InputError, match=rf"changed since .* \({run.manifest.source_hash[:12]} then, f{{12}} now\)"
    ) as told:
        faults.rest(run)
    assert "--allow-changed-code" in str(told.value.hint)


def test_somebody_else_was_faster(tmp_path: Path) -> None:
    run = begin(tmp_path, 3, 0.0)
    work = faults.first(run)
    assert faults.drive(work) is None
    with pytest.raises(NotFinishedError, match="another process began generation"):
        faults.drive(work)
    with pytest.raises(KeyMissing):
        run.store.read(layout.mark(Mark.GENERATION, 2))
    assert state.read_state(run).complete
