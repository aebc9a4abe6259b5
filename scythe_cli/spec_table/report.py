"""One report of everything that is wrong with a table.

Input: problems as they are found. Output: a `TableError` that gives the first ones in full, by place, and then their
number; a `InputFileError` where only files are wrong; a `StoreError` where servers could not say whether files exist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import InputFileError, StoreError, TableError

if TYPE_CHECKING:
    from scythe_cli.core.validation_errors import Problem
    from scythe_cli.spec_table.sources import SpecSource

MISSING = "is missing"
SHOWN = 20
"""Errors that a report gives in full."""


class TableReport:
    """All that is wrong with a table: the first errors in full, then their number."""

    def __init__(self, source: SpecSource) -> None:
        self._source = source
        self._head: list[str] = []
        self._shown: list[tuple[str, str]] = []
        self._total = 0
        self._files = 0
        self._refused = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong so far."""
        return self._total == 0

    def add(self, row: int, problem: object) -> None:
        """A problem of one row; rows come in order."""
        self._total += 1
        if len(self._shown) < SHOWN:
            self._shown.append((self._source.where(row), str(problem)))

    def add_file(self, row: int, problem: object, *, refused: bool = False) -> None:
        """A file that cannot be read, at the first row that names it; rows come in order.

        Args:
            row: which names it.
            problem: the message.
            refused: its server did not say whether it exists.
        """
        self._files += 1
        self._refused += refused
        self._total += 1
        if self._files <= SHOWN:
            self._shown.append((self._source.where(row), str(problem)))

    def add_column(self, message: str, name: str | None = None) -> None:
        """A problem of the columns, or of the one that is there under a name."""
        self._total += 1
        place = self._source.heads.get(name, self._source.label) if name is not None else self._source.label
        self._head.append(f"{place}  {message}")

    def add_faults(self, rows: int | None) -> None:
        """The places of the source that are not rows."""
        for place, why in self._source.faults(rows if rows is not None else 2**62):
            self._total += 1
            if len(self._shown) < 2 * SHOWN:
                self._shown.append((place, why))

    def finish(self) -> None:
        """Raise what was found.

        Raises:
            TableError: something is wrong.
            InputFileError: only files are wrong.
            StoreError: only files are wrong, and their servers are unavailable, fail or refuse.
        """
        if not self._total:
            return
        shown = sorted(self._shown, key=lambda one: _number(one[0]))
        lines = [
            *self._head,
            *(f"{place}  {text}" for place, text in shown),
        ]
        alone = self._files == self._total
        what = "file{} cannot be read" if alone else "error{}"
        count = f"{self._total:,} {what.format('s' * (self._total != 1))}"
        more = self._total - len(lines[:SHOWN])
        tail = f"... and {more:,} more, {count} in all" if more else count
        kind = StoreError if self._refused == self._total else InputFileError if alone else TableError
        raise kind("\n".join([*lines[:SHOWN], f"{tail} ({self._source.counting})"]))


@dataclass(frozen=True)
class DuplicateIndex:
    """A sort_index that an earlier row has; formatted only if the report shows it."""

    index: int
    source: SpecSource
    earlier: int

    def __str__(self) -> str:
        return f"{layout.SORT_INDEX} = {self.index}: must be unique, and {self.source.where(self.earlier)} has it too"


@dataclass(frozen=True)
class MissingValue:
    """A cell without a value; whether the key exists at all is looked up only if the report shows it."""

    problem: Problem
    source: SpecSource
    row: int
    column: str

    def __str__(self) -> str:
        missing = self.source.lacks(self.row, self.column)
        return str(replace(self.problem, rule=MISSING) if missing else self.problem)


def _number(place: str) -> int:
    digits = place[len(place.rstrip("0123456789")) :]
    return int(digits or 0)
