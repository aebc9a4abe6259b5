"""Waiting for runs over Hatchet and on this machine, and hand-overs that fail."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from desk import Desk, ended
from fleet import REAL, Fleet, fleet, until

from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation import follow
from scythe_cli.errors import NotFoundError
from scythe_cli.run import state
from scythe_cli.run.find import find
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.run.run import Run


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers of this process ask sooner than people need."""
    monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.5)
    monkeypatch.setattr(follow, "CHECK_SECONDS", 1.0)
    monkeypatch.setattr(follow, "NOBODY_SECONDS", 1.0)


@pytest.fixture
def desk(tmp_path: Path, workers: Fleet) -> Desk:
    """A folder beside an engine with workers, and a name of its own for the runs of the test."""
    return Desk(tmp_path, workers, name=tmp_path.name.replace("[", "-").replace("]", ""))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """A folder beside an engine that has no worker."""
    with fleet(tmp_path) as found:
        yield Desk(tmp_path / "desk", found)


def run_of(desk: Desk) -> Run:
    """The latest run of a desk."""
    return find(open_store(desk.fleet.storage), desk.name)


def generations(run: Run) -> list[int]:
    return sorted(state.list_marks(run.store).get(Mark.GENERATION, []))


def begun(desk: Desk) -> Run:
    """The run that a command in another process has begun, once some of its specs are done."""

    def check() -> Run | None:
        try:
            run = run_of(desk)
        except NotFoundError:
            return None
        return run if state.read_state(run).done else None

    found = until(check, "a first part", state=desk.fleet.logs)
    assert found is not None
    return found


def test_a_run_is_waited_for_by_another_command(desk: Desk) -> None:
    desk.write(4)
    assert desk.scythe("allocate").code == 0
    done = desk.scythe("wait", desk.name)
    assert done.code == 0, done.err
    assert "4 succeeded, 0 failed" in done.out


def test_wait_has_the_exit_code_of_allocate(desk: Desk) -> None:
    desk.write(4, does="fails")
    assert desk.scythe("allocate").code == 0
    done = desk.scythe("wait")
    assert done.code == 1, done.err
    assert "0 succeeded, 4 failed" in done.out


def test_wait_gives_up_after_its_timeout(alone: Desk) -> None:
    alone.write(4)
    alone.scythe("allocate")
    done = alone.scythe("wait", alone.name, "--timeout", "2s")
    assert done.code == 5
    assert "is not finished after 2 s: 0 of 4 specs are done" in done.err


def test_a_timeout_that_is_none_is_bad_input(desk: Desk) -> None:
    desk.write(1)
    assert desk.scythe("wait", desk.name, "--timeout", "soon").code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_waiting_leaves_the_run_alone(desk: Desk, number: int) -> None:
    desk.write(40, seconds=0.2)
    waiting = desk.start("allocate", "--wait")
    run = begun(desk)
    waiting.send_signal(number)
    done = ended(waiting)
    assert done.code == 130
    assert f"no longer waiting; {run.id} continues with its workers" in done.err
    assert f"next: scythe status {run.id} --watch   or, to wait again: scythe wait {run.id}" in done.err
    assert desk.scythe("wait", desk.name).code == 0


def test_whoever_stops_waiting_while_the_sdk_is_imported_is_told_the_same(alone: Desk) -> None:
    alone.write(4)
    alone.scythe("allocate")
    waiting = alone.start("wait", alone.name)
    until(lambda: "cygrpc" in Path(f"/proc/{waiting.pid}/maps").read_text(), "gRPC in the process")
    waiting.send_signal(signal.SIGINT)
    done = ended(waiting)
    assert done.code == 130
    assert f"no longer waiting; {run_of(alone).id} continues" in done.err
    assert "or, to wait again: scythe wait" in done.err


def test_wait_follows_a_local_run_in_another_terminal(desk: Desk) -> None:
    desk.write(20, seconds=0.3)
    working = desk.start("allocate", "--engine", "local")
    run = begun(desk)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert f"continues in process {working.pid} on " in desk.scythe("wait", run.id).err
    done = desk.scythe("wait", run.id)
    assert done.code == 0, done.err
    assert ended(working).code == 0


def test_wait_ends_when_nobody_works_on_a_run(desk: Desk) -> None:
    desk.write(60, seconds=0.3)
    working = desk.start("allocate", "--engine", "local")
    begun(desk)
    working.kill()
    ended(working)
    done = desk.scythe("wait", desk.name)
    assert done.code == 5, done.err
    assert f"no process works on {desk.name}/" in done.err
    assert f"hint: scythe allocate --resume {desk.name}/" in done.err


def test_wait_names_gather_where_only_the_tables_are_missing(desk: Desk) -> None:
    desk.write(3)
    assert desk.scythe("allocate", "--engine", "local").code == 0
    run = run_of(desk)
    state.remove_mark(run.store, Mark.GATHERED, 1)
    done = desk.scythe("wait", desk.name)
    assert done.code == 5, done.err
    assert "all specs are finished" in done.err
    assert f"hint: scythe gather {desk.name}/" in done.err


@pytest.mark.skipif(REAL, reason="only the double refuses what it is told to")
def test_a_hand_over_that_fails_leaves_nothing_that_looks_alive(alone: Desk) -> None:
    assert alone.fleet.double is not None
    alone.write(4)
    alone.fleet.double.trouble.refuse_triggers()
    done = alone.scythe("allocate")
    run = run_of(alone)
    assert done.code == 4, done.err
    assert f"{run.id} is written, and nothing of it has begun" in done.err
    assert f"hint: scythe allocate --resume {run.id}" in done.err
    assert generations(run) == []
    alone.fleet.double.trouble.accept_triggers()
    alone.fleet.launch("one")
    assert alone.scythe("allocate", "--resume", alone.name, "--wait").code == 0


@pytest.mark.skipif(REAL, reason="only the double loses what it is told to")
def test_a_run_that_the_engine_has_no_task_of_is_said_to_be_that(alone: Desk) -> None:
    assert alone.fleet.double is not None
    alone.write(4)
    assert alone.scythe("allocate").code == 0
    alone.fleet.double.forget(alone.fleet.double.runs[0].id)
    began = state.read_mark(run_of(alone).store, Mark.GENERATION, 1)
    assert began is not None
    mark = Path(run_of(alone).store.locate("control/generation-1.yml"))
    mark.write_text(mark.read_text().replace(str(began["began"])[:13], "2026-01-31T12"))
    shown = alone.scythe("status", alone.name)
    assert "(the engine has no task of this run)" in shown.out
    assert alone.json("status", alone.name)["elapsed"] is None, "nobody knows when it stopped"
    assert alone.scythe("status", alone.name, "--watch").code == 0
    assert alone.scythe("wait", alone.name).code == 5
