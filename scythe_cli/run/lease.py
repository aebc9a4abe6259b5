"""Who holds a run: one process at a time works on it, and a dead one's hold ends by itself.

A lease is a numbered object that names host, boot, process and its start. On the same host a dead holder's lease is
void at once. Elsewhere, also in another container of the same host, a holder is dead when no further number has come
for 30 seconds of the observer's own clock: the clocks of other machines may be wrong.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, processes
from scythe_cli.core.clock import Clock
from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyExists, NotFinishedError, StoreError
from scythe_cli.run import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scythe_cli.storage.base import Store

LASTS = 30.0
RENEW_EVERY = 10.0
KEEP = 3
"""Superseded leases that stay; older ones are removed, or a month's run would leave a hundred thousand."""
RETRY_EVERY = 1.0
LOOK_EVERY = 0.5
ANCIENT = 86400.0
"""A lease that says that it is older is void without a look: no clock is wrong by a day."""
RELEASE_SECONDS = 5.0
"""Nobody waits for a renewal that hangs because the store does not answer."""


class Lease:
    """A hold on a run, renewed in the background until released, or until it ran out and another process took the run.

    Args:
        store: rooted at the run.
        number: of the lease, which is written.
        on_lost: called, from another thread, when the run is another's.
    """

    def __init__(self, store: Store, number: int, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._number = number
        self._on_lost = on_lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="scythe-lease")
        self._thread.start()

    def _renew(self) -> None:
        """Write the next number now and then. A store that does not answer is tried again.

        A number that is taken is lost.
        """
        pause, renewed = RENEW_EVERY, time.time()  # not the monotonic clock, which stands while a laptop sleeps
        while not self._over.wait(pause):
            try:
                if time.time() - renewed > LASTS and max(_numbers(self._store)) > self._number:
                    return self._on_lost()
                state.write_mark(self._store, Mark.LEASE, self._number + 1, _note(LASTS))
                self._number, renewed = self._number + 1, time.time()
                if self._number > KEEP:
                    self._store.delete(layout.mark(Mark.LEASE, self._number - KEEP))
            except KeyExists:
                return self._on_lost()
            except StoreError:
                pause = RETRY_EVERY
            else:
                pause = RENEW_EVERY
        return None

    def release(self) -> None:
        """Release the run at once. If the store does not answer, it is free when the lease expires."""
        self._over.set()
        self._thread.join(RELEASE_SECONDS)
        with contextlib.suppress(KeyExists, StoreError):
            state.write_mark(self._store, Mark.LEASE, self._number + 1, _note(0.0))


@contextmanager
def hold(store: Store, on_lost: Callable[[], None] = lambda: None) -> Iterator[Lease]:
    """Hold a run while the block lasts.

    Args:
        store: rooted at the run.
        on_lost: called, from another thread, when the hold ran out (a laptop slept, say) and another took the run.

    Raises:
        NotFinishedError: another process holds it; the message says who.
    """
    if (holder := live_holder(store)) is not None:
        raise _taken(holder)
    newest = max(_numbers(store), default=0)  # what was watched may have been released meanwhile
    try:
        state.write_mark(store, Mark.LEASE, newest + 1, _note(LASTS))
    except KeyExists:
        raise _taken(state.read_mark(store, Mark.LEASE, newest + 1) or {}) from None
    if max(_numbers(store)) > newest + 1:
        raise _taken(state.read_mark(store, Mark.LEASE, max(_numbers(store))) or {})
    lease = Lease(store, newest + 1, on_lost)
    try:
        yield lease
    finally:
        lease.release()


_DEAD: set[tuple[str, int]] = set()
"""Leases that this process has watched for long enough."""


