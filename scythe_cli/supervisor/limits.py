"""Kills lanes whose spec is past its time or its memory.

Input: the lanes of a pool. Output: ends of lanes, which the pool reports; and how soon to look again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.supervisor.lane_handle import LaneEndReason

if TYPE_CHECKING:
    from scythe_cli.supervisor.captured_output import RunningRow
    from scythe_cli.supervisor.lane_handle import LaneHandle
    from scythe_cli.supervisor.pool import Pool

TICK = 0.1
"""Seconds between two looks at the clocks of the lanes."""
CONFIRM_SECONDS = 0.02
STACK_SECONDS = 0.5
"""What a lane gets to write where it is, on a machine that is busy with other work."""
FAST_POLL_SECONDS = 0.01
SILENT_SECONDS = 60.0
"""A lane that is at no row and has some says something within this time."""


class LimitWatch:
    """The clocks and the memory of a pool's lanes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._suspects: dict[int, tuple[RunningRow, float]] = {}
        self._poll_fast = False

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return FAST_POLL_SECONDS if self._poll_fast else CONFIRM_SECONDS if self._suspects else TICK

    def discard(self, lane: LaneHandle) -> None:
        """A lane does not exist any more."""
        self._suspects.pop(lane.number, None)

    def look(self) -> None:
        """Kill what is late or holds too much."""
        self._poll_fast = False
        self._pool.bound_output()
        self._pool.end_stuck_lanes()
        for lane in list(self._pool.lanes.values()):
            at = lane.at_work()
            if lane.number in self._suspects and self._suspects[lane.number][0] != at:
                del self._suspects[lane.number]
            if at is not None and lane.chunks and not lane.is_ending:
                self._watch_clock(lane, at)
                self._watch_memory(lane, at)
            idle = lane.idle_since() if lane.chunks and not lane.is_ending else None
            if idle is not None and Clock.monotonic() - idle > SILENT_SECONDS:
                self._pool.kill(lane, LaneEndReason.SILENT)

    def _watch_clock(self, lane: LaneHandle, at: RunningRow) -> None:
        """A spec is late once it was seen to be late twice; in between, the lane writes where it is."""
        timeout, now = lane.chunks[0].run.info.timeout, Clock.monotonic()
        if timeout is None or now - at.since <= timeout:
            return
        if lane.number not in self._suspects:
            self._suspects[lane.number] = (at, now)
            self._pool.mark_timed_out(lane, at)
        elif lane.captured.has_stack() or now - self._suspects[lane.number][1] > STACK_SECONDS:
            self._pool.kill(lane, LaneEndReason.TIMEOUT, at)

    def _watch_memory(self, lane: LaneHandle, at: RunningRow) -> None:
        """The quick sum counts shared pages often; only where it is too much the exact one is taken."""
        memory = lane.chunks[0].run.info.memory
        if memory is None or lane.pid is None:
            return
        held = processes.tree_memory(lane.pid)
        self._poll_fast = self._poll_fast or held > memory / 4
        if held > memory and processes.tree_memory(lane.pid, exact=True) > memory:
            self._pool.kill(lane, LaneEndReason.MEMORY, at)
