"""The blocks of a run for a gather: read ahead, in order, with the outcomes that count.

Input: a run's directory and its state. Output: a `LoadedBlock` for each block that has outcomes. Frames that weigh much
wait on the disk.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout, processes
from scythe_cli.errors import BrokenRun
from scythe_cli.final_tables.frame_part import FramePart
from scythe_cli.final_tables.index_columns import read_index
from scythe_cli.final_tables.read_budget import ReadBudget
from scythe_cli.run import outcomes
from scythe_cli.run.parts import PART_BYTES, CorruptPart, frames_of, read_part, read_schema
from scythe_cli.run.state import set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.core.layout import PartName
    from scythe_cli.run.input_files import IndexNames
    from scythe_cli.run.state import RunState
    from scythe_cli.storage.base import Store

AHEAD = 16
"""Blocks that are read before their turn, at most."""
LATE_SECONDS = 0.01
"""Waiting so long for a block means that the store is slow, and that more should be read ahead. On a local disk more
threads than cores only disturb each other."""
AHEAD_BYTES = 128 << 20
"""Size in memory of the blocks that are read ahead, estimated from the last one."""
READERS = 16
READING_BYTES = 32 << 20
"""Size of the frames' parts that are read at a time, about."""
SORTED_BYTES = 512 << 20
"""Outcomes of a block that are sorted at a time, about."""
SPILL_BYTES = 32 << 20
"""A block's frames that weigh more wait for their turn on the disk."""


@dataclass(frozen=True)
class LoadedBlock:
    """One block, read: its specs, its winning outcomes in row order, the frames of those, and its size."""

    specs: pa.Table
    outcomes: pa.Table
    frames: list[tuple[str, FramePart]]
    nbytes: int