class LeaseWatcher:
    """Watches who holds a run, look by look.

    Args:
        store: rooted at the run.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number = 0
        self._note: dict[str, Any] | None = None
        self._since: float | None = None
        self._moved = False

    def holder(self, marks: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any] | None:
        """The newest lease, unless its holder is known to be dead or has let the run go."""
        number = max(_numbers(self._store) if marks is None else marks.get(Mark.LEASE, []), default=0)
        if number != self._number or self._since is None:
            self._moved = self._since is not None
            self._number, self._since = number, Clock.monotonic()
            self._note = state.read_mark(self._store, Mark.LEASE, number) if number else None
        note = self._note
        if note is None or not note["lasts"]:
            return None
        if _is_here(note):
            return note if is_held(note) else None
        key = (self._store.address, number)
        if _age(note) > ANCIENT or Clock.monotonic() - self._since >= LASTS:
            _DEAD.add(key)
        return None if key in _DEAD else note

    @property
    def is_sure(self) -> bool:
        """Whether the last answer is more than a guess: the holder is on this machine, or was seen to renew."""
        return self._note is None or _is_here(self._note) or self._moved


_WATCHERS: dict[str, LeaseWatcher] = {}
"""Of runs whose holder this process has looked at, by address."""


def seen_holder(store: Store, marks: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any] | None:
    """The newest lease of a run, unless the looks of this process so far show that its holder has ended.

    One look cannot show that of a holder on another machine: see `observe`.

    Args:
        store: rooted at the run.
        marks: the numbers of the run's marks by kind; listed unless given.
    """
    note = _WATCHERS.setdefault(store.address, LeaseWatcher(store)).holder(marks)
    if note is not None and note["host"] == processes.host() and not is_held(note):
        return None  # it was on this machine before its last start: the clock is our own
    return note


def is_seen_to_live(store: Store) -> bool:
    """Whether what `seen_holder` returned last is more than a guess."""
    return store.address not in _WATCHERS or _WATCHERS[store.address].is_sure


def observe(store: Store, before: Callable[[dict[str, Any]], None]) -> None:
    """Look at a holder on another machine whose last sign of life seems old, until it renews or 30 seconds are over.

    The other machine's clock decides only whether it is worth while to look.

    Args:
        store: rooted at the run.
        before: called with the lease before the first pause.
    """
    note = seen_holder(store)
    if note is None or is_seen_to_live(store) or 0 <= _age(note) <= LASTS:
        return
    before(note)
    while seen_holder(store) is not None and not is_seen_to_live(store):
        Clock.sleep(LOOK_EVERY)


def live_holder(store: Store) -> dict[str, Any] | None:
    """The newest lease of a run, if its holder is at work; watched for up to 30 seconds if it is on another machine."""
    watcher = LeaseWatcher(store)
    while (note := watcher.holder()) is not None and not watcher.is_sure:
        Clock.sleep(LOOK_EVERY)
    return note


def _is_here(note: dict[str, Any]) -> bool:
    """Whether the processes of a lease's machine and container are those that this process sees."""
    own = (processes.host(), processes.boot_id(), processes.namespace())
    return (note["host"], note["boot_id"], note.get("namespace", own[2])) == own


def _age(note: dict[str, Any]) -> float:
    """Seconds since a lease was written, if the clocks of all machines were right."""
    return (datetime.now(UTC) - datetime.fromisoformat(str(note["written"]))).total_seconds()


def is_held(note: dict[str, Any]) -> bool:
    """Whether the holder that a lease names may still be at work."""
    if _is_here(note) and note["pid"] != os.getpid():
        return bool(note["lasts"]) and processes.is_alive(note["pid"], note["started"])
    until = datetime.fromisoformat(str(note["written"])) + timedelta(seconds=note["lasts"])
    return until > datetime.now(UTC)


def _numbers(store: Store) -> list[int]:
    return state.list_marks(store).get(Mark.LEASE, [])


def _note(lasts: float) -> dict[str, Any]:
    return {
        "host": processes.host(),
        "boot_id": processes.boot_id(),
        "namespace": processes.namespace(),
        "pid": os.getpid(),
        "started": processes.start_time(os.getpid()),
        "written": datetime.now(UTC).isoformat(),
        "lasts": lasts,
    }


def _taken(note: dict[str, Any]) -> NotFinishedError:
    who = f"process {note.get('pid')} on {note.get('host')}, since {note.get('written')}"
    return NotFinishedError(f"the run is held by {who}", hint="wait for it, or stop it, then resume again")
