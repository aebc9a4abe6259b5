"""The rows of a block's frames in the order of their specs, piece by piece.

Input: tables with the rows of several specs each, those of one spec together and in order. Output: pieces of a size
that is given for each, and lets go of a table once its rows are through: it may be larger than memory should hold.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frames
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

SORTED_ROWS = 1 << 17
"""So few rows are sorted as they are."""


class RowSlice(NamedTuple):
    """Rows of a table that follow each other there, and in the order of the specs.

    Attributes:
        row: the first's spec.
        table: the table.
        start: their place in it.
        length: how many.
    """

    row: int
    table: pa.Table
    start: int
    length: int


def pieces(tables: list[pa.Table], *, without: Collection[int], size: Callable[[], int]) -> Iterator[pa.Table]:
    """All rows of the tables, which have one schema, in order.

    Args:
        tables: the tables; emptied.
        without: rows, as specs have them, that are left out.
        size: of the next piece, at most.
    """
    ordered = deque(_in_order(tables, without))
    tables.clear()
    while ordered:
        room = size()
        taken: list[pa.Table] = []
        while room and ordered:
            row, table, start, length = ordered.popleft()
            taken.append(table.slice(start, min(room, length)))
            if length > room:
                ordered.appendleft(RowSlice(row, table, start + room, length - room))
            room -= taken[-1].num_rows
        del table
        yield pa.concat_tables(taken).combine_chunks()


def _in_order(tables: list[pa.Table], without: Collection[int]) -> list[RowSlice]:
    if sum(table.num_rows for table in tables) <= SORTED_ROWS:
        return _sorted(pa.concat_tables(tables), without)
    found = sorted((run for table in tables for run in _runs(table)), key=lambda run: run.row)
    if any(one.row == other.row for one, other in pairwise(found)):
        return _sorted(pa.concat_tables(tables), without)
    return _joined(run for run in found if run.row not in without)


def _sorted(table: pa.Table, without: Collection[int]) -> list[RowSlice]:
    if without:
        out = pc.is_in(table.column(frames.ROW), value_set=pa.array(list(without), type=pa.int64()))
        table = table.filter(pc.invert(out))
    if not frames.is_sorted(table.column(frames.ROW)):
        table = table.sort_by([(frames.ROW, "ascending"), (layout.SORT_SUBINDEX, "ascending")])
    return [RowSlice(0, table, 0, table.num_rows)] if table.num_rows else []


def _runs(table: pa.Table) -> Iterator[RowSlice]:
    """The rows of each spec in a table."""
    rows = table.column(frames.ROW).combine_chunks()
    runs: Any = pc.run_end_encode(rows)  # type: ignore[attr-defined]  # not in the stubs
    start = 0
    for row, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield RowSlice(row, table, start, end - start)
        start = end


def _joined(runs: Iterator[RowSlice]) -> list[RowSlice]:
    joined: list[RowSlice] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last is not None and last.table is run.table and last.start + last.length == run.start:
            joined[-1] = last._replace(length=last.length + run.length)
        else:
            joined.append(run)
    return joined
