"""Has specs run: follows the lanes, counts what becomes of each row, passes outcomes to the parts.

Input: rows from a source. Output: exactly one outcome for every row that was taken from it, whatever died. An attempt
counts for the row that was at work when a lane died and for no other; what a dead lane had finished and not sent, less
than a second of work, is run again without counting.
"""

from __future__ import annotations

import shutil
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scythe_cli.core.clock import Clock
from scythe_cli.core.events import Draining, Notice, Progress
from scythe_cli.errors import ScytheError
from scythe_cli.lane.messages import FailureSample
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.run.outcomes import failed_table
from scythe_cli.run.parts import decode
from scythe_cli.supervisor.crash_attribution import CAUSE_UNKNOWN, CrashCounter, failed_outcome
from scythe_cli.supervisor.dispatch import Dispatcher
from scythe_cli.supervisor.lane_handle import LaneEndReason, Message
from scythe_cli.supervisor.limits import LimitWatch
from scythe_cli.supervisor.retry_queue import CRASHES_BEFORE_SPLIT
from scythe_cli.supervisor.stall import StallWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scythe_cli.core.events import Listener
    from scythe_cli.supervisor.chunk import Chunk
    from scythe_cli.supervisor.lane_exit import LaneExit
    from scythe_cli.supervisor.pool import Pool
    from scythe_cli.supervisor.run_progress import RowSource, RunWork

CANCEL_GRACE = 1.0
"""Running specs get no more than this when the run is cancelled: it stops within five seconds."""
PROGRESS_SECONDS = 0.1


class _Request(NamedTuple):
    """Rows of a leaf that will not run; and, with `until`, the moment from which none of it may."""

    leaf: RunWork
    rows: int
    until: float | None


