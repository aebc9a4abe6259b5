"""Rows of one block that one lane works through.

Takes row numbers; keeps account of what the lane has handed over and of what was taken back, and tells what remains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.lane.job import Job


CHUNK_SECONDS = 0.5
"""Work that a lane gets at a time, once the cost of a spec is known."""


@dataclass
class Take:
    """Rows of one block that one lane works through, in order.

    Attributes:
        job: the run they belong to.
        block: their block.
        rows: row numbers, a range where they are one.
        attempts: the number of the attempt, for rows on their second or later.
        owner: what the supervisor hangs on it.
        strikes: lanes that ended while they had these rows, and none of them at work.
    """

    job: Job
    block: int
    rows: Sequence[int]
    attempts: dict[int, int]
    owner: Any = None
    strikes: int = 0
    handed: list[Sequence[int]] = field(default_factory=list)

    def open_rows(self) -> list[int]:
        """The rows that were not handed over, in order."""
        done = {row for rows in self.handed for row in rows}
        return [row for row in self.rows if row not in done] if done else [*self.rows]

    def left(self, told: list[int]) -> list[int]:
        """The rows that remain when the lane is done: those it told, and any it lost, but not what was taken back."""
        whole = len(told) + sum(map(len, self.handed)) == len(self.rows)
        return told if whole else self.open_rows()

    def take_back(self, at: int | None = None) -> list[int]:
        """Take the rows away from the lane that come after row `at`, or all."""
        keep = 0 if at is None else self.rows.index(at) + 1
        back = list(self.rows[keep:])
        self.rows = self.rows[:keep]
        return back
