"""A lane's end: why, what it had not finished, and which row was at work.

Input: the handle of a lane whose process has ended, all that it sent read. Output: a `LaneExit`. Whether it counts for
a row is decided in crash_attribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scythe_cli.core.clock import Clock
from scythe_cli.supervisor.captured_output import RunningRow
from scythe_cli.supervisor.lane_handle import LaneEndReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scythe_cli.supervisor.chunk import Chunk
    from scythe_cli.supervisor.lane_handle import LaneHandle


class ExitInfo(NamedTuple):
    """The end of a lane's process.

    Attributes:
        status: its exit code; of a signal, its number less than zero.
        reason: why we killed it, if we did.
        out_of_memory: the kernel killed a process for memory just before.
    """

    status: int
    reason: LaneEndReason | None
    out_of_memory: bool = False


@dataclass(frozen=True)
class LaneExit:
    """A lane ended.

    Attributes:
        chunks: what it had not finished; it was at the first.
        row: the one at work; None when there was none, or it is not the cause.
        together: all that were at work in the same call.
        seconds: for how long it was at work.
        info: the end of its process.
        log: what the row at work had printed, and what the process said when it ended.
        left: the temporary folder of the row at work, where those of failed specs are kept.
    """

    lane: LaneHandle
    chunks: list[Chunk]
    row: int | None
    seconds: float
    info: ExitInfo
    log: str
    together: Sequence[int] = ()
    left: Path | None = None

    @property
    def reason(self) -> LaneEndReason | None:
        """Why we killed it, if we did."""
        return self.info.reason


def lane_exit_of(lane: LaneHandle, info: ExitInfo) -> LaneExit:
    """Describe the end of a lane."""
    at = lane.at_work()
    attributable = lane.killed_for is None or lane.killed_for == at
    log = lane.captured.text(at)
    if lane.end_reason is LaneEndReason.PROTOCOL_ERROR:
        at = _corrupting_row(lane, at)
    elif lane.is_sending and info.reason is None:
        at = None  # it may have been what it was to send
    together: list[int] = []
    if attributable and at is not None and lane.chunks and at.row in lane.chunks[0].rows:
        together = lane.chunks[0].together(at)
    row, seconds = None, 0.0
    if together and at is not None:
        row, seconds = together[0], Clock.monotonic() - at.since
    return LaneExit(lane, list(lane.chunks), row, seconds, info, log, together)


def _corrupting_row(lane: LaneHandle, at: RunningRow | None) -> RunningRow | None:
    """The row that must have spoilt the connection: one of those that were not sent and had begun."""
    rows = lane.chunks[0].open_rows() if lane.chunks else []
    begun = rows[: rows.index(at.row) + at.together] if at is not None and at.row in rows else rows
    return RunningRow(begun[0], Clock.monotonic() if at is None else at.since) if len(begun) == 1 else None