class BlockReader:
    """Reads the blocks of a run.

    Args:
        store: rooted at the run.
        state: which outcomes count.
        index: the index columns of the final tables.
        names: what the index calls the run's input files.
    """

    def __init__(self, store: Store, state: RunState, index: Sequence[str], names: IndexNames) -> None:
        self._store = store
        self._state = state
        self._index = list(index)
        self._names = names
        self.schema = read_schema(store)
        self._spilled = 0
        self._schemas: dict[str, pa.Schema] = {}
        self._budget = ReadBudget(READING_BYTES, expected=PART_BYTES)
        self._readers = ThreadPoolExecutor(READERS, "scythe-read")

    def close(self) -> None:
        """End the threads."""
        self._readers.shutdown(cancel_futures=True)

    def blocks(self) -> Iterator[LoadedBlock]:
        """Every block that has outcomes, in order, a few read ahead."""
        numbers = deque(number for number, block in sorted(self._state.blocks.items()) if block.rows)
        waiting: deque[Future[LoadedBlock]] = deque()
        ahead = 2
        with ThreadPoolExecutor(AHEAD) as pool:
            while numbers or waiting:
                while numbers and len(waiting) < ahead:
                    waiting.append(pool.submit(self._read, numbers.popleft()))
                since = time.monotonic()
                try:
                    block = waiting.popleft().result()
                except CorruptPart:
                    for future in waiting:
                        future.cancel()
                    raise
                ahead += 1 if time.monotonic() - since > LATE_SECONDS else -1
                ahead = max(2, min(ahead, AHEAD, AHEAD_BYTES // (block.nbytes + 1)))
                yield block

    def set_corrupt_aside(self) -> int:
        """Read every part that counts, and set those aside that cannot be; how many."""
        found = 0
        for block in self._state.blocks.values():
            for part in block.by_part:
                try:
                    for _, frame in self._read_part(part, None, [])[1]:
                        frame.read_all()
                except CorruptPart as exc:
                    set_aside(self._store, part, str(exc))
                    found += 1
        return found

    def _read_part(
        self, part: PartName, wanted: Sequence[int] | None, held: list[int]
    ) -> tuple[pa.Table, list[tuple[str, FramePart]]]:
        """A part's outcomes, and its frames by name; `held` as `_open_frame` has it."""
        table = read_part(self._store, part.key)
        names = frames_of(table)
        if wrong := [name for name in names if not layout.is_frame_name(name) or name in layout.OWN_TABLES]:
            raise BrokenRun(
                f"{self._store.locate(part.key)} has a frame {wrong[0][:100]!r}, which no frame can be called",
                hint="somebody else wrote it: remove it, and its specs run again with scythe allocate --resume",
            )
        frames = [(name, self._open_frame(part.frame_key(name), wanted, held)) for name in names]
        for name, frame in frames:
            self._schemas[name] = frame.share_schema(self._schemas.get(name))
        return table, frames

    def _open_frame(self, key: str, wanted: Sequence[int] | None, held: list[int]) -> FramePart:
        """A frame of a part; `held` has what those of its block weigh, which wait on the disk past a size."""
        with self._budget.room():
            frame = FramePart(self._store, key, wanted)
            pa.default_memory_pool().release_unused()  # what this thread keeps
            self._budget.saw(frame.nbytes)
            held.append(frame.nbytes)
            if sum(held) > SPILL_BYTES:
                frame.spill()
                self._spilled += frame.nbytes
                if self._spilled > SPILL_BYTES:  # each thread's allocator keeps what it has freed
                    self._spilled = 0
                    processes.give_memory_back()
        return frame

    def _read(self, number: int) -> LoadedBlock:
        specs = self._readers.submit(read_index, self._store, number, self._index, self._names)
        by_part = self._state.blocks[number].by_part
        weights: list[int] = []
        read = deque(self._readers.submit(self._read_part, part, rows, weights) for part, rows in by_part.items())
        rows, held = [], []
        for part, wanted in by_part.items():
            table, frames_of = read.popleft().result()
            rows.append(_only(_with_origin(table, self.schema, part.generation), wanted, outcomes.ROW))
            held += frames_of
        joined = rows[0] if len(rows) == 1 else _in_order(rows)
        index = specs.result()
        return LoadedBlock(index, joined, held, index.nbytes + joined.nbytes + sum(frame.nbytes for _, frame in held))


def _only(table: pa.Table, rows: list[int] | None, column: str) -> pa.Table:
    if rows is None:
        return table
    return table.filter(pc.is_in(table.column(column), value_set=pa.array(rows, type=pa.int64())))


def _in_order(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, sorted. Arrow sorts text of up to 2 GB at a time, so larger tables go in steps."""
    whole = pa.concat_tables(tables)
    if whole.nbytes <= SORTED_BYTES:
        return whole.sort_by(outcomes.ROW)
    bounds: Any = pc.min_max(whole.column(outcomes.ROW)).as_py()
    step = max(1, whole.num_rows * SORTED_BYTES // whole.nbytes)
    pieces = []
    for first in range(bounds["min"], bounds["max"] + 1, step):
        within = pc.is_in(whole.column(outcomes.ROW), value_set=pa.array(range(first, first + step), pa.int64()))
        pieces.append(whole.filter(within).sort_by(outcomes.ROW))
    return pa.concat_tables(pieces)


def _fill(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part with another model's columns, as this run's: those it lacks are null."""
    names = set(table.column_names)
    return pa.table(
        [table.column(f.name).cast(f.type) if f.name in names else pa.nulls(len(table), f.type) for f in schema],
        schema=schema,
    )


def _with_origin(table: pa.Table, schema: pa.Schema, generation: int) -> pa.Table:
    """A part's outcomes with the run's columns, and the columns that say where they come from."""
    n = table.num_rows
    origin: Any = pa.nulls(n, pa.string())
    if outcomes.REUSED_FROM in table.column_names:
        origin, table = table.column(outcomes.REUSED_FROM), table.drop_columns([outcomes.REUSED_FROM])
    known = table.cast(schema) if table.schema.equals(schema) else _fill(table, schema)
    known = known.append_column(pa.field(outcomes.GENERATION, pa.int64()), pa.repeat(pa.scalar(generation), n))
    return known.append_column(pa.field(outcomes.REUSED_FROM, pa.string()), origin)
