"""The frames of a run's specs, put together into one final table for each name.

Input: blocks. Output: the frames' final tables, and the specs whose frame does not fit those before it: they become
failures.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns.frame_header import PLACE, ROW, FrameHeader, read_header
from scythe_cli.core import layout
from scythe_cli.final_tables.frame_order import OrderedFrames
from scythe_cli.run import outcomes
from scythe_cli.run.parts import read_block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from scythe_cli.final_tables.frame_part import FramePart
    from scythe_cli.final_tables.frame_table import Clash, FrameTable
    from scythe_cli.operations.gather_blocks import LoadedBlock
    from scythe_cli.storage.base import Store


class FrameTables:
    """The final tables of frames, while they are written.

    Args:
        store: rooted at the run.
        open_table: starts the final table of a name.

    Attributes:
        tables: the tables by name.
    """

    def __init__(self, store: Store, open_table: Callable[[], FrameTable]) -> None:
        self._store = store
        self._open = open_table
        self.tables: dict[str, FrameTable] = {}
        self._sort_indexes: dict[int, int] = {}

    def add(self, block: LoadedBlock, offset: int) -> dict[int, str]:
        """Append a block's frames. Returns why a spec's frame does not fit the others', by the spec's row."""
        by_name: dict[str, list[FramePart]] = {}
        for name, part in block.frames:
            by_name.setdefault(name, []).append(part)
        block.frames.clear()
        misfits: dict[int, str] = {}
        for name, parts in sorted(by_name.items()):
            parts.sort(key=_first_row)
            for row, clash in self._fit_all(name, parts, misfits):
                spec = _sort_index(block.specs, row - offset)
                misfits[row] = f"dataframes[{name!r}]: {clash.message} in spec {spec}{self._unlike(clash)}"
        while by_name:
            name, parts = by_name.popitem()
            ordered = OrderedFrames(parts, misfits)
            if ordered.several or any(_asks_for_places(part) for part in parts):
                self.tables[name].count_places()
            if any(_is_old(part) for part in parts):
                self.tables[name].keep_levels_as_columns()
            self.tables[name].append(ordered.tables(), block.specs, offset)
        return misfits

    def _fit_all(self, name: str, parts: Sequence[FramePart], misfits: dict[int, str]) -> Iterator[tuple[int, Clash]]:
        """Make the table hold the frames of all parts. Yields the specs whose frame does not fit."""
        if name not in self.tables:
            self.tables[name] = self._open()
        table = self.tables[name]
        before = table.decided()
        clashes: list[tuple[int, Clash]] = []
        for at, part in enumerate(parts):
            if not table.knows(part.schema):
                unfit = misfits | dict.fromkeys((row for row, _ in clashes), "")
                clashes += _fit_part(table, part, partial(_frames, parts[:at], unfit))
        if clashes and len(parts) > 1:
            table.go_back(before)
            clashes = list(_fit_in_order(table, parts, misfits))
        yield from clashes

    def _unlike(self, clash: Clash) -> str:
        """Which spec another one clashes with."""
        row = clash.unlike
        if row is None:
            return ""
        if row not in self._sort_indexes:
            specs = read_block(self._store, layout.block_of(row), [layout.SORT_INDEX])
            self._sort_indexes[row] = _sort_index(specs, row % layout.BLOCK)
        return f", unlike in spec {self._sort_indexes[row]}"


def _fit_part(
    table: FrameTable, part: FramePart, before: Callable[[], Iterator[pa.Table]]
) -> Iterator[tuple[int, Clash]]:
    """Fit a part, row group by row group; where one does not fit, spec by spec."""
    misfits: set[int] = set()
    for group in range(part.groups):
        if table.knows(part.schema):
            return  # with the last row group
        frame = _only(part, part.read(group), misfits)

        def waiting(until: int = group) -> Iterator[pa.Table]:
            yield from before()
            yield from (_only(part, part.read(at), misfits) for at in range(until))

        clash = table.fit(frame, waiting)
        if clash is None:
            continue
        for row, found in _fit_each(table, frame, waiting):
            misfits.add(row)
            yield row, found
    if not part.groups:
        table.fit(part.schema.empty_table())


def _fit_in_order(
    table: FrameTable, parts: Sequence[FramePart], without: Collection[int]
) -> Iterator[tuple[int, Clash]]:
    """Fit the frames of several parts spec by spec. So it does not matter who ran a spec, or when it ended."""
    misfits: set[int] = set()

    def waiting(until: int) -> Iterator[pa.Table]:
        for rows in OrderedFrames(parts, {*without, *misfits}).tables():
            before = int(rows.lengths[rows.specs < until].sum())
            if not before:
                return
            yield rows.table.slice(0, before)

    for rows in OrderedFrames(parts, without).tables():
        if table.knows(rows.table.schema):
            continue
        starts = (rows.lengths.cumsum() - rows.lengths).tolist()
        for row, start, length in zip(rows.specs.tolist(), starts, rows.lengths.tolist(), strict=True):
            if row in misfits:
                continue
            clash = table.fit(rows.table.slice(start, length), partial(waiting, row))
            if clash is not None:
                misfits.add(row)
                yield row, clash


def _fit_each(
    table: FrameTable, frame: pa.Table, before: Callable[[], Iterator[pa.Table]]
) -> Iterator[tuple[int, Clash]]:
    """Fit the frame of each spec alone."""
    fitting: list[pa.Table] = []

    def waiting() -> Iterator[pa.Table]:
        yield from before()
        yield from fitting

    for row in cast("list[int]", frame.column(ROW).unique().to_pylist()):
        alone = frame.filter(pc.equal(frame.column(ROW), pa.scalar(row)))
        clash = table.fit(alone, waiting)
        if clash is None:
            fitting.append(alone)
        else:
            yield row, clash


def _frames(parts: Sequence[FramePart], misfits: dict[int, str]) -> Iterator[pa.Table]:
    for part in parts:
        for group in range(part.groups):
            yield _only(part, part.read(group), misfits)


def _only(part: FramePart, frame: pa.Table, without: dict[int, str] | set[int]) -> pa.Table:
    """The rows that count."""
    rows = frame.column(ROW).to_numpy()
    keep = part.counts(rows)
    if without:
        keep &= [row not in without for row in rows.tolist()]
    return frame if keep.all() else frame.filter(pa.array(keep))


def _asks_for_places(part: FramePart) -> bool:
    header = read_header(part.schema)
    asked = header.pandas is not None and any(column == PLACE for column, _ in header.pandas.index_levels)
    return asked or part.explicit_places()


def _is_old(part: FramePart) -> bool:
    """Whether a part was written when levels of an index were columns like others."""
    return part.explicit_places() and read_header(part.schema) == FrameHeader()


def _first_row(part: FramePart) -> int:
    """What has no rows comes last: the others know more."""
    return min((int(runs["row"][0]) for runs in part.runs if len(runs)), default=1 << 62)


def _sort_index(specs: pa.Table, place: int) -> int:
    """What people know a spec by."""
    return cast("int", specs.column(layout.SORT_INDEX)[place].as_py())


def with_misfits(table: pa.Table, misfits: dict[int, str], generation: int) -> pa.Table:
    """Outcomes, those of some rows turned into failures of a generation."""
    hit = pc.is_in(table.column(outcomes.ROW), value_set=pa.array(list(misfits), type=pa.int64()))
    messages = pa.array(
        [misfits.get(cast("int", row)) for row in table.column(outcomes.ROW).to_pylist()], type=pa.string()
    )
    for name, value in (
        (outcomes.KIND, outcomes.FailureKind.INVALID_OUTPUT),
        (outcomes.ERROR_TYPE, "InvalidOutput"),
        (outcomes.MESSAGE, messages),
        (outcomes.TRACEBACK, ""),
        (outcomes.GENERATION, generation),
        (outcomes.REUSED_FROM, pa.scalar(None, pa.string())),
    ):
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pc.if_else(hit, value, table.column(name)))
    return table
