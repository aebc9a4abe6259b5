"""Sees that no lane makes progress: each is at its first spec, for long, and computes nothing.

Input: the lanes of a pool, now and then. Output: one sentence with what may be the cause, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock

if TYPE_CHECKING:
    from scythe_cli.supervisor.captured_output import RunningRow
    from scythe_cli.supervisor.lane_handle import LaneHandle
    from scythe_cli.supervisor.pool import Pool

STALLED_SECONDS = 30.0
"""A first spec that computes nothing for so long, or for the whole of its timeout, is reported."""
BUSY_SHARE = 0.05
"""A lane that uses more of a core than this computes."""
START_SECONDS = 0.5
"""What a lane computes before its first spec."""


class StallWatch:
    """Watches the first spec of each lane, until one ends."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._first: dict[int, RunningRow] = {}
        self._over = False

    def look(self) -> str | None:
        """The notice for the user, if there is one now."""
        if self._over:
            return None
        working = [lane for lane in self._pool.lanes.values() if lane.chunks]
        for lane in working:
            at = lane.at_work()
            if at is not None and self._first.setdefault(lane.number, at) != at:
                self._over = True
                return None
        if not working or not self._pool.forks or not all(map(self._is_stalled, working)):
            return None
        self._over = True
        seconds = min(Clock.monotonic() - self._first[lane.number].since for lane in working)
        return (
            f"no worker makes progress: each has been at its first spec for {seconds:.0f} s and computes nothing. A "
            "library that the module uses when it is imported may not work in processes that are forked afterwards; "
            "if a spec does not wait for something else, set run.fresh_workers: true"
        )

    def _is_stalled(self, lane: LaneHandle) -> bool:
        at = self._first.get(lane.number)
        if at is None or lane.pid is None:
            return False
        elapsed = Clock.monotonic() - at.since
        timeout = lane.chunks[0].run.info.timeout
        if elapsed <= min(STALLED_SECONDS, timeout or STALLED_SECONDS):
            return False
        computed = processes.cpu_seconds(lane.pid)
        idle = computed is not None and computed < START_SECONDS + BUSY_SHARE * elapsed
        return idle and not processes.children(lane.pid)
