"""A worker's lanes: leaves of any run of one experiment wait here for a free lane, and are told when they are durable.

Takes leaves from any thread; leaves their outcomes in their runs. One thread supervises one experiment's lanes; several
experiments of one worker share the number of lanes that may be at work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.core.row_ranges import Range, within
from scythe_cli.core.units import MaxFailures
from scythe_cli.errors import EngineError
from scythe_cli.lane.fork_server import Record
from scythe_cli.run.parts import PartThreads, PartWriter
from scythe_cli.supervisor.chunk import CHUNK_SECONDS
from scythe_cli.supervisor.pool import Pool
from scythe_cli.supervisor.run_progress import RunWork
from scythe_cli.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment

SLOW_SECONDS = 1.0
"""A leaf without a finished spec for so long is slow, where nothing is known of its run."""
SURPRISED_SECONDS = 5.0
"""A leaf without a finished spec for so long is slow, whatever its run's others were."""


@dataclass(eq=False)
class Leaf:
    """A stretch of one block's rows on its way through the lanes.

    Attributes:
        work: what the supervisor sees.
        rows: how many rows it began with.
        waiting: those that no lane was given, in order.
        began: when the first was, on the monotonic clock.
        over: done when every row has its outcome in the store or was given up.
    """

    work: RunWork
    rows: int
    waiting: deque[Range]
    began: float | None = None
    over: Future[None] = field(default_factory=Future)

    @property
    def left(self) -> int:
        """Rows that no lane was given."""
        return sum(map(len, self.waiting))

    @property
    def age(self) -> float:
        """Seconds since its first row began."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    @property
    def complete(self) -> bool:
        """Whether every row has its outcome."""
        return self.work.done >= self.rows


class Queue:
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
        """The next rows; see `Source`. The cost is each leaf's own, or its run's last."""
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
            return leaf.work, layout.block_of(one.first), range(one.first, one.first + size)

    def _size(self, leaf: Leaf, lanes: int) -> int:
        key = leaf.work.job.key
        if leaf.work.cost is not None:
            self._costs[key] = leaf.work.cost
        cost = self._costs.get(key)
        if cost is None:
            return 1
        guided = -(-sum(other.left + 1 for other in self._leaves) // (2 * lanes))
        return max(1, int(min(CHUNK_SECONDS / max(cost, 1e-9), guided)))

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
            leaf.waiting = kept
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


class Allowance:
    """How many lanes may be at work on this machine, over all experiments; nobody waits while others hold too many.

    Args:
        lanes: in total.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._lock = threading.Lock()
        self._busy: dict[object, int] = {}
        self._wanting: set[object] = set()

    def ask(self, who: object, busy: int, more: int, *, wants: bool) -> int:
        """How many of `more` idle lanes `who` may put to work now, next to those that are busy."""
        with self._lock:
            self._busy[who] = busy
            self._wanting.discard(who)
            if not wants:
                return 0
            others = sum(held for other, held in self._busy.items() if other is not who)
            rivals = {other for other in self._wanting | {o for o, n in self._busy.items() if n} if other is not who}
            fair = -(-self.lanes // (1 + len(rivals)))
            room = self.lanes - others - busy
            if self._wanting - {who}:
                room = min(room, fair - busy)
            granted = max(0, min(more, room))
            if granted < more:
                self._wanting.add(who)
            self._busy[who] = busy + granted
            return granted


class Lanes:
    """The lanes of one experiment, supervised by a thread of their own.

    Args:
        experiment: the loaded experiment.
        size: lanes.
        allowance: shared with the worker's other experiments.
        folder: for temporary files.
        threads: that write parts.
    """

    def __init__(
        self, experiment: Experiment, size: int, *, allowance: Allowance, folder: Path, threads: PartThreads
    ) -> None:
        self.experiment = experiment
        self.size = size
        self.queue = Queue()
        self.failure: BaseException | None = None
        self._allowance = allowance
        self._folder = folder
        self.threads = threads
        self.bases: dict[tuple[str, int], RunWork] = {}
        self._active: set[Leaf] = set()
        self._names = 0
        self._supervisor: Supervisor | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=f"scythe-lanes-{experiment.name}", daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        """Run the lanes until the queue is closed. The thread starts them: on Linux they die with it."""
        record = Record(self.experiment.target, str(self.experiment.folder), str(self._folder))
        try:
            with ExitStack() as stack:
                pool = Pool(record, self.size)
                stack.callback(pool.close)
                self._supervisor = Supervisor(pool, self.queue, listener=ignore, grace=0.0, allowance=self._may)
                self._ready.set()
                self._supervisor.run()
        except BaseException as exc:  # noqa: BLE001 - told to every leaf, and to the worker, which then ends
            self.failure = exc
        finally:
            self._ready.set()
            why = self.failure or EngineError("the lanes are closed")
            for leaf in list(self._active):
                leaf.work.close(why)

    def _may(self, busy: int, more: int) -> int:
        return self._allowance.ask(self, busy, more, wants=bool(self._active))

    @property
    def idle(self) -> bool:
        """Whether no leaf is here."""
        return not self._active

    @property
    def running(self) -> int:
        """About how many specs run."""
        return min(self.size, sum(leaf.rows - leaf.left - leaf.work.done for leaf in list(self._active)))

    @property
    def hungry(self) -> bool:
        """Whether a lane may soon be without work."""
        seconds = self.queue.seconds()
        return self.queue.rows() < self.size if seconds is None else seconds / self.size < CHUNK_SECONDS

    def begin(
        self, base: RunWork, one: Range, todo: list[Range], *, generation: int, flush: float, series: int
    ) -> Leaf:
        """Put a leaf in the queue.

        Args:
            base: what its run's leaves share.
            one: the leaf's stretch.
            todo: the rows of it to run, at least one.
            generation: of the run.
            flush: seconds after which a finished spec is in the store at the latest.
            series: tells its parts from those of another worker over the same rows.
        """
        rows = within(todo, one)
        n = sum(map(len, rows))
        self._names += 1
        writer = PartWriter(base.store, generation=generation, flush=flush, series=series, threads=self.threads)
        work = replace(
            base,
            name=f"{base.job.key}:{one}:{self._names}",
            writer=writer,
            max_failures=MaxFailures(),
            left_in_block={layout.block_of(one.first): n},
            alike={},
        )
        leaf = Leaf(work, n, deque(rows))
        work.over = lambda failure: self._over(leaf, failure)
        self._active.add(leaf)
        self._ready.wait()
        if self.failure is not None:
            work.close(self.failure)
            return leaf
        self.queue.add(leaf)
        if self._supervisor is not None:
            self._supervisor.wake()
        return leaf

    def _over(self, leaf: Leaf, failure: BaseException | None) -> None:
        self._active.discard(leaf)
        if failure is None:
            leaf.over.set_result(None)
        else:
            leaf.over.set_exception(failure)

    def cut(self, leaf: Leaf, keep: int) -> list[Range]:
        """Take back the rows of a leaf that wait, but the first `keep`. They get no outcome here."""
        rest = self.queue.cut(leaf, keep)
        self._give_up(leaf, sum(map(len, rest)), None)
        return rest

    def withdraw(self, leaf: Leaf, *, grace: float) -> None:
        """Begin no more rows of a leaf; what runs may end within the grace time. `leaf.over` tells when."""
        rest = self.queue.cut(leaf, 0)
        self._give_up(leaf, sum(map(len, rest)), grace)

    def _give_up(self, leaf: Leaf, rows: int, grace: float | None) -> None:
        if self._supervisor is not None:
            self._supervisor.give_up(leaf.work, rows, grace=grace)

    def close(self) -> None:
        """End the lanes when their leaves are over."""
        self.queue.close()
        self._ready.wait()
        self._thread.join()
