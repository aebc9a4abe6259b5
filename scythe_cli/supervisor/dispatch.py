"""Gives rows to lanes: new ones from the source, those that came back, and, near the end, those that others have.

Input: a source, and rows that come back. Output: chunks on lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.supervisor.chunk import Chunk
from scythe_cli.supervisor.retry_queue import RetryQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from scythe_cli.supervisor.captured_output import RunningRow
    from scythe_cli.supervisor.lane_handle import LaneHandle
    from scythe_cli.supervisor.pool import Pool
    from scythe_cli.supervisor.run_progress import RowSource, RunWork

PREFETCH_BELOW = 0.25
"""A lane gets its next chunk ahead of time while a chunk lasts less than this many seconds."""
STEAL_ABOVE = 0.05
"""A lane is asked to give rows back when what it has left is worth more than this many seconds."""
BEHIND_BYTES = 128 << 20
"""While so much waits for the store, no more rows are given: they would fill the memory."""
STUCK_SECONDS = 0.05
"""A lane that was asked to, and is at the same row for so long, loses the rows after it without an answer."""


class Dispatcher:
    """The rows of a supervisor that no lane has yet.

    Args:
        pool: the lanes.
        source: the rows.
        allowance: given the lanes at work and how many more could be, how many more may be now.

    Attributes:
        runs: all that rows came from and that are not over, by key.
        draining: no more rows are given.
    """

    def __init__(self, pool: Pool, source: RowSource, *, allowance: Callable[[int, int], int] | None) -> None:
        self._pool = pool
        self._source = source
        self._allowance = allowance
        self._retry_queue = RetryQueue()
        self._awaited: Future[bytes] | None = None
        self.runs: dict[str, RunWork] = {}
        self.draining = False

    def feed(self) -> tuple[RunWork, BaseException] | None:
        """Give rows to the lanes that want some. Returns a run whose specs could not be read, and why."""
        if sum(run.writer.bytes_on_their_way for run in self.runs.values()) > BEHIND_BYTES:
            return None
        lanes = self._pool.lanes.values()
        idle = [lane for lane in lanes if not lane.chunks and not lane.is_ending]
        if self._allowance is not None:
            idle = idle[: self._allowance(len(lanes) - len(idle), len(idle))]
        short = [lane for lane in lanes if len(lane.chunks) == 1 and self._wants_prefetch(lane)]
        for lane in [*idle, *short]:
            chunk = self._next_chunk()
            if chunk is None:
                self._steal_work(idle)
                return None
            reading = chunk.run.block(chunk.block)
            if not reading.done() or reading.exception() is not None:
                return self._put_back(chunk, reading)
            self._pool.give(lane, chunk, reading.result())
        return None

    def _put_back(self, chunk: Chunk, reading: Future[bytes]) -> tuple[RunWork, BaseException] | None:
        """The specs of a chunk are not here, so it waits at the head of the queue; why, where reading failed."""
        self._retry_queue.put_first(chunk)
        if reading is not self._awaited:
            self._awaited = reading
            reading.add_done_callback(lambda _: self._pool.wake())
        if not reading.done() or (failure := reading.exception()) is None:
            return None
        chunk.run.discard_block(chunk.block)
        return chunk.run, failure

    @staticmethod
    def _wants_prefetch(lane: LaneHandle) -> bool:
        """Whether a lane that still has work should get its next chunk now."""
        cost = lane.chunks[0].run.cost
        if lane.is_ending or lane.asked_to_stop or cost is None:
            return False
        return cost * len(lane.chunks[0].rows) < PREFETCH_BELOW

    def _next_chunk(self) -> Chunk | None:
        if (waiting := self._retry_queue.pop()) is not None:
            return waiting
        cost = next((run.cost for run in self.runs.values() if run.cost is not None), None)
        given = self._source.next(cost, self._pool.size)
        if given is None:
            return None
        run, block, rows = given
        self.runs.setdefault(run.key, run)
        return Chunk(run, block, rows)

    def _steal_work(self, idle: list[LaneHandle]) -> None:
        """Nothing left to give: have the lane with most ahead of it give some back; take it from one that is stuck."""
        if not idle:
            return
        worth, busiest = 0.0, None
        for lane in self._pool.lanes.values():
            at = lane.at_work()
            if not lane.chunks or at is None or at.row not in lane.chunks[0].rows:
                continue
            ahead = sum(len(chunk.rows) for chunk in lane.chunks) - lane.chunks[0].rows.index(at.row) - at.together
            if ahead > 0 and lane.is_stuck(STUCK_SECONDS):
                self._reclaim(lane, at)
            elif ahead > 0 and not lane.asked_to_stop:
                value = max((lane.chunks[0].run.cost or 0.0) * ahead, Clock.monotonic() - at.since)
                if value > max(worth, STEAL_ABOVE):
                    worth, busiest = value, lane
        if busiest is not None:
            busiest.ask_to_stop()

    def _reclaim(self, lane: LaneHandle, at: RunningRow) -> None:
        """Give the rows after those that take their time to others."""
        for number, chunk in enumerate(lane.chunks):
            if back := chunk.reclaim(None if number else at):
                self.requeue(chunk, back)

    def requeue(self, chunk: Chunk, rows: list[int], *, crashes: int = 0) -> None:
        """Rows that a lane had and did not run: for as many lanes as may want them. `crashes`: see `RetryQueue.add`."""
        if chunk.run.released is not None:
            self.drop_rows(chunk.run, len(rows))
        else:
            self._retry_queue.add(chunk, rows, pieces=1 if self.draining else self._pool.size, crashes=crashes)

    def halve(self, chunk: Chunk, rows: list[int]) -> None:
        """One of the rows of a call has ended it: call each half, before all that waits."""
        if chunk.run.released is not None:
            self.drop_rows(chunk.run, len(rows))
        else:
            self._retry_queue.halve(chunk, rows)

    def retry_later(self, run: RunWork, row: int, attempt: int) -> None:
        """Try a row again after a pause; others run meanwhile."""
        if run.released is not None:
            self.drop_rows(run, 1)
        else:
            self._retry_queue.delay(run, row, attempt)

    def release(self, leaf: RunWork, until: float) -> None:
        """Begin no more rows of a leaf. Lanes that work on it return the rows that they have not begun."""
        leaf.released = until
        self.drop_rows(leaf, self._retry_queue.drop(leaf))

    @staticmethod
    def drop_rows(leaf: RunWork, rows: int) -> None:
        """So many rows of a leaf get no outcome here; with the last row, write what there is."""
        (block,) = leaf.left_in_block
        leaf.left_in_block[block] -= rows
        if rows and not leaf.left_in_block[block]:
            leaf.writer.write(block, then=leaf.close)

    def wake_due(self) -> None:
        """Make ready the rows whose pause is over."""
        self._retry_queue.wake_due()

    def seconds_to_next(self) -> float | None:
        """Until the first pause is over; None where nothing pauses."""
        return self._retry_queue.seconds_to_next()

    @property
    def is_empty(self) -> bool:
        """Whether no row is left but those that lanes have."""
        return not self._retry_queue and self._source.exhausted()
