"""Has specs run: gives rows to lanes, settles what becomes of each, passes outcomes to the parts.

Takes ranges of rows from a source; leaves exactly one outcome for every row it took, whatever died. An attempt counts
for the row that was at work when a lane died and for no other; what a dead lane had finished and not handed over, less
than a second of work, is run again without counting.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from scythe_cli.core.clock import Clock
from scythe_cli.core.events import Draining, Progress
from scythe_cli.errors import ScytheError
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.run.outcomes import failed_table
from scythe_cli.supervisor.chunk import Take
from scythe_cli.supervisor.crash_attribution import STOPPED, UNTOLD, Witnesses, outcome_of
from scythe_cli.supervisor.lane_handle import Message
from scythe_cli.supervisor.limits import Watch
from scythe_cli.supervisor.retry_queue import STRIKES, Backlog
from scythe_cli.supervisor.run_progress import CANARY, RunWork

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from scythe_cli.core.events import Listener
    from scythe_cli.supervisor.lane_exit import Death
    from scythe_cli.supervisor.lane_handle import LaneHandle
    from scythe_cli.supervisor.pool import Pool
    from scythe_cli.supervisor.run_progress import Source

QUEUE_BELOW = 0.25
"""A lane gets its next take ahead of time while a take lasts less than this many seconds."""
STEAL_ABOVE = 0.05
"""A lane is asked to share when what it has left is worth more than this many seconds."""
CANCEL_GRACE = 1.0
"""Running specs get no more than this when the run is cancelled: it stops within five seconds."""
HANG_SECONDS = 0.05
"""A lane that was asked to share and is at the same row for so long shares without a word."""
PROGRESS_SECONDS = 0.1


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
        self._backlog = Backlog()
        self._watch = Watch(pool)
        self._witnesses = Witnesses()
        self._runs: dict[str, RunWork] = {}
        self._stop: Ended | None = None
        self._deadline: float | None = None
        self._told = 0.0
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
        self._orders.append((leaf, rows, None if grace is None else Clock.monotonic() + grace))
        self._pool.wake()

    def wake(self) -> None:
        """The source has something new. Safe from any thread."""
        self._pool.wake()

    def stop(self, reason: EndReason, detail: str) -> None:
        """Ask for the end: no new spec starts, running ones get the grace time. A second call ends them at once.

        Safe in a signal handler and from another thread.
        """
        if self._stop is None:
            if reason == EndReason.CANCELLED:
                self._grace = min(self._grace, CANCEL_GRACE)
            self._stop = Ended(reason, detail)
        elif reason == EndReason.INTERRUPTED:
            self._deadline = 0.0
            self._pool.hurry()
        self._pool.wake()

    def run(self) -> Ended | None:
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
            self._watch.look()
            self._backlog.wake_due()
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
        self._release(run, Clock.monotonic())

    def _obey(self) -> None:
        """Give up the rows of leaves that were asked for."""
        while self._orders:
            leaf, rows, until = self._orders.popleft()
            self._runs.setdefault(leaf.key, leaf)
            if rows:
                self._forgo(leaf, rows)
            if until is not None and not leaf.closed:
                self._release(leaf, until)
        now = Clock.monotonic()
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
        self._forgo(leaf, self._backlog.drop(leaf))

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
        return not self._backlog and self._source.exhausted()

    def _wait(self) -> float:
        due = self._backlog.seconds_to_next()
        return self._watch.pause if due is None else min(self._watch.pause, due)

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
        self._backlog.put_first(take)
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
        if (waiting := self._backlog.pop()) is not None:
            return waiting
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
            at = lane.running()
            if not lane.takes or at is None or at[0] not in lane.takes[0].rows:
                continue
            ahead = sum(len(take.rows) for take in lane.takes) - lane.takes[0].rows.index(at[0]) - 1
            if ahead and lane.hangs(HANG_SECONDS):
                self._take_back(lane, at[0])
            elif ahead and not lane.asked_to_stop:
                cost = max((lane.takes[0].owner.cost or 0.0) * ahead, Clock.monotonic() - at[1])
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
            self._deadline = Clock.monotonic() + self._grace
            for lane in running:
                lane.ask_to_stop()
            if running and self._grace > 0:
                self._listener(Draining(len(running), self._grace))
        for lane in running:
            if lane.pid is None or Clock.monotonic() >= self._deadline:
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
        """Rows that were taken and not run: to as many lanes as may want them. `strikes` as `Backlog.add` has it."""
        if take.owner.released is not None:
            self._forgo(take.owner, len(rows))
        else:
            self._backlog.add(take, rows, pieces=self._pool.size if self._stop is None else 1, strikes=strikes)

    def _mourn(self, death: Death) -> None:
        self._watch.forget(death.lane)
        if self._stop is None:
            self._pool.grow()
        for take in death.takes:
            rows = take.open_rows()
            strikes = take.strikes if take is not death.takes[0] else 0
            if self._witnesses.blame(take, death):
                assert death.row is not None  # noqa: S101 - just said
                rows.remove(death.row)
                self._blame(take, death, death.row)
            elif take is death.takes[0] and death.row is None and death.reason in UNTOLD:
                strikes = take.strikes + 1
                if len(rows) == 1 and strikes > 2 * STRIKES:
                    self._blame(take, death, rows.pop())
            if rows:
                self._give_back(take, rows, strikes=strikes)

    def _blame(self, take: Take, death: Death, row: int) -> None:
        """An attempt of a row came to nothing: another, or its failure.

        A row that is known to be the cause without having been at work has ended as many lanes as it takes to know.
        """
        run: RunWork = take.owner
        attempt = take.attempts.get(row, 1)
        if attempt < run.job.max_attempts and death.row is not None:
            self._delay(run, row, attempt + 1)
            return
        outcome = outcome_of(death, run, row, attempt=attempt, folder=self._pool.folder)
        failure = outcome.failure
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
                    self._past_saving(run, block, EndReason.CANARY, detail)
        all_failed, finished = run.failed + run.failed_before, run.done + run.done_before
        if run.max_failures.exceeded(all_failed, finished, run.total):
            self._past_saving(run, block, EndReason.MAX_FAILURES, run.max_failures.message(all_failed, finished))

    def _past_saving(self, run: RunWork, block: int, reason: EndReason, detail: str) -> None:
        """Stop; or, for a leaf, let whoever follows the whole run see at once what there is."""
        if run.over is None:
            self.stop(reason, detail)
        elif run.left_in_block[block]:
            run.writer.write(block)

    def _delay(self, run: RunWork, row: int, attempt: int) -> None:
        """Try a row again after a pause; others go on meanwhile."""
        if run.released is not None:
            self._forgo(run, 1)
        else:
            self._backlog.delay(run, row, attempt)

    def _tell(self, *, last: bool = False) -> None:
        now = Clock.monotonic()
        if not last and now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        for run in self._runs.values():
            self._listener(Progress(run.done + run.done_before, run.failed + run.failed_before, run.total))
