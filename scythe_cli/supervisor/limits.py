"""Kills lanes whose spec is past its time or its memory, and tells how soon to look again.

Takes the lanes of a pool; leaves deaths that the pool tells of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.run.outcomes import MEMORY, TIMEOUT
from scythe_cli.supervisor.lane_exit import SILENT

if TYPE_CHECKING:
    from scythe_cli.supervisor.lane_handle import LaneHandle
    from scythe_cli.supervisor.pool import Pool
    from scythe_cli.supervisor.run_progress import RunWork

TICK = 0.1
"""Seconds between two looks at the clocks of the lanes."""
CONFIRM_SECONDS = 0.02
HURRY_SECONDS = 0.01
SILENT_SECONDS = 60.0
"""A lane that is at no row and has some says something within this time."""


class Watch:
    """The clocks and the memory of a pool's lanes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._suspects: dict[int, tuple[int, float]] = {}
        self._hurry = False

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return HURRY_SECONDS if self._hurry else CONFIRM_SECONDS if self._suspects else TICK

    def forget(self, lane: LaneHandle) -> None:
        """A lane is no more."""
        self._suspects.pop(lane.number, None)

    def look(self) -> None:
        """Kill what is late or holds too much."""
        self._hurry = False
        self._pool.bound_output()
        self._pool.end_what_hangs()
        for lane in list(self._pool.lanes.values()):
            at = lane.at_work()
            if self._suspects.get(lane.number) not in (None, at):
                del self._suspects[lane.number]
            if at is not None and lane.takes and lane.ending is None:
                self._watch_clock(lane, at)
                self._watch_memory(lane, at)
            idle = lane.idle_since() if lane.takes and lane.ending is None else None
            if idle is not None and Clock.monotonic() - idle > SILENT_SECONDS:
                self._pool.kill(lane, SILENT)

    def _watch_clock(self, lane: LaneHandle, at: tuple[int, float]) -> None:
        """A clock counts once it was seen past twice; in between, the lane says where it is."""
        run: RunWork = lane.takes[0].owner
        if run.timeout is None or Clock.monotonic() - at[1] <= run.timeout:
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
