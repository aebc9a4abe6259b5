"""Rows that wait: for a lane, in takes; or for their next attempt, after a pause that doubles each time.

Takes rows that came back from lanes; leaves takes, in the order they are to be given.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.supervisor.chunk import Take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.supervisor.run_progress import RunWork

BACKOFF_SECONDS = 0.5
BACKOFF_LIMIT = 30.0
RETRIES_IN_A_TAKE = 64
STRIKES = 3
"""Lanes that may end with the same rows, none of them at work, before the rows are taken apart; and then for each."""


class Backlog:
    """See the module."""

    def __init__(self) -> None:
        self._ready: deque[Take] = deque()
        self._delayed: list[tuple[float, int, int, RunWork, int]] = []
        self._tickets = 0

    def __bool__(self) -> bool:
        return bool(self._ready or self._delayed)

    def pop(self) -> Take | None:
        """The next take, if one is ready."""
        return self._ready.popleft() if self._ready else None

    def put_first(self, take: Take) -> None:
        """A take that was popped too early."""
        self._ready.appendleft(take)

    def add(self, take: Take, rows: list[int], *, pieces: int, strikes: int = 0) -> None:
        """Rows of a take that were not run, at the end of the queue.

        Args:
            take: where they were.
            rows: the rows, at least one.
            pieces: how many takes to make of them, at most.
            strikes: how many lanes ended with them in a row, and none of them at work.
        """
        wanted = 2 if strikes >= STRIKES else pieces
        size = -(-len(rows) // max(1, min(len(rows), wanted)))
        for at in range(0, len(rows), size):
            some = rows[at : at + size]
            whole = some[-1] - some[0] + 1 == len(some)
            attempts = {row: take.attempts[row] for row in some if row in take.attempts}
            listed: Sequence[int] = range(some[0], some[-1] + 1) if whole else some
            again = strikes if size > 1 or len(rows) == 1 else min(strikes, STRIKES)
            self._ready.append(Take(take.job, take.block, listed, attempts, take.owner, again))

    def delay(self, run: RunWork, row: int, attempt: int) -> None:
        """A row is to be tried again after a pause."""
        pause = min(BACKOFF_LIMIT, BACKOFF_SECONDS * 2 ** (attempt - 2)) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        self._tickets += 1
        heapq.heappush(self._delayed, (Clock.monotonic() + pause, self._tickets, row, run, attempt))

    def seconds_to_next(self) -> float | None:
        """Until the first pause is over; None where nothing pauses."""
        return max(0.0, self._delayed[0][0] - Clock.monotonic()) if self._delayed else None

    def wake_due(self) -> None:
        """Make takes of the rows whose pause is over."""
        due: dict[tuple[str, int], list[tuple[int, int, RunWork]]] = {}
        now = Clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, row, run, attempt = heapq.heappop(self._delayed)
            due.setdefault((run.key, layout.block_of(row)), []).append((row, attempt, run))
        for (_, block), found in due.items():
            run, attempts = found[0][2], {row: attempt for row, attempt, _ in found}
            rows = sorted(attempts)
            for at in range(0, len(rows), RETRIES_IN_A_TAKE):
                some = rows[at : at + RETRIES_IN_A_TAKE]
                self._ready.append(Take(run.job, block, some, {row: attempts[row] for row in some}, run))

    def drop(self, run: RunWork) -> int:
        """Forget what waits of a run; how many rows that were."""
        takes = [take for take in self._ready if take.owner is run]
        pauses = [item for item in self._delayed if item[3] is run]
        self._ready = deque(take for take in self._ready if take.owner is not run)
        self._delayed = [item for item in self._delayed if item[3] is not run]
        heapq.heapify(self._delayed)
        return sum(len(take.rows) for take in takes) + len(pauses)
