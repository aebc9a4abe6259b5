"""Rows of one block that one lane works through.

Input: row numbers. Output: which of them the lane has sent, which were reclaimed from it, and which remain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.lane.job import Job
    from scythe_cli.supervisor.run_progress import RunWork

CHUNK_SECONDS = 0.5
"""Work that a lane gets at a time, once the cost of a spec is known."""


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
    """

    run: RunWork
    block: int
    rows: Sequence[int]
    attempts: dict[int, int] = field(default_factory=dict)
    crashes: int = 0
    sent: list[Sequence[int]] = field(default_factory=list)

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

    def reclaim(self, at: int | None = None) -> list[int]:
        """Take away from the lane the rows that come after row `at`, or all."""
        keep = 0 if at is None else self.rows.index(at) + 1
        back = list(self.rows[keep:])
        self.rows = self.rows[:keep]
        return back
