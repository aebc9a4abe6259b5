"""Who holds a run: one process at a time works on it, and a dead one's hold ends by itself.

A lease is a numbered object that names host, boot, process and its start. On the same host a dead holder's lease is
void at once; elsewhere, also in another container of the same host, it lasts 30 seconds unless renewed by the next
number.
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
    numbers = _numbers(store)
    newest = max(numbers, default=0)
    holder = state.read_mark(store, Mark.LEASE, newest) if newest else None
    if holder is not None and is_held(holder):
        raise _taken(holder)
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


def holder(store: Store, marks: Mapping[str, Sequence[int]] | None = None) -> dict[str, Any] | None:
    """The newest lease of a run, if its holder may still be at work.

    Args:
        store: rooted at the run.
        marks: the numbers of the run's marks by kind; listed unless given.
    """
    numbers = _numbers(store) if marks is None else marks.get(Mark.LEASE, [])
    note = state.read_mark(store, Mark.LEASE, max(numbers)) if numbers else None
    return note if note is not None and is_held(note) else None


def is_held(note: dict[str, Any]) -> bool:
    """Whether the holder that a lease names may still be at work."""
    own = (processes.host(), processes.boot_id(), processes.namespace())
    here = (note["host"], note["boot_id"], note.get("namespace", own[2])) == own
    if here and note["pid"] != os.getpid():
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
