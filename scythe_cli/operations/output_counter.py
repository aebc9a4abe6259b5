"""Counts what is conspicuous about the outputs of a run.

Input: the rows of scalars, and the outcomes that failed. Output: an `OutputCounts` for each output.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.operations.output_counts import OutputCounts
from scythe_cli.run import outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

_BOUND = re.compile(r"must be (>|<|>=|<=) ")
"""In the message of a wrong output: the rule that it broke is a bound."""
_RAISED = re.compile(r"^(\w+)\n  .* \[type=(?:greater|less)_than", re.MULTILINE)
"""In pydantic's message, where the user's function made the wrong output with `Out(...)`: the field and the rule."""


class OutputCounter:
    """Counts some rows at a time: many, since a call for each column of a few rows costs more than the rows.

    Args:
        names: the outputs.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._nan: Counter[str] = Counter()
        self._null: Counter[str] = Counter()
        self._values: Counter[str] = Counter()
        self._range: dict[str, tuple[Any, Any] | None] = {}
        self._outside: Counter[str] = Counter()

    def add(self, table: pa.Table) -> None:
        """Count the outputs of specs that succeeded."""
        for name in self._names:
            column = table.column(name)
            self._null[name] += column.null_count
            self._values[name] += len(column) - column.null_count
            if pa.types.is_floating(column.type):
                self._nan[name] += int(pc.is_nan(column.drop_null()).to_numpy().sum())
            self._widen(name, column)

    def _widen(self, name: str, column: pa.ChunkedArray[Any]) -> None:
        """Keep the only value of a column so far; None once there are several, or where they do not compare."""
        known = self._range.get(name, ())
        if known is None or column.null_count == len(column):
            return
        try:
            edges: Any = pc.min_max(column).as_py()
        except pa.ArrowNotImplementedError:
            self._range[name] = None
            return
        low, high = edges["min"], edges["max"]
        self._range[name] = (low, high) if low == high and known in ((), (low, high)) else None

    def add_failed(self, failed: pa.Table) -> None:
        """Count the outputs that broke a bound of their field."""
        known = set(self._names)
        kinds = failed.column(outcomes.KIND)
        wrong = failed.filter(pc.equal(kinds, pa.scalar(outcomes.FailureKind.INVALID_OUTPUT)))
        for row in wrong.select([outcomes.PLACE, outcomes.MESSAGE]).to_pylist():
            name = (row[outcomes.PLACE] or "").rpartition(".")[2]
            if name in known and _BOUND.search(row[outcomes.MESSAGE] or ""):
                self._outside[name] += 1
        raised = failed.filter(pc.equal(failed.column(outcomes.ERROR_TYPE), pa.scalar("ValidationError")))
        for message in raised.column(outcomes.MESSAGE).to_pylist():
            self._outside.update(known.intersection(_RAISED.findall(message or "")))

    def counts(self) -> dict[str, OutputCounts]:
        """By output."""
        return {name: self._count(name) for name in self._names}

    def _count(self, name: str) -> OutputCounts:
        same = self._range.get(name) is not None and self._values[name] > 1 and not self._nan[name]
        return OutputCounts(self._nan[name], self._null[name], same and not self._null[name], self._outside[name])
