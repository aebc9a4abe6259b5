"""The leaves that wait on a worker for a free lane, in the order they came, and how large the next chunk is.

Input: leaves, from any thread. Output: chunks of rows for the supervisor.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.row_ranges import Range
from scythe_cli.supervisor.chunk import chunk_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.supervisor.run_progress import RunWork

SLOW_SECONDS = 1.0
"""A leaf without a finished spec for so long is slow, where nothing is known of its run."""
KEPT_COSTS = 100
"""Runs whose cost is remembered."""
SURPRISED_SECONDS = 5.0
"""A leaf without a finished spec for so long is slow, whatever its run's others were."""


@dataclass(eq=False)
class Leaf:
    """A stretch of one block's rows on its way through the lanes.

    Attributes:
        work: what the supervisor sees.
        rows: how many rows it began with.
        waiting: those that no lane was given, in order; changed and read by the queue alone.
        left: how many of them there are, to be read from any thread.
        grace: seconds that its running specs may continue after a stop request.
        began: when the first was, on the monotonic clock.
        over: done when every row has its outcome in the store or was given up.
    """

    work: RunWork
    rows: int
    waiting: deque[Range]
    grace: float = 0.0
    began: float | None = None
    over: Future[None] = field(default_factory=Future)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = sum(map(len, self.waiting))

    @property
    def age(self) -> float:
        """Seconds since its first row began."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    @property
    def complete(self) -> bool:
        """Whether every row has its outcome."""
        return self.work.done >= self.rows


class LeafQueue:
    """The source of a supervisor that serves: leaves in the order they came. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaves: deque[Leaf] = deque()
        self._costs: dict[str, float] = {}
        self._closed = False

    def add(self, leaf: Leaf) -> None:
        """Put a leaf at the end."""
        with self._lock:
            self._leaves.append(leaf)

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:  # noqa: ARG002
        """The next rows; see `RowSource`. The cost is each leaf's own, or its run's last."""
        with self._lock:
            while self._leaves and not self._leaves[0].waiting:
                self._leaves.popleft()
            if not self._leaves:
                return None
            leaf = self._leaves[0]
            leaf.began = leaf.began or time.monotonic()
            one = leaf.waiting.popleft()
            size = min(len(one), self._size(leaf, lanes))
            if size < len(one):
                leaf.waiting.appendleft(Range(one.first + size, one.last))
            leaf.left -= size
            return leaf.work, layout.block_of(one.first), range(one.first, one.first + size)

    def _size(self, leaf: Leaf, lanes: int) -> int:
        """Rows of the next chunk, which are still among those that are left."""
        key = leaf.work.job.key
        if leaf.work.cost is not None:
            self._costs[key] = leaf.work.cost
            while len(self._costs) > KEPT_COSTS:
                del self._costs[next(iter(self._costs))]
        left = sum(other.left for other in self._leaves)
        batch = leaf.work.info.batch
        if batch is not None:
            batch = min(batch, -(-leaf.rows // lanes))  # each lane has some of few rows
        return chunk_size(self._costs.get(key), left, lanes, batch=batch)

    def cut(self, leaf: Leaf, keep: int) -> list[Range]:
        """Take back all rows of a leaf that wait but the first `keep`."""
        with self._lock:
            kept: deque[Range] = deque()
            while leaf.waiting and keep > 0:
                one = leaf.waiting.popleft()
                head = Range(one.first, min(one.last, one.first + keep - 1))
                kept.append(head)
                keep -= len(head)
                if head.last < one.last:
                    leaf.waiting.appendleft(Range(head.last + 1, one.last))
            rest = list(leaf.waiting)
            leaf.waiting, leaf.left = kept, sum(map(len, kept))
            return rest

    def seconds(self) -> float | None:
        """Work that waits, in seconds of one lane; None where a spec's cost is unknown."""
        with self._lock:
            total = 0.0
            for leaf in self._leaves:
                cost = leaf.work.cost or self._costs.get(leaf.work.job.key)
                if leaf.waiting and cost is None:
                    return None
                total += leaf.left * (cost or 0.0)
            return total

    def cost(self, leaf: Leaf) -> float | None:
        """Seconds a spec of a leaf takes: as seen, else as its run's others took, else at least its age; or unknown."""
        if leaf.work.done:
            return leaf.work.cost
        known = self._costs.get(leaf.work.job.key)
        if known is not None and leaf.age < SURPRISED_SECONDS:
            return known
        return leaf.age if leaf.age >= SLOW_SECONDS else None

    def rows(self) -> int:
        """Rows that wait."""
        with self._lock:
            return sum(leaf.left for leaf in self._leaves)

    def close(self) -> None:
        """No more leaves will come."""
        self._closed = True

    def exhausted(self) -> bool:
        """Whether there never will be more."""
        return self._closed and not self.rows()
