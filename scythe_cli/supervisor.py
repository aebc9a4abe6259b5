"""Has specs run: gives rows to lanes, settles what becomes of each, passes outcomes to the parts.

Takes ranges of rows from a source; leaves exactly one outcome for every row it took, whatever died. An attempt counts
for the row that was at work when a lane died and for no other; what a dead lane had finished and not handed over, less
than a second of work, is run again without counting.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli import layout, processes
from scythe_cli.errors import ScytheError
from scythe_cli.events import Draining, Progress
from scythe_cli.outcomes import CRASH, LOST, MEMORY, TIMEOUT, Failure, Outcome, failed_table, split_dump
from scythe_cli.pool import NO_SERVER, Death, LaneHandle, Message, Pool, Take, describe_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from scythe_cli.config import MaxFailures
    from scythe_cli.events import Listener
    from scythe_cli.leaf import Job
    from scythe_cli.parts import PartWriter
    from scythe_cli.stores.base import Store

TICK = 0.1
"""Seconds between two looks at the clocks of the lanes."""
BACKOFF_SECONDS = 0.5
BACKOFF_LIMIT = 30.0
QUEUE_BELOW = 0.25
"""A lane gets its next take ahead of time while a take lasts less than this many seconds."""
STEAL_ABOVE = 0.05
"""A lane is asked to share when what it has left is worth more than this many seconds."""
CANARY = 20
"""When the first so many finished specs all failed alike, the rest would too."""
RETRIES_IN_A_TAKE = 64
CANCEL_GRACE = 1.0
"""Running specs get no more than this when the run is cancelled: it stops within five seconds."""
STRIKES = 3
"""Lanes that may end with the same rows, none of them at work, before the rows are taken apart; and then for each."""
WITNESSED = 3
"""A row that was at work each time the fork server was killed, so many times, is what kills it."""
STOPPED = "stopped"
HANG_SECONDS = 0.05
"""A lane that was asked to share and is at the same row for so long shares without a word."""
CONFIRM_SECONDS = 0.02
HURRY_SECONDS = 0.01
PROGRESS_SECONDS = 0.1


KEPT_BLOCKS = 8


class Source(Protocol):
    """Where the rows come from."""

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:
        """The next rows for a free lane: their run, block and numbers; None when there are none now.

        Args:
            cost: seconds a spec is seen to take, None before the first.
            lanes: lanes that share the work.
        """

    def exhausted(self) -> bool:
        """Whether there never will be more."""


@dataclass
class RunWork:
    """One run as its supervisor sees it.

    Attributes:
        job: what the lanes are told.
        store: rooted at the run.
        writer: takes the outcomes.
        schema: of the outcome parts.
        place: where the function is defined, for failures that have no traceback.
        timeout: seconds one attempt may take.
        memory: bytes one spec's process tree may hold.
        left_in_block: by block, the rows that are to run and have no outcome yet; counted by whoever makes the source.
        name: tells apart several that a supervisor has of one run: leaves. Each lies in one block.
        over: told once, when every row of a leaf has its outcome in the store or was given up, or what writing failed
            with. Called from any thread. Such a leaf never stops the supervisor.
        released: a leaf's rows are given up from here on; what runs may end until this moment, on the monotonic clock.
    """

    job: Job
    store: Store
    writer: PartWriter
    schema: pa.Schema
    place: str
    total: int
    max_failures: MaxFailures
    timeout: float | None = None
    memory: int | None = None
    done_before: int = 0
    failed_before: int = 0
    done: int = 0
    failed: int = 0
    canary: bool = False
    alike: dict[tuple[str, str, str], int] = field(default_factory=dict)
    cost: float | None = None
    blocks: dict[int, Future[bytes]] = field(default_factory=dict)
    sort_indexes: tuple[int, pa.ChunkedArray[Any]] | None = None
    left_in_block: dict[int, int] = field(default_factory=dict)
    name: str = ""
    over: Callable[[BaseException | None], None] | None = None
    released: float | None = None
    closed: bool = False

    @property
    def key(self) -> str:
        """What its supervisor knows it by."""
        return self.name or self.job.key

    def close(self, failure: BaseException | None = None) -> None:
        """A leaf is over: tell it, once."""
        if not self.closed and self.over is not None:
            self.closed = True
            self.over(failure)

    def block(self, number: int) -> Future[bytes]:
        """The parquet of one block's specs, once it is read; a few are kept. Nobody's clock waits for a store."""
        if number not in self.blocks:
            while len(self.blocks) > KEPT_BLOCKS:
                del self.blocks[next(iter(self.blocks))]
            key = layout.input_block(number)
            self.blocks[number] = self.writer.threads.readers.submit(self.store.read, key)
        return self.blocks[number]

    def sort_index(self, row: int) -> int:
        """The sort_index of one row."""
        block = layout.block_of(row)
        if self.sort_indexes is None or self.sort_indexes[0] != block:
            file = pq.ParquetFile(pa.BufferReader(self.block(block).result()))
            self.sort_indexes = (block, file.read(columns=[layout.SORT_INDEX], use_threads=False).column(0))
        value = self.sort_indexes[1][row - block * layout.BLOCK].as_py()
        assert isinstance(value, int)  # noqa: S101 - the column's type, for the type checker
        return value


@dataclass
class Stop:
    """Why a supervisor stopped before its rows ended.

    Attributes:
        reason: interrupted, cancelled, max_failures or canary.
        detail: the sentence for the user.
    """

    reason: str
    detail: str


class Supervisor:
    """Runs what a source gives on the lanes of a pool.

    Args:
        pool: the lanes.
        source: the rows.
        listener: hears of progress.
        grace: seconds that running specs get when asked to stop.
        allowance: given the lanes at work and how many more could be, how many more may be now; for supervisors that
            share a machine.
    """

    def __init__(
        self,
        pool: Pool,
        source: Source,
        *,
        listener: Listener,
        grace: float,
        allowance: Callable[[int, int], int] | None = None,
    ) -> None:
        self._pool = pool
        self._source = source
        self._listener = listener
        self._grace = grace
        self._ready: deque[Take] = deque()
        self._delayed: list[tuple[float, int, int, RunWork, int]] = []
        self._ticket = 0
        self._runs: dict[str, RunWork] = {}
        self._stop: Stop | None = None
        self._deadline: float | None = None
        self._told = 0.0
        self._suspects: dict[int, tuple[int, float]] = {}
        self._witnesses: Counter[tuple[str, int]] = Counter()
        self._hurry = False
        self._allowance = allowance
        self._awaited: Future[bytes] | None = None
        self._orders: deque[tuple[RunWork, int, float | None]] = deque()

    def give_up(self, leaf: RunWork, rows: int, *, grace: float | None = None) -> None:
        """A leaf will not run so many of its rows, which the source has taken back. Safe from any thread.

        Args:
            leaf: the leaf.
            rows: how many; they were not given to a lane.
            grace: give up all others too: what runs may end within so many seconds, the rest does not begin.
        """
        self._orders.append((leaf, rows, None if grace is None else time.monotonic() + grace))
        self._pool.wake()

    def wake(self) -> None:
        """The source has something new. Safe from any thread."""
        self._pool.wake()

    def stop(self, reason: str, detail: str) -> None:
        """Ask for the end: no new spec starts, running ones get the grace time. A second call ends them at once.

        Safe in a signal handler and from another thread.
        """
        if self._stop is None:
            if reason == "cancelled":
                self._grace = min(self._grace, CANCEL_GRACE)
            self._stop = Stop(reason, detail)
        elif reason == "interrupted":
            self._deadline = 0.0
        self._pool.wake()

    def run(self) -> Stop | None:
        """Work until the source is exhausted and every row it gave has its outcome, or until stopped.

        Returns:
            None when all is done, else why not.

        Raises:
            StoreError: the parts could not be written.
        """
        self._pool.grow()
        while not self._finished():
            self._feed()
            for event in self._pool.poll(self._wait()):
                if isinstance(event, Message):
                    self._hear(event)
                else:
                    self._mourn(event)
            self._watch()
            self._requeue_due()
            self._obey()
            self._flush()
            self._tell()
        for run in self._runs.values():
            run.writer.finish()
        self._tell(last=True)
        return None if self._all_done() else self._stop

    def _flush(self) -> None:
        """Write what is due. A leaf whose parts cannot be written fails alone."""
        for key, run in list(self._runs.items()):
            try:
                run.writer.tick()
            except ScytheError as exc:
                self._fail(run, exc)
            if run.closed and not any(take.owner is run for lane in self._pool.lanes.values() for take in lane.takes):
                del self._runs[key]

    def _fail(self, run: RunWork, failure: BaseException | None) -> None:
        """The store failed a leaf, which ends alone; or a run, which ends all."""
        assert failure is not None  # noqa: S101 - it is called with what was raised
        if run.over is None or not isinstance(failure, ScytheError):
            raise failure
        run.close(failure)
        self._release(run, time.monotonic())

    def _obey(self) -> None:
        """Give up the rows of leaves that were asked for."""
        while self._orders:
            leaf, rows, until = self._orders.popleft()
            self._runs.setdefault(leaf.key, leaf)
            if rows:
                self._forgo(leaf, rows)
            if until is not None and not leaf.closed:
                self._release(leaf, until)
        now = time.monotonic()
        for lane in self._pool.lanes.values():
            until = lane.takes[0].owner.released if lane.takes else None
            if until is None or lane.ending is not None:
                continue
            if now >= until:
                self._pool.kill(lane, STOPPED)
            else:
                lane.ask_to_stop()

    def _release(self, leaf: RunWork, until: float) -> None:
        """No row of a leaf begins any more; the lanes at work on it give back what they have not begun."""
        leaf.released = until
        waiting = [take for take in self._ready if take.owner is leaf]
        delayed = [item for item in self._delayed if item[3] is leaf]
        self._ready = deque(take for take in self._ready if take.owner is not leaf)
        self._delayed = [item for item in self._delayed if item[3] is not leaf]
        heapq.heapify(self._delayed)
        self._forgo(leaf, sum(len(take.rows) for take in waiting) + len(delayed))

    def _forgo(self, leaf: RunWork, rows: int) -> None:
        """So many rows of a leaf get no outcome here; with the last row, write what there is."""
        (block,) = leaf.left_in_block
        leaf.left_in_block[block] -= rows
        if rows and not leaf.left_in_block[block]:
            leaf.writer.write(block, then=leaf.close)

    def _finished(self) -> bool:
        busy = any(lane.takes for lane in self._pool.lanes.values())
        return not busy and (self._stop is not None or self._all_done())

    def _all_done(self) -> bool:
        """Whether no row is left but those that lanes have."""
        return not self._ready and not self._delayed and self._source.exhausted()

    def _wait(self) -> float:
        wait = HURRY_SECONDS if self._hurry else CONFIRM_SECONDS if self._suspects else TICK
        if self._delayed:
            wait = min(wait, max(0.0, self._delayed[0][0] - time.monotonic()))
        return wait

    # giving

    def _feed(self) -> None:
        if self._stop is not None:
            self._drain()
            return
        idle = [lane for lane in self._pool.lanes.values() if not lane.takes and lane.ending is None]
        if self._allowance is not None:
            idle = idle[: self._allowance(len(self._pool.lanes) - len(idle), len(idle))]
        short = [lane for lane in self._pool.lanes.values() if len(lane.takes) == 1 and self._queues(lane)]
        for lane in [*idle, *short]:
            take = self._next_take()
            if take is None:
                self._share(idle)
                return
            block = self._block(take)
            if block is None:
                return
            self._pool.give(lane, take, block)

    def _block(self, take: Take) -> bytes | None:
        """The specs of a take; None while they are on their way, and the take waits at the head of the queue."""
        run: RunWork = take.owner
        reading = run.block(take.block)
        if reading.done() and reading.exception() is None:
            return reading.result()
        self._ready.appendleft(take)
        if reading is not self._awaited:
            self._awaited = reading
            reading.add_done_callback(lambda _: self._pool.wake())
        if reading.done():
            del run.blocks[take.block]
            self._fail(run, reading.exception())
        return None

    def _queues(self, lane: LaneHandle) -> bool:
        """Whether a lane that still has work should get its next take now."""
        run: RunWork = lane.takes[0].owner
        if lane.ending is not None or lane.asked_to_stop or run.cost is None:
            return False
        return run.cost * len(lane.takes[0].rows) < QUEUE_BELOW

    def _next_take(self) -> Take | None:
        if self._ready:
            return self._ready.popleft()
        cost = next((run.cost for run in self._runs.values() if run.cost is not None), None)
        given = self._source.next(cost, self._pool.size)
        if given is None:
            return None
        run, block, rows = given
        self._runs.setdefault(run.key, run)
        return Take(run.job, block, rows, {}, run)

    def _share(self, idle: list[LaneHandle]) -> None:
        """Nothing left to give: have the lane with most ahead of it give some back, and take it from one that hangs."""
        if not idle:
            return
        worth, busiest = 0.0, None
        for lane in self._pool.lanes.values():
            at = lane.at_work()
            if not lane.takes or at is None or at[0] not in lane.takes[0].rows:
                continue
            ahead = sum(len(take.rows) for take in lane.takes) - lane.takes[0].rows.index(at[0]) - 1
            if ahead and lane.hangs(HANG_SECONDS):
                self._take_back(lane, at[0])
            elif ahead and not lane.asked_to_stop:
                cost = max((lane.takes[0].owner.cost or 0.0) * ahead, time.monotonic() - at[1])
                if cost > max(worth, STEAL_ABOVE):
                    worth, busiest = cost, lane
        if busiest is not None:
            busiest.ask_to_stop()

    def _take_back(self, lane: LaneHandle, at: int) -> None:
        """The rows behind one that takes its time go to others."""
        for number, take in enumerate(lane.takes):
            if back := take.take_back(None if number else at):
                self._give_back(take, back)

    def _drain(self) -> None:
        assert self._stop is not None  # noqa: S101 - only called then
        running = [lane for lane in self._pool.lanes.values() if lane.takes]
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace
            for lane in running:
                lane.ask_to_stop()
            if running and self._grace > 0:
                self._listener(Draining(len(running), self._grace))
        for lane in running:
            if lane.pid is None or time.monotonic() >= self._deadline:
                self._pool.kill(lane, STOPPED)

    # hearing

    def _hear(self, message: Message) -> None:
        take, header = message.take, message.header
        run: RunWork = take.owner
        if header["n"]:
            run.writer.add(take.block, header, message.buffers)
            self._learn(run, header["seconds"] / header["n"])
            self._settle(run, take.block, header["n"], header["failed"], [tuple(s[1:]) for s in header["samples"]])
        for row in header["retry"]:
            self._delay(run, row, take.attempts.get(row, 1) + 1)
        if header.get("done") and (left := take.left(header["left"])):
            self._give_back(take, left)

    @staticmethod
    def _learn(run: RunWork, seconds: float) -> None:
        run.cost = seconds if run.cost is None else 0.7 * run.cost + 0.3 * seconds

    def _give_back(self, take: Take, rows: list[int], *, strikes: int = 0) -> None:
        """Rows that were taken and not run: in as many takes as lanes may want, at the end of the queue.

        Args:
            take: where they were.
            rows: the rows.
            strikes: how many lanes ended with them in a row, and none of them at work.
        """
        if take.owner.released is not None:
            self._forgo(take.owner, len(rows))
            return
        wanted = 2 if strikes >= STRIKES else self._pool.size if self._stop is None else 1
        size = -(-len(rows) // max(1, min(len(rows), wanted)))
        for at in range(0, len(rows), size):
            some = rows[at : at + size]
            whole = some[-1] - some[0] + 1 == len(some)
            attempts = {row: take.attempts[row] for row in some if row in take.attempts}
            listed: Sequence[int] = range(some[0], some[-1] + 1) if whole else some
            again = strikes if size > 1 or len(rows) == 1 else min(strikes, STRIKES)
            self._ready.append(Take(take.job, take.block, listed, attempts, take.owner, again))

    def _mourn(self, death: Death) -> None:
        self._suspects.pop(death.lane.number, None)
        if self._stop is None:
            self._pool.grow()
        for take in death.takes:
            rows = take.open_rows()
            strikes = 0
            if self._is_to_blame(take, death):
                assert death.row is not None  # noqa: S101 - just said
                rows.remove(death.row)
                self._blame(take, death, death.row)
            elif take is death.takes[0] and death.row is None and death.reason is None:
                strikes = take.strikes + 1
                if len(rows) == 1 and strikes > 2 * STRIKES:
                    self._blame(take, death, rows.pop())
            if rows:
                self._give_back(take, rows, strikes=strikes)

    def _is_to_blame(self, take: Take, death: Death) -> bool:
        """Whether a death counts for the row at work."""
        if death.row is None or take is not death.takes[0] or death.reason == STOPPED:
            return False
        if death.reason != NO_SERVER:
            return True
        witness = (take.job.key, death.row)
        self._witnesses[witness] += 1
        return self._witnesses[witness] >= WITNESSED

    def _blame(self, take: Take, death: Death, row: int) -> None:
        """An attempt of a row came to nothing: another, or its failure."""
        run: RunWork = take.owner
        attempt = take.attempts.get(row, 1)
        if attempt < run.job.max_attempts:
            self._delay(run, row, attempt + 1)
            return
        log, dump, place = split_dump(death.log, self._pool.folder)
        kind, message = _verdict(death, run)
        failure = Failure(kind, kind, message, dump, place or run.place)
        outcome = Outcome(
            row=row,
            sort_index=run.sort_index(row),
            failure=failure,
            attempts=attempt,
            start=time.time() - death.seconds,
            duration=death.seconds,
            worker=run.job.worker,
            log=log,
        )
        run.writer.add_table(take.block, failed_table(run.schema, [outcome]))
        self._settle(run, take.block, 1, 1, [(failure.kind, failure.error_type, failure.place)])

    def _settle(self, run: RunWork, block: int, n: int, failed: int, samples: list[tuple[Any, ...]]) -> None:
        """Count outcomes that are final; write a block that is whole; stop a run that is past saving."""
        run.done += n
        run.failed += failed
        run.left_in_block[block] -= n
        if not run.left_in_block[block]:
            run.writer.write(block, then=run.close)
        if run.canary:
            for kind, error_type, place in samples:
                key = (kind, error_type, place)
                run.alike[key] = run.alike.get(key, 0) + 1
            if run.done >= CANARY:
                run.canary = False
                if run.done == run.failed and len(run.alike) == 1:
                    (kind, error_type, place) = next(iter(run.alike))
                    where = f" in {place}" if place else ""
                    detail = f"the first {run.done} specs all failed alike: {error_type} ({kind}){where}"
                    self._past_saving(run, block, "canary", detail)
        if run.max_failures.exceeded(run.failed + run.failed_before, run.done + run.done_before, run.total):
            detail = f"{run.failed + run.failed_before} specs failed, more than max_failures allows"
            self._past_saving(run, block, "max_failures", detail)

    def _past_saving(self, run: RunWork, block: int, reason: str, detail: str) -> None:
        """Stop; or, for a leaf, let whoever follows the whole run see at once what there is."""
        if run.over is None:
            self.stop(reason, detail)
        elif run.left_in_block[block]:
            run.writer.write(block)

    def _delay(self, run: RunWork, row: int, attempt: int) -> None:
        """Try a row again after a pause that doubles each time; others go on meanwhile."""
        pause = min(BACKOFF_LIMIT, BACKOFF_SECONDS * 2 ** (attempt - 2)) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        self._ticket += 1
        if run.released is not None:
            self._forgo(run, 1)
            return
        heapq.heappush(self._delayed, (time.monotonic() + pause, self._ticket, row, run, attempt))

    def _requeue_due(self) -> None:
        due: dict[tuple[str, int], dict[int, int]] = {}
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, row, run, attempt = heapq.heappop(self._delayed)
            due.setdefault((run.key, layout.block_of(row)), {})[row] = attempt
        for (key, block), attempts in due.items():
            rows = sorted(attempts)
            run = self._runs[key]
            for at in range(0, len(rows), RETRIES_IN_A_TAKE):
                some = rows[at : at + RETRIES_IN_A_TAKE]
                self._ready.append(Take(run.job, block, some, {row: attempts[row] for row in some}, run))

    # watching

    def _watch(self) -> None:
        """Kill lanes whose spec is past its time or memory."""
        self._hurry = False
        self._pool.bound_output()
        for lane in list(self._pool.lanes.values()):
            at = lane.at_work()
            if self._suspects.get(lane.number) not in (None, at):
                del self._suspects[lane.number]
            if at is not None and lane.takes and lane.ending is None:
                self._watch_clock(lane, at)
                self._watch_memory(lane, at)

    def _watch_clock(self, lane: LaneHandle, at: tuple[int, float]) -> None:
        """A clock counts once it was seen past twice; in between, the lane says where it is."""
        run: RunWork = lane.takes[0].owner
        if run.timeout is None or time.monotonic() - at[1] <= run.timeout:
            return
        if lane.number in self._suspects:
            self._pool.kill(lane, TIMEOUT, at)
        else:
            self._suspects[lane.number] = at
            self._pool.call_time(lane, at)

    def _watch_memory(self, lane: LaneHandle, at: tuple[int, float]) -> None:
        """The quick sum counts shared pages often; only where it is too much the exact one is taken."""
        run: RunWork = lane.takes[0].owner
        if run.memory is None or lane.pid is None:
            return
        held = processes.tree_memory(lane.pid)
        self._hurry = self._hurry or held > run.memory / 4
        if held > run.memory and processes.tree_memory(lane.pid, exact=True) > run.memory:
            self._pool.kill(lane, MEMORY, at)

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        for run in self._runs.values():
            self._listener(Progress(run.done + run.done_before, run.failed + run.failed_before, run.total))


def _verdict(death: Death, run: RunWork) -> tuple[str, str]:
    """Kind and message of a failure that the lane did not live to tell."""
    if death.reason == TIMEOUT:
        return TIMEOUT, f"timeout after {run.timeout:g} s"
    if death.reason == MEMORY:
        return MEMORY, f"the spec's processes held more than {(run.memory or 0) / 2**20:,.0f} MiB"
    if death.out_of_memory:
        return MEMORY, "the kernel killed the process: the machine, or its share of it, ran out of memory"
    if death.row is None:
        return LOST, f"the process ended each time before it told the outcome: {describe_status(death.status)}"
    return CRASH, f"the process ended with {describe_status(death.status)}"
