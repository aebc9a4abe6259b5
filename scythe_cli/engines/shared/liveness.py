"""Whether workers live, without anybody's clock but one's own.

Each worker has one object, in which it raises a number. Whoever waits looks how long the number has been the same:
not when it was written. A worker of this machine whose process has ended is dead at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.core.clock import Clock
from scythe_cli.errors import BrokenRun, ConfigError, KeyMissing, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scythe_cli.storage.base import Entry, Store

PULSE_SECONDS, IDLE_PULSE_SECONDS = 10.0, 30.0
"""A worker that has rows raises its number so often; one that waits for rows, so often."""
STILL_SECONDS = 40.0
"""A worker whose number was the same for so long is dead: its rows may be claimed again."""
BLIND_SECONDS = 60.0
"""Who did not look for so long begins to watch from the start: perhaps all were stopped."""
DOUBT_SECONDS = 25.0
"""A worker that could not raise its number for so long looks whether others have its rows."""
RETRY_SECONDS = 1.0
NOTE_LIMIT = 1 << 16
"""Bytes of an object that one worker writes for the others."""
_WORKER = re.compile(r"([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,18})-([0-9a-f]{8})\.yml", re.ASCII)


@cache
def machine() -> str:
    """Eight hex digits of this machine, since its last start, and of the container whose processes we see."""
    text = "\n".join([processes.host(), processes.boot_id(), processes.namespace()])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def worker_id() -> str:
    """A name for this process that no other worker has, from which its machine sees whether it lives."""
    started = round((processes.start_time(os.getpid()) or 0.0) * 100)
    return f"{machine()}-{os.getpid()}-{started}-{os.urandom(4).hex()}"


def is_here(worker: str) -> bool:
    """Whether a worker is, or was, a process of this machine."""
    return worker.startswith(f"{machine()}-")


def has_ended(worker: str) -> bool:
    """Whether a worker was a process of this machine that has ended."""
    found = _WORKER.fullmatch(f"{worker}.yml") if is_here(worker) else None
    if found is None:
        return False
    return not processes.is_alive(int(found[2]), int(found[3]) / 100)


def read_pulse(store: Store, generation: int, worker: str) -> dict[str, Any]:
    """What a worker's object says; empty where it is not there, or not what a worker wrote."""
    key = f"{layout.pulses(generation)}/{worker}.yml"
    try:
        return yaml_document.read(store.read(key, limit=NOTE_LIMIT).decode(errors="replace"), key).data
    except (KeyMissing, ConfigError, BrokenRun):
        return {}


class Pulse:
    """This worker's number, raised in the background while it has rows.

    Args:
        store: rooted at the run.
        generation: of the run.
        worker: its id.
        about: what people may want to know of it.
    """

    def __init__(self, store: Store, generation: int, worker: str, about: dict[str, object]) -> None:
        self._store = store
        self._key = f"{layout.pulses(generation)}/{worker}.yml"
        self._about = about
        self._number = 0
        self._over = threading.Event()
        self._raised = (Clock.monotonic(), Clock.time())
        self.busy = False
        self.in_doubt = threading.Event()
        self._thread = threading.Thread(target=self._raise, daemon=True, name="scythe-pulse")

    def start(self) -> None:
        """Write the first number. Raises `StoreError`."""
        self._write()
        self._thread.start()

    def _write(self) -> None:
        self._number += 1
        self._store.write(self._key, yaml_document.write({"number": self._number, **self._about}).encode())
        now = (Clock.monotonic(), Clock.time())
        late = max(now[0] - self._raised[0], now[1] - self._raised[1])  # the first one stands while a laptop sleeps
        self._raised = now
        if late > DOUBT_SECONDS:
            self.in_doubt.set()

    def _raise(self) -> None:
        pause = PULSE_SECONDS
        while not self._over.wait(pause):
            try:
                self._write()
            except StoreError:
                pause = RETRY_SECONDS
            else:
                pause = PULSE_SECONDS if self.busy else IDLE_PULSE_SECONDS

    def end(self, *, remove: bool) -> None:
        """Stop; and remove the object, where no claim depends on it."""
        self._over.set()
        self._thread.join(5.0)
        if remove:
            with suppress(StoreError):
                self._store.delete(self._key)


@dataclass
class _Watched:
    etag: str
    since: float
    seen: float
    number: int | None = None

    @property
    def still(self) -> float:
        """Seconds for which it was seen without a change."""
        return self.seen - self.since


class PulseWatch:
    """Watches the numbers of all workers of a generation.

    Args:
        store: rooted at the run.
        generation: of the run.
        clock: monotonic seconds.

    Attributes:
        moved: the workers whose number was raised since the first look.
        workers: how many have an object, without those of this machine that have ended.
    """

    def __init__(self, store: Store, generation: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._generation = generation
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._unknown: dict[str, float] = {}
        self.moved: set[str] = set()
        self.workers = 1

    def look(self) -> None:
        """List the workers: one operation."""
        self.read(self._store.list(layout.pulses(self._generation)))

    def restart(self) -> None:
        """Begin to watch from the start: the storage was away, perhaps for all."""
        self._watched.clear()
        self._unknown.clear()

    def read(self, entries: Iterable[Entry]) -> None:
        """Count the entries of a listing."""
        now = self._clock()
        found = {entry.key.rpartition("/")[2]: entry.etag for entry in entries}
        for file, etag in found.items():
            if _WORKER.fullmatch(file) is None:
                continue
            worker = file.removesuffix(".yml")
            known = self._watched.get(worker)
            if known is None:
                self._watched[worker] = _Watched(etag, now, now)
            elif known.etag != etag:
                self._watched[worker] = _Watched(etag, now, now)
                self.moved.add(worker)
            elif now - known.seen > BLIND_SECONDS:
                self._watched[worker] = _Watched(etag, now, now)
            else:
                known.seen = now
        for worker in [one for one in self._watched if f"{one}.yml" not in found]:
            del self._watched[worker]
        self.workers = max(1, sum(not has_ended(worker) for worker in self._watched))

    def _number(self, worker: str) -> int:
        number = read_pulse(self._store, self._generation, worker).get("number")
        return number if isinstance(number, int) else -1

    @property
    def names(self) -> list[str]:
        """All workers that have an object."""
        return sorted(self._watched)

    @property
    def suspects(self) -> set[str]:
        """The workers that have ended, or whose number was the same for half of the time."""
        return {one for one, known in self._watched.items() if has_ended(one) or known.still >= STILL_SECONDS / 2}

    @property
    def alive(self) -> set[str]:
        """The workers that are not known to be dead, as listings show them."""
        return {one for one, known in self._watched.items() if not has_ended(one) and known.still < STILL_SECONDS}

    def is_dead(self, worker: str) -> bool:
        """Whether a worker has ended, or did not raise its number for long. One without an object may be new.

        A listing may be old, so the number itself is read: once at half of the time or later, and once at its end.
        """
        if has_ended(worker):
            return True
        known = self._watched.get(worker)
        if known is None:
            return self._clock() - self._unknown.setdefault(worker, self._clock()) >= STILL_SECONDS
        self._unknown.pop(worker, None)
        if known.still < STILL_SECONDS / 2 or (known.number is not None and known.still < STILL_SECONDS):
            return False
        number, before = self._number(worker), known.number
        if before is not None and number != before:
            self._watched[worker] = _Watched(known.etag, known.seen, known.seen)
            return False
        if before is None:
            known.number = number
            known.since = max(known.since, known.seen - STILL_SECONDS / 2)
        return known.still >= STILL_SECONDS
