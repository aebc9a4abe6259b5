"""The rows of a block's frames in the order of their specs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scythe_cli.columns.frame_header import ROW
from scythe_cli.final_tables.frame_order import OrderedFrames


class Part:
    """An opened part in memory: row groups of some specs' rows."""

    def __init__(self, *groups: list[int], wanted: set[int] | None = None) -> None:
        self._groups = [np.array(group, "i8") for group in groups]
        self._wanted = wanted
        self.reads: list[int] = []
        self.runs = [self._runs(group) for group in self._groups]

    def _runs(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        specs = list(dict.fromkeys(rows.tolist()))
        kind = [("row", "i8"), ("start", "i8"), ("length", "i8")]
        return np.array([(row, rows.tolist().index(row), (rows == row).sum()) for row in specs], kind)

    def read(self, group: int) -> pa.Table:
        self.reads.append(group)
        return pa.table({ROW: pa.array(self._groups[group])})

    def counts(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array([self._wanted is None or row in self._wanted for row in rows.tolist()], bool)


def in_order(parts: list[Any], without: set[int]) -> list[int]:
    """The spec of each row, which must be as each piece says."""
    found: list[int] = []
    for table, specs, lengths in OrderedFrames(parts, without).tables():
        rows = table.column(ROW).to_pylist()
        assert rows == np.repeat(specs, lengths).tolist()
        found += rows
    return found


@pytest.mark.parametrize("without", [set(), {2}, {1, 4}, {1, 2, 3, 4, 5, 6}])
def test_rows_of_parts_that_interleave_come_in_the_order_of_specs(without: set[int]) -> None:
    parts = [Part([1, 1, 3, 3, 3], [3, 6]), Part([2, 5, 5], [5, 4])]
    expected = [row for row in [1, 1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6] if row not in without]
    assert in_order(parts, without) == expected
    assert all(len(part.reads) == len({*part.reads}) for part in parts)


def test_rows_that_do_not_count_are_left_out() -> None:
    assert in_order([Part([1, 1, 2, 2, 3], wanted={1, 3}), Part([2])], set()) == [1, 1, 2, 3]


def test_a_spec_whose_rows_are_each_in_a_row_group_has_several() -> None:
    parts: Any = [Part([1], [1], [2])]
    assert OrderedFrames(parts, set()).several
    assert not OrderedFrames(parts, {1}).several


def test_no_rows() -> None:
    ordered = OrderedFrames([], set())
    assert ([*ordered.tables()], ordered.rows, ordered.several) == ([], 0, False)


def test_a_row_group_is_not_read_before_the_one_ahead_is_used() -> None:
    part: Any = Part([1], [2], [3], [4])
    rows: Any = OrderedFrames([part], set()).tables()
    next(rows)
    next(rows)
    rows.close()
    assert len(part.reads) == 3


def test_what_reading_raises_comes_at_the_rows_it_is_about() -> None:
    class Broken(Part):
        def read(self, group: int) -> pa.Table:
            if group == 1:
                raise ValueError("broken")
            return super().read(group)

    part: Any = Broken([1], [2])
    rows = OrderedFrames([part], set()).tables()
    assert next(rows).specs.tolist() == [1]
    with pytest.raises(ValueError, match="broken"):
        next(rows)
