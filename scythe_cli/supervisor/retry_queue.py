"""Rows that wait: for a lane, in chunks; or for their next attempt, after a pause that doubles each time.

Input: rows that came back from lanes. Output: chunks, in the order they are to be given.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.row_ranges import as_range
from scythe_cli.supervisor.chunk import Chunk

if TYPE_CHECKING:
    from scythe_cli.supervisor.run_progress import RunWork

BACKOFF_SECONDS = 0.5
BACKOFF_LIMIT = 30.0
RETRIES_IN_A_CHUNK = 64
CRASHES_BEFORE_SPLIT = 3
"""Lanes that may end with the same rows, none of them at work, before the rows are taken apart; and then for each."""


class _Delayed(NamedTuple):
    """A row that waits until `due`, on the monotonic clock; the number keeps the order of equal ones."""

    due: float
    number: int
    row: int
    run: RunWork
    attempt: int


class RetryQueue:
    """See the module."""

    def __init__(self) -> None:
        self._ready: deque[Chunk] = deque()
        self._delayed: list[_Delayed] = []
        self._numbers = 0

    def __bool__(self) -> bool:
        return bool(self._ready or self._delayed)

    def pop(self) -> Chunk | None:
        """The next chunk, if one is ready."""
        return self._ready.popleft() if self._ready else None

    def put_first(self, chunk: Chunk) -> None:
        """Put back a chunk that was popped too early."""
        self._ready.appendleft(chunk)

    def add(self, chunk: Chunk, rows: list[int], *, pieces: int, crashes: int = 0) -> None:
        """Put rows of a chunk that were not run at the end of the queue.

        Args:
            chunk: where they were.
            rows: the rows, at least one.
            pieces: how many chunks to make of them, at most.
            crashes: how many lanes ended with them in a row, and none of them at work.
        """
        wanted = 2 if crashes >= CRASHES_BEFORE_SPLIT else pieces
        size = -(-len(rows) // max(1, min(len(rows), wanted)))
        for at in range(0, len(rows), size):
            some = rows[at : at + size]
            attempts = {row: chunk.attempts[row] for row in some if row in chunk.attempts}
            again = crashes if size > 1 or len(rows) == 1 else min(crashes, CRASHES_BEFORE_SPLIT)
            self._ready.append(Chunk(chunk.run, chunk.block, as_range(some), attempts, again, batch=chunk.batch))

    def halve(self, chunk: Chunk, rows: list[int]) -> None:
        """Put the two halves of some rows of a chunk first, each for one call."""
        size = -(-len(rows) // 2)
        for some in (rows[size:], rows[:size]):
            attempts = {row: chunk.attempts[row] for row in some if row in chunk.attempts}
            self._ready.appendleft(Chunk(chunk.run, chunk.block, some, attempts, batch=len(some)))

    def delay(self, run: RunWork, row: int, attempt: int) -> None:
        """Try a row again after a pause."""
        pause = min(BACKOFF_LIMIT, BACKOFF_SECONDS * 2 ** (attempt - 2)) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        self._numbers += 1
        heapq.heappush(self._delayed, _Delayed(Clock.monotonic() + pause, self._numbers, row, run, attempt))

    def seconds_to_next(self) -> float | None:
        """Until the first pause is over; None where nothing pauses."""
        return max(0.0, self._delayed[0].due - Clock.monotonic()) if self._delayed else None

    def wake_due(self) -> None:
        """Make chunks of the rows whose pause is over."""
        due: dict[tuple[str, int], list[_Delayed]] = {}
        now = Clock.monotonic()
        while self._delayed and self._delayed[0].due <= now:
            one = heapq.heappop(self._delayed)
            due.setdefault((one.run.key, layout.block_of(one.row)), []).append(one)
        for (_, block), found in due.items():
            attempts = {one.row: one.attempt for one in found}
            rows = sorted(attempts)
            for at in range(0, len(rows), RETRIES_IN_A_CHUNK):
                some = rows[at : at + RETRIES_IN_A_CHUNK]
                self._ready.append(Chunk(found[0].run, block, some, {row: attempts[row] for row in some}, batch=1))

    def drop(self, run: RunWork) -> int:
        """Drop what waits of a run; how many rows that were."""
        chunks = [chunk for chunk in self._ready if chunk.run is run]
        pauses = [one for one in self._delayed if one.run is run]
        self._ready = deque(chunk for chunk in self._ready if chunk.run is not run)
        self._delayed = [one for one in self._delayed if one.run is not run]
        heapq.heapify(self._delayed)
        return sum(len(chunk.rows) for chunk in chunks) + len(pauses)
