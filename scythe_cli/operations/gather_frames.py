"""The frames of a run's specs, put together into one final table for each name.

Input: blocks. Output: rows of the frames' final tables, and the specs whose frame does not fit those before it: they
become failures. Frames get their index in pieces of bounded size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.operations.final_table import Clash
from scythe_cli.operations.frame_pieces import pieces
from scythe_cli.operations.gather_blocks import take_index
from scythe_cli.run import outcomes
from scythe_cli.run.parts import read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.operations.final_table import FinalTable
    from scythe_cli.operations.gather_blocks import Block
    from scythe_cli.storage.base import Store

PIECE_ROWS = 1 << 14
PIECE_BYTES = 16 << 20
"""Rows of frames that get their index at a time, and their size with it, about."""


class FrameTables:
    """The final tables of frames, while they are written.

    Args:
        store: rooted at the run.
        index: the index columns.
        open_table: starts the final table with a name and columns.
    """

    def __init__(self, store: Store, index: pa.Schema, open_table: Callable[[str, pa.Schema], FinalTable]) -> None:
        self._store = store
        self._index = index
        self._open = open_table
        self._tables: dict[str, FinalTable] = {}
        self._first_specs: dict[int, int] = {}

    def add(self, block: Block, table: pa.Table, offset: int) -> pa.Table:
        """Append a block's frames; specs whose frame does not fit the others' become failures."""
        fitting: dict[str, list[pa.Table]] = {}
        misfits: dict[int, str] = {}
        block.frames.sort(key=_by_name_and_row)
        for name, frame in block.frames:
            if name not in self._tables:
                self._open_frame(name, frame)
            for row, clash in self._fit(name, frame, fitting.setdefault(name, [])):
                spec = _sort_index(block.specs, row - offset)
                misfits[row] = f"dataframes[{name!r}]: {clash.message} in spec {spec}{self._unlike(name, clash)}"
        block.frames.clear()
        while fitting:
            name, held = fitting.popitem()
            if held:
                refitted = [self._tables[name].refit(frame) for frame in held]
                held.clear()
                self._append_frame(name, refitted, block.specs, offset, misfits)
        return _with_misfits(table, misfits) if misfits else table

    def _unlike(self, name: str, clash: Clash) -> str:
        """Which spec another one clashes with: the one whose value set the type of the column."""
        row = self._tables[name].typed_by.get(clash.column or "")
        if row is None:
            return ""
        if row not in self._first_specs:
            specs = read_block(self._store, layout.block_of(row), [layout.SORT_INDEX])
            self._first_specs[row] = _sort_index(specs, row % layout.BLOCK)
        return f", unlike in spec {self._first_specs[row]}"

    def _fit(self, name: str, frame: pa.Table, fitting: list[pa.Table]) -> Iterator[tuple[int, Clash]]:
        """Put a frame with those that fit; where it does not, spec by spec. Yields the specs that do not fit."""
        rows = _rows_of(frame)
        fitted = self._tables[name].fit(frame, fitting)
        if isinstance(fitted, pa.Table):
            fitting.append(fitted)
        elif len(rows) == 1:
            yield rows[0], fitted
        else:
            for row in rows:
                alone = frame.filter(pc.equal(frame.column(frames.ROW), pa.scalar(row)))
                yield from self._fit(name, alone, fitting)

    def _open_frame(self, name: str, frame: pa.Table) -> None:
        own = frame.drop_columns([frames.ROW, layout.SORT_SUBINDEX]).schema
        self._tables[name] = self._open(
            name, pa.schema([*own, *self._index, pa.field(layout.SORT_SUBINDEX, pa.int64())])
        )

    def _append_frame(
        self, name: str, held: list[pa.Table], specs: pa.Table, offset: int, misfits: dict[int, str]
    ) -> None:
        table = self._tables[name]
        largest = _rows_within(PIECE_BYTES, [*held, specs])
        for piece in pieces(held, without=misfits, size=lambda: min(largest, table.room)):
            index = take_index(specs, piece.column(frames.ROW), offset)
            table.add([*piece.select(table.own).columns, *index.columns, piece.column(layout.SORT_SUBINDEX)])


def _rows_within(n_bytes: int, tables: list[pa.Table]) -> int:
    """How many rows have so many bytes, if they are as the tables' are together: a power of two."""
    each = sum(table.nbytes / max(1, table.num_rows) for table in (pa.concat_tables(tables[:-1]), tables[-1]))
    return min(PIECE_ROWS, 1 << max(0, int(n_bytes / max(1.0, each)).bit_length() - 1))


def _sort_index(specs: pa.Table, place: int) -> int:
    """What people know a spec by."""
    return cast("int", specs.column(layout.SORT_INDEX)[place].as_py())


def _rows_of(frame: pa.Table) -> list[int]:
    return cast("list[int]", frame.column(frames.ROW).unique().to_pylist())


def _by_name_and_row(named: tuple[str, pa.Table]) -> tuple[str, int]:
    name, frame = named
    return name, frame.column(frames.ROW)[0].as_py() if frame.num_rows else 1 << 62  # what has rows knows more


def _with_misfits(table: pa.Table, misfits: dict[int, str]) -> pa.Table:
    """Turn the outcomes of some rows into failures."""
    hit = pc.is_in(table.column(outcomes.ROW), value_set=pa.array(list(misfits), type=pa.int64()))
    messages = pa.array(
        [misfits.get(cast("int", row)) for row in table.column(outcomes.ROW).to_pylist()], type=pa.string()
    )
    for name, value in (
        (outcomes.KIND, outcomes.INVALID_OUTPUT),
        (outcomes.ERROR_TYPE, "InvalidOutput"),
        (outcomes.MESSAGE, messages),
        (outcomes.TRACEBACK, ""),
    ):
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pc.if_else(hit, value, table.column(name)))
    return table
