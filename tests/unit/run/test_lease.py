"""Who holds a run, judged by the observer's own clock: the clock of another machine may be wrong by an hour."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from scythe_cli.core import processes
from scythe_cli.core.layout import Mark
from scythe_cli.errors import NotFinishedError
from scythe_cli.run import lease, state
from scythe_cli.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

HOURS = pytest.mark.parametrize("hours", [-1, 0, 1])


def elsewhere(hours: float) -> dict[str, Any]:
    """The lease of a process on another machine, whose clock is wrong by some hours."""
    written = datetime.now(UTC) + timedelta(hours=hours)
    return lease._note(30.0) | {"host": "elsewhere", "boot_id": "another", "written": written.isoformat()}


def renew_soon(store: LocalStore, hours: float) -> threading.Timer:
    """The holder on another machine renews its lease in a moment."""
    renewal = threading.Timer(0.3, lambda: state.write_mark(store, Mark.LEASE, 2, elsewhere(hours)))
    renewal.start()
    return renewal


@HOURS
def test_a_holder_elsewhere_that_died_loses_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr(lease, "LASTS", 0.2)
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(hours))
    with lease.hold(store):
        assert 2 in state.list_marks(store)[Mark.LEASE]


@HOURS
def test_a_holder_elsewhere_that_renews_keeps_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(hours))
    renewal = renew_soon(store, hours)
    with pytest.raises(NotFinishedError, match="elsewhere"), lease.hold(store):
        pass
    renewal.join()


def test_a_holder_elsewhere_that_lets_go_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(0))
    state.write_mark(store, Mark.LEASE, 2, elsewhere(0) | {"lasts": 0.0})
    with lease.hold(store):
        assert 3 in state.list_marks(store)[Mark.LEASE]


def test_a_lease_of_long_ago_is_void_without_a_look(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(-48))
    assert lease.live_holder(store) is None


@HOURS
def test_a_status_does_not_believe_the_clock_of_a_holder_that_renews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(hours))
    renewal = renew_soon(store, hours)
    said: list[object] = []
    lease.observe(store, said.append)
    renewal.join()
    assert bool(said) == bool(hours), "a recent sign of life is shown as such at once"
    assert lease.seen_holder(store) is not None
    assert lease.is_seen_to_live(store)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_status_does_not_believe_the_clock_of_a_holder_that_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr(lease, "LASTS", 0.2)
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)
    store = LocalStore(tmp_path)
    state.write_mark(store, Mark.LEASE, 1, elsewhere(hours))
    assert lease.seen_holder(store) is not None, "one look decides nothing"
    assert not lease.is_seen_to_live(store)
    lease.observe(store, lambda _: None)
    assert lease.seen_holder(store) is None


def test_a_holder_of_this_machine_before_its_last_start_is_judged_at_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    note = elsewhere(-1) | {"host": processes.host()}
    state.write_mark(store, Mark.LEASE, 1, note)
    assert lease.seen_holder(store) is None
