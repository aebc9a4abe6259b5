"""A lane's end: why, what it had not finished, and which row was at work.

Takes the handle of a lane whose process is gone, and has been heard to the last; leaves a `Death`. What it counts for
is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scythe_cli.core.clock import Clock

if TYPE_CHECKING:
    from scythe_cli.supervisor.chunk import Take
    from scythe_cli.supervisor.lane_handle import LaneHandle

UNFIT = "unfit"
"""Why a lane ends that asked for a fresh process."""
NO_SERVER = "no server"
"""Why lanes end whose fork server was killed."""
GARBLED = "garbled"
"""Why a lane ends that has sent what no lane sends, or has let go of its end of the connection and lives on."""
SILENT = "silent"
"""Why a lane ends that has rows, is at none, and says nothing."""


class End(NamedTuple):
    """The end of a lane's process.

    Attributes:
        status: its exit code; of a signal, its number less than zero.
        reason: why we killed it, if we did.
        out_of_memory: the kernel killed a process for memory just before.
    """

    status: int
    reason: str | None
    out_of_memory: bool = False


@dataclass(frozen=True)
class Death:
    """A lane ended.

    Attributes:
        takes: what it had not finished; the first is what it was at.
        row: the one at work, None when there was none or it is not to blame.
        seconds: for how long it was at work.
        status: as the end of its process has it, like `reason` and `out_of_memory`.
        log: what the row at work had printed, and what the process said when it ended.
    """

    lane: LaneHandle
    takes: list[Take]
    row: int | None
    seconds: float
    status: int
    reason: str | None
    log: str
    out_of_memory: bool


def death_of(lane: LaneHandle, end: End) -> Death:
    """What a lane leaves whose process has ended."""
    at = lane.at_work()
    guilty = lane.condemned is None or lane.condemned == at
    log = lane.printed.text(at)
    if lane.ending == GARBLED:
        at = _suspect(lane, at)
    elif lane.is_telling and end.reason is None:
        at = None  # it may have been what it was to tell
    row, seconds = None, 0.0
    if guilty and at is not None and lane.takes and at[0] in lane.takes[0].open_rows():
        row, seconds = at[0], Clock.monotonic() - at[1]
    return Death(lane, list(lane.takes), row, seconds, end.status, end.reason, log, end.out_of_memory)


def _suspect(lane: LaneHandle, at: tuple[int, float] | None) -> tuple[int, float] | None:
    """The row that must have spoilt the connection: one of those that were not handed over and had begun."""
    rows = lane.takes[0].open_rows() if lane.takes else []
    begun = rows[: rows.index(at[0]) + 1] if at is not None and at[0] in rows else rows
    return (begun[0], Clock.monotonic() if at is None else at[1]) if len(begun) == 1 else None
