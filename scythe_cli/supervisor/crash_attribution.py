"""Whether the row at work when a lane ended is the cause, and its outcome when it may not be tried again.

Input: ends of lanes. Output: outcomes of specs whose lane did not live to send them.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.core.signals import describe_status
from scythe_cli.run.outcomes import Failure, FailureKind, Outcome, split_dump
from scythe_cli.supervisor.lane_handle import LaneEndReason

if TYPE_CHECKING:
    from scythe_cli.supervisor.chunk import Chunk
    from scythe_cli.supervisor.lane_exit import LaneExit
    from scythe_cli.supervisor.run_progress import RunWork

CAUSE_UNKNOWN = (None, LaneEndReason.PROTOCOL_ERROR, LaneEndReason.SILENT)
"""Why a lane ends without its outcomes, when none of its rows is known to be the cause."""
SERVER_CRASHES = 3
"""A row that was at work each time the fork server was killed, so many times, is what kills it."""
TERMINATIONS = 2
"""A row whose lanes got SIGTERM so many times sends it. Batch systems and systemd send it once, to all processes."""


class CrashCounter:
    """Remembers which rows were at work when a lane ended that something else may have ended."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, int, bool]] = Counter()

    def attributes(self, chunk: Chunk, lane_exit: LaneExit) -> bool:
        """Whether the end of a lane counts as an attempt of the row at work."""
        if lane_exit.row is None or chunk is not lane_exit.chunks[0] or lane_exit.reason is LaneEndReason.STOPPED:
            return False
        terminated = lane_exit.reason is None and lane_exit.info.status == -signal.SIGTERM
        if lane_exit.reason is not LaneEndReason.NO_SERVER and not terminated:
            return True
        key = (chunk.job.key, lane_exit.row, terminated)
        self._seen[key] += 1
        return self._seen[key] >= (TERMINATIONS if terminated else SERVER_CRASHES)


def failed_outcome(lane_exit: LaneExit, run: RunWork, row: int, *, attempt: int, folder: str) -> Outcome:
    """The failure of a row whose last attempt came to nothing.

    Args:
        lane_exit: of its lane.
        run: its run.
        row: the row.
        attempt: which one it was.
        folder: of the user's code, for the place of the failure.
    """
    log, dump, place = split_dump(lane_exit.log, folder)
    kind, message = _describe(lane_exit, run)
    return Outcome(
        row=row,
        sort_index=run.sort_index(row),
        failure=Failure(kind, kind, message, dump, place or run.info.place),
        attempts=attempt,
        start=Clock.time() - lane_exit.seconds,
        duration=lane_exit.seconds,
        worker=run.info.job.worker,
        log=log,
    )


def _describe(lane_exit: LaneExit, run: RunWork) -> tuple[FailureKind, str]:
    """Kind and message of a failure that the lane did not live to send."""
    status = describe_status(lane_exit.info.status)
    if lane_exit.reason is LaneEndReason.TIMEOUT:
        return FailureKind.TIMEOUT, f"timeout after {run.info.timeout:g} s"
    if lane_exit.reason is LaneEndReason.MEMORY:
        return FailureKind.MEMORY, f"the spec's processes held more than {(run.info.memory or 0) / 2**20:,.0f} MiB"
    if lane_exit.info.out_of_memory:
        return FailureKind.MEMORY, "the kernel killed the process: the machine, or its share of it, ran out of memory"
    if lane_exit.reason is LaneEndReason.PROTOCOL_ERROR and lane_exit.row is not None:
        return FailureKind.CRASH, "the process wrote into its connection to the supervisor, or closed it"
    if lane_exit.row is None:
        return FailureKind.LOST, f"the process ended each time before it sent the outcome: {status}"
    return FailureKind.CRASH, f"the process ended with {status}"
