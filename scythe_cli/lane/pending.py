"""Outcomes that a lane has and its supervisor does not, column by column.

Input: one finished spec after the other. Output: columns, in the order in which the specs ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from scythe_cli.run.outcomes import Failure

COLUMNS = ("rows", "sort_indexes", "outputs", "attempts", "starts", "durations", "logs")
"""Of `Pending`, in the order in which an outcome is added."""


@dataclass(frozen=True)
class CallOutcomes:
    """Outcomes of one call of a function of tables, all of them succeeded, as columns.

    Attributes:
        rows: their rows.
        sort_indexes: a column.
        columns: of the model's scalars.
        attempts: the number of each row's attempt; None where all are the first.
        start: of the call, on the wall clock.
        duration: of the call, in seconds, divided by its specs.
        log: what the call printed, which the first row gets.
    """

    rows: Sequence[int]
    sort_indexes: pa.Array[Any]
    columns: list[pa.Array[Any]]
    attempts: Sequence[int] | None
    start: float
    duration: float
    log: str | None


@dataclass
class Pending:
    """Outcomes that were not sent yet; `None` in `outputs` is a failure.

    What is added waits as a tuple and becomes columns at once, in `flush`: half of the cost of seven appends.
    """

    added: list[tuple[int, int, Any, int, float, float, str | None]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sort_indexes: list[int] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    logs: list[str | None] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    files: dict[int, dict[str, str]] = field(default_factory=dict)
    uploads: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    frames: dict[str, dict[int, pa.Table]] = field(default_factory=dict)
    again: Pending | None = None
    """Failures of specs that are to be tried again."""
    blocks: list[CallOutcomes] = field(default_factory=list)
    weight: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.rows or self.again or self.blocks)

    def add_block(self, block: CallOutcomes) -> None:
        """Add the outcomes of one call of a function of tables."""
        self.blocks.append(block)
        self.weight += sum(column.nbytes for column in block.columns)

    def add(
        self,
        row: int,
        sort_index: int,
        *,
        output: Any,
        attempt: int,
        start: float,
        duration: float,
        log: str | None = None,
    ) -> None:
        """Add an outcome; `start` on the wall clock, `duration` in seconds."""
        self.added.append((row, sort_index, output, attempt, start, duration, log))

    def fail(
        self,
        row: int,
        sort_index: int,
        *,
        failure: Failure,
        attempt: int,
        start: float,
        duration: float,
        log: str = "",
    ) -> None:
        """Add an outcome that is a failure."""
        self.added.append((row, sort_index, None, attempt, start, duration, log))
        self.failures[row] = failure
        self.weight += len(log) + len(failure.traceback)

    def try_again(
        self,
        row: int,
        sort_index: int,
        *,
        failure: Failure,
        attempt: int,
        start: float,
        duration: float,
        log: str = "",
    ) -> None:
        """Add the failure of an attempt that is not the last."""
        self.again = self.again or Pending()
        self.again.fail(row, sort_index, failure=failure, attempt=attempt, start=start, duration=duration, log=log)
        self.weight += len(log) + len(failure.traceback)

    def refuse(self, at: int, failure: Failure) -> None:
        """Make a failure of the outcome at this place, and drop the files and frames that were taken over for it."""
        row = self.rows[at]
        self.outputs[at] = None
        self.failures[row] = failure
        self.discard(row)

    def discard(self, row: int) -> None:
        """Drop the files and frames of an output that was refused after they were taken over."""
        self.files.pop(row, None)
        for local, _ in self.uploads.pop(row, []):
            Path(local).unlink(missing_ok=True)
        for tables in self.frames.values():
            tables.pop(row, None)

    def flush(self) -> None:
        """Make columns of what was added."""
        if self.added:
            for name, values in zip(COLUMNS, zip(*self.added, strict=True), strict=True):
                getattr(self, name).extend(values)
            self.added.clear()

    def split_off(self, rows: set[int]) -> Pending:
        """Move some rows to a batch of their own."""
        apart = Pending()
        keep = [at for at, row in enumerate(self.rows) if row not in rows]
        move = [at for at, row in enumerate(self.rows) if row in rows]
        for name in COLUMNS:
            column = getattr(self, name)
            setattr(apart, name, [column[at] for at in move])
            setattr(self, name, [column[at] for at in keep])
        for name in ("failures", "files", "uploads"):
            held = getattr(self, name)
            setattr(apart, name, {row: held.pop(row) for row in rows if row in held})
        for frame, tables in self.frames.items():
            moved = {row: tables.pop(row) for row in rows if row in tables}
            if moved:
                apart.frames[frame] = moved
        return apart