class Supervisor:
    """Runs what a source gives on the lanes of a pool.

    Args:
        pool: the lanes.
        source: the rows.
        listener: gets events of progress.
        grace: seconds that running specs get when asked to stop.
        allowance: given the lanes at work and how many more could be, how many more may be now; for supervisors that
            share a machine.
    """

    def __init__(
        self,
        pool: Pool,
        source: RowSource,
        *,
        listener: Listener,
        grace: float,
        allowance: Callable[[int, int], int] | None = None,
    ) -> None:
        self._pool = pool
        self._listener = listener
        self._grace = grace
        self._dispatcher = Dispatcher(pool, source, allowance=allowance)
        self._limits = LimitWatch(pool)
        self._stall = StallWatch(pool)
        self._crashes = CrashCounter()
        self._runs = self._dispatcher.runs
        self._stop: Ended | None = None
        self._deadline: float | None = None
        self._progress_sent = 0.0
        self._requests: deque[_Request] = deque()

    def release_rows(self, leaf: RunWork, rows: int, *, grace: float | None = None) -> None:
        """A leaf will not run so many of its rows, which the source has taken back. Safe from any thread.

        Args:
            leaf: the leaf.
            rows: how many; they were not given to a lane.
            grace: release all others too: what runs may end within so many seconds, the rest does not begin.
        """
        self._requests.append(_Request(leaf, rows, None if grace is None else Clock.monotonic() + grace))
        self._pool.wake()

    def wake(self) -> None:
        """The source has something new. Safe from any thread."""
        self._pool.wake()

    def stop(self, reason: EndReason, detail: str) -> None:
        """Ask for the end: no new spec starts, running ones get the grace time. A second call ends them at once.

        Safe in a signal handler and from another thread.
        """
        if self._stop is None:
            if reason is EndReason.CANCELLED:
                self._grace = min(self._grace, CANCEL_GRACE)
            self._stop = Ended(reason, detail)
        elif reason is EndReason.INTERRUPTED:
            self._deadline = 0.0
            self._pool.shorten_kill_timeout()
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
                    self._on_message(event)
                else:
                    self._on_lane_exit(event)
            if message := self._stall.look():
                self._listener(Notice(message))
            self._limits.look()
            self._dispatcher.wake_due()
            self._apply_requests()
            self._flush()
            self._emit_progress()
        for run in self._runs.values():
            run.writer.finish()
        self._emit_progress(last=True)
        return None if self._dispatcher.is_empty else self._stop

    def _finished(self) -> bool:
        busy = any(lane.chunks for lane in self._pool.lanes.values())
        return not busy and (self._stop is not None or self._dispatcher.is_empty)

    def _wait(self) -> float:
        due = self._dispatcher.seconds_to_next()
        return self._limits.pause if due is None else min(self._limits.pause, due)

    def _feed(self) -> None:
        self._dispatcher.draining = self._stop is not None
        if self._stop is not None:
            self._drain()
        elif (unreadable := self._dispatcher.feed()) is not None:
            self._fail(*unreadable)

    def _drain(self) -> None:
        running = [lane for lane in self._pool.lanes.values() if lane.chunks]
        if self._deadline is None:
            self._deadline = Clock.monotonic() + self._grace
            for lane in running:
                lane.ask_to_stop()
            if running and self._grace > 0:
                self._listener(Draining(len(running), self._grace))
        for lane in running:
            if lane.pid is None or Clock.monotonic() >= self._deadline:
                self._pool.kill(lane, LaneEndReason.STOPPED)

    def _apply_requests(self) -> None:
        """Release the rows of leaves that were asked for."""
        while self._requests:
            leaf, rows, until = self._requests.popleft()
            self._runs.setdefault(leaf.key, leaf)
            if rows:
                self._dispatcher.drop_rows(leaf, rows)
            if until is not None and not leaf.closed:
                self._dispatcher.release(leaf, until)
        now = Clock.monotonic()
        for lane in self._pool.lanes.values():
            until = lane.chunks[0].run.released if lane.chunks else None
            if until is None or lane.is_ending:
                continue
            if now >= until:
                self._pool.kill(lane, LaneEndReason.STOPPED)
            else:
                lane.ask_to_stop()

    def _flush(self) -> None:
        """Write what is due. A leaf whose parts cannot be written fails alone."""
        for key, run in list(self._runs.items()):
            try:
                run.writer.tick()
            except ScytheError as exc:
                self._fail(run, exc)
            if run.closed and not any(chunk.run is run for lane in self._pool.lanes.values() for chunk in lane.chunks):
                del self._runs[key]

    def _fail(self, run: RunWork, failure: BaseException) -> None:
        """The store failed: a leaf ends alone, a run ends all."""
        if run.over is None or not isinstance(failure, ScytheError):
            raise failure
        run.close(failure)
        self._dispatcher.release(run, Clock.monotonic())

    # what lanes send, and how they end

    def _on_message(self, message: Message) -> None:
        chunk, header = message.chunk, message.header
        run = chunk.run
        buffers = message.buffers
        if header.retry:
            *buffers, attempts = buffers
            run.writer.add_attempts(chunk.block, decode(attempts))
        if header.rows:
            run.writer.add(chunk.block, header.frames, header.uploads, buffers)
            run.update_cost(header.seconds / len(header.rows))
            self._count_outcomes(run, chunk.block, len(header.rows), header.failed, header.samples)
        for row in header.retry:
            self._dispatcher.retry_later(run, row, chunk.attempts.get(row, 1) + 1)
        if header.done and (left := chunk.left(header.left)):
            self._requeue_calls(chunk, left, header.calls if len(left) == len(header.left) else ())

    def _requeue_calls(self, chunk: Chunk, left: list[int], calls: Sequence[int]) -> None:
        """Requeue what a lane returned; the halves of a call that failed stay apart."""
        for n in calls:
            if some := left[:n]:
                self._dispatcher.requeue(replace(chunk, batch=n), some)
            left = left[n:]
        if left:
            self._dispatcher.requeue(chunk, left)

    def _on_lane_exit(self, lane_exit: LaneExit) -> None:
        self._limits.discard(lane_exit.lane)
        if self._stop is None:
            self._pool.grow()
        for chunk in lane_exit.chunks:
            first = chunk is lane_exit.chunks[0]
            rows = chunk.open_rows()
            crashes = 0 if first else chunk.crashes
            if self._crashes.attributes(chunk, lane_exit):
                rows = [row for row in rows if row not in {*lane_exit.together}]
                self._on_call_ended(chunk, lane_exit)
            elif first and lane_exit.row is None and lane_exit.reason in CAUSE_UNKNOWN:
                crashes = chunk.crashes + 1
                if len(rows) == 1 and crashes > 2 * CRASHES_BEFORE_SPLIT:
                    self._count_attempt(chunk, lane_exit, rows.pop())
            if rows:
                self._dispatcher.requeue(chunk, rows, crashes=crashes)

    def _on_call_ended(self, chunk: Chunk, lane_exit: LaneExit) -> None:
        """A row at work is the cause of the end of its lane: known where it was alone, else the rows are halved."""
        assert lane_exit.row is not None  # noqa: S101 - its caller has looked
        if len(lane_exit.together) > 1:
            self._dispatcher.halve(chunk, [*lane_exit.together])
        else:
            self._count_attempt(chunk, lane_exit, lane_exit.row)

    def _count_attempt(self, chunk: Chunk, lane_exit: LaneExit, row: int) -> None:
        """An attempt of a row came to nothing: another, or its failure.

        A row that is known to be the cause without having been at work has ended as many lanes as it takes to know.
        """
        run = chunk.run
        attempt = chunk.attempts.get(row, 1)
        outcome = failed_outcome(lane_exit, run, row, attempt=attempt, folder=self._pool.folder)
        failure = outcome.failure
        if attempt < run.job.max_attempts(failure.kind) and lane_exit.row is not None:
            run.writer.add_attempts(chunk.block, failed_table(run.info.schema, [outcome]))
            self._dispatcher.retry_later(run, row, attempt + 1)
            if lane_exit.left is not None:
                shutil.rmtree(lane_exit.left, ignore_errors=True)
            return
        if lane_exit.left is not None:
            run.writer.add_folder(chunk.block, lane_exit.left, run.job.failed_folder(outcome.sort_index))
        run.writer.add_table(chunk.block, failed_table(run.info.schema, [outcome]))
        sample = FailureSample(row, failure.kind, failure.error_type, failure.place)
        self._count_outcomes(run, chunk.block, 1, 1, [sample])

    def _count_outcomes(self, run: RunWork, block: int, n: int, failed: int, samples: Sequence[FailureSample]) -> None:
        """Count outcomes that are final; write a block that is whole; stop a run that fails too often."""
        run.done += n
        run.failed += failed
        run.left_in_block[block] -= n
        if not run.left_in_block[block]:
            run.writer.write(block, then=run.close)
        if ended := run.check_limits(samples):
            self._stop_or_flush(run, block, ended)

    def _stop_or_flush(self, run: RunWork, block: int, ended: Ended) -> None:
        """Stop; or, for a leaf, write the outcomes at once for the one who follows the whole run."""
        if run.over is None:
            self.stop(ended.reason, ended.detail)
        elif run.left_in_block[block]:
            run.writer.write(block)

    def _emit_progress(self, *, last: bool = False) -> None:
        now = Clock.monotonic()
        if not last and now - self._progress_sent < PROGRESS_SECONDS:
            return
        self._progress_sent = now
        for run in self._runs.values():
            info = run.info
            self._listener(Progress(run.done + info.done_before, run.failed + info.failed_before, info.total))
