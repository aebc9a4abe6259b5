"""Rows of one block that one lane works through.

Input: row numbers. Output: which of them the lane has sent, which were reclaimed from it, and which remain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.lane.job import Job
    from scythe_cli.supervisor.captured_output import RunningRow
    from scythe_cli.supervisor.run_progress import RunWork

CHUNK_SECONDS = 0.5
"""Work that a lane gets at a time, once the cost of a spec is known."""


def chunk_size(cost: float | None, left: int, lanes: int, *, batch: int | None = None) -> int:
    """How many rows a lane gets: as many as take half a second, fewer near the end, and one to begin with.

    Args:
        cost: seconds a spec is seen to take, None before the first.
        left: rows that wait.
        lanes: lanes that share them.
        batch: rows in one call of a function of many: it gets a whole number of calls.
    """
    one = batch or 1
    if cost is None:
        return one
    guided = -(-left // (2 * lanes))
    return max(1, int(min(CHUNK_SECONDS / max(cost, 1e-9), guided)) // one) * one


@dataclass
class Chunk:
    """Rows of one block that one lane works through, in order.

    Attributes:
        run: the run they belong to.
        block: their block.
        rows: row numbers, a range where they are one.
        attempts: the number of the attempt, for rows on their second or later.
        crashes: lanes that ended while they had these rows, and none of them at work.
        sent: rows whose outcome, or wish for another attempt, the lane has sent.
        batch: most rows in one call of a function of many; None for as many as it is registered with.
    """

    run: RunWork
    block: int
    rows: Sequence[int]
    attempts: dict[int, int] = field(default_factory=dict)
    crashes: int = 0
    sent: list[Sequence[int]] = field(default_factory=list)
    batch: int | None = None

    @property
    def job(self) -> Job:
        """What the lane needs to know of the run."""
        return self.run.info.job

    def open_rows(self) -> list[int]:
        """The rows that were not sent, in order."""
        done = {row for rows in self.sent for row in rows}
        return [row for row in self.rows if row not in done] if done else [*self.rows]

    def left(self, reported: Sequence[int]) -> list[int]:
        """The rows that remain when the lane is done: those it reported, and any it lost, but not those reclaimed."""
        whole = len(reported) + sum(map(len, self.sent)) == len(self.rows)
        return [*reported] if whole else self.open_rows()

    def together(self, at: RunningRow) -> list[int]:
        """The open rows that are at work in one call."""
        first = self.rows.index(at.row)
        open_rows = {*self.open_rows()}
        return [row for row in self.rows[first : first + at.together] if row in open_rows]

    def reclaim(self, at: RunningRow | None = None) -> list[int]:
        """Take away from the lane the rows that come after those at work, or all."""
        keep = 0 if at is None else self.rows.index(at.row) + at.together
        back = list(self.rows[keep:])
        self.rows = self.rows[:keep]
        return back
