"""Builds the final tables from what a run's directory holds, and from nothing else.

Takes outcome and frame parts block by block, in order; leaves final/*.pq, sorted by sort_index. Memory is bounded by
blocks, not by the number of specs; frames that weigh much wait in the temporary folder and get their index in pieces.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frames
from scythe_cli.columns.disk_table import DiskTable
from scythe_cli.core import layout
from scythe_cli.core.events import Gathered, GatherStarted, ignore
from scythe_cli.errors import KeyExists, NotFinishedError
from scythe_cli.operations.final_table import Clash, FinalTable, error_columns
from scythe_cli.operations.frame_pieces import pieces
from scythe_cli.run import outcomes
from scythe_cli.run.parts import CorruptPart, read_block, read_part, read_schema
from scythe_cli.run.state import list_marks, read_mark, read_state, remove_mark, set_aside, write_mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.core.events import Listener
    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

AHEAD = 16
"""Blocks that are read before their turn, at most."""
LATE_SECONDS = 0.01
"""Waiting so long for a block means that the store takes its time, and that more should be read ahead. On a disk more
threads than cores only get into each other's way."""
AHEAD_BYTES = 128 << 20
"""Their size in memory, as far as the last one tells."""
READERS = 16
UPLOADERS = 4
DECODERS = 2
"""Parts of frames that are unpacked at a time."""
SPILL_BYTES = 64 << 20
"""A block's frames that weigh more wait for their turn on the disk."""
PIECE_ROWS = 1 << 14
PIECE_BYTES = 16 << 20
"""Rows of frames that get their index at a time, and what they weigh with it, about."""
WRITERS = 2
"""Final tables whose row groups are encoded at a time."""


@dataclass(frozen=True)
class FinalReport:
    """What a gather left.

    Attributes:
        tables: the address of each final table by name, scalars first.
        rows: its rows.
        succeeded: specs in scalars.
        failed: specs in errors.
        missing: specs that have no outcome yet; 0 unless the tables are partial.
    """

    tables: dict[str, str]
    rows: dict[str, int]
    succeeded: int
    failed: int
    missing: int


@dataclass(frozen=True)
class _Block:
    """One block, read: its specs, its winning outcomes in row order, the frames of those, and its size in memory."""

    specs: pa.Table
    outcomes: pa.Table
    frames: list[tuple[str, pa.Table]]
    nbytes: int


def gather(run: Run, *, partial: bool = False, listener: Listener = ignore) -> FinalReport:
    """Build the final tables.

    Args:
        run: the run.
        partial: build them although specs are missing; the tables' metadata say so.
        listener: hears of progress.

    Raises:
        NotFinishedError: specs are missing and `partial` is false.
        StoreError: the store does not answer or refuses.
    """
    state = read_state(run)
    for part in state.corrupt:
        set_aside(run.store, part, "it could not be read")
    missing = state.total - state.done
    if missing and state.generation in state.marks.get("gathered", []):
        remove_mark(run.store, "gathered", state.generation)
    if missing and not partial:
        raise _incomplete(run, missing, state.corrupt)
    listener(GatherStarted(state.done))
    with tempfile.TemporaryDirectory(prefix="scythe-gather-") as folder:
        once = _Gather(run, state, Path(folder), listener)
        try:
            return once.build()
        except CorruptPart as exc:
            if not once.set_corrupt_aside():
                raise
            remove_mark(run.store, "gathered", state.generation)
            if not partial:
                raise _set_aside(run, exc) from exc
    return gather(run, partial=True, listener=listener)


def gathered(run: Run) -> FinalReport | None:
    """What the latest generation's gather left, by its own word; None where there was none."""
    generation = max(list_marks(run.store).get("generation", [0]))
    told = read_mark(run.store, "gathered", generation)
    if told is None or "rows" not in told:
        return None
    return FinalReport(
        tables={name: run.store.locate(layout.final(name)) for name in told["tables"]},
        rows=told["rows"],
        succeeded=told["succeeded"],
        failed=told["failed"],
        missing=0,
    )


def _incomplete(run: Run, missing: int, corrupt: list[PartName]) -> NotFinishedError:
    because = (
        f"; {len(corrupt)} parts could not be read, the first {run.store.locate(corrupt[0].key)}" if corrupt else ""
    )
    specs = "spec has" if run.total == 1 else "specs have"
    return NotFinishedError(
        f"{run.id}: {missing:,} of {run.total:,} {specs} no outcome yet{because}",
        hint=f"scythe allocate --resume {run.id}   or, for what there is:   scythe gather {run.id} --partial",
    )


def _set_aside(run: Run, exc: CorruptPart) -> NotFinishedError:
    return NotFinishedError(
        f"{exc}; it was set aside and its specs count as missing",
        hint=f"scythe allocate --resume {run.id}   or, for what there is:   scythe gather {run.id} --partial",
    )


class _Gather:
    def __init__(self, run: Run, state: RunState, folder: Path, listener: Listener) -> None:
        self._run = run
        self._state = state
        self._folder = folder
        self._listener = listener
        self._schema = read_schema(run.store)
        self._index = read_block(run.store, 0, run.manifest.index).schema.remove_metadata()
        self._tables: dict[str, FinalTable] = {}
        self._settlers: dict[int, int] = {}
        self._turns = BoundedSemaphore(DECODERS)

    def build(self) -> FinalReport:
        """Stream all blocks into local files, then put those in the store."""
        missing = self._state.total - self._state.done
        about = {"experiment_id": self._run.id, "partial": missing > 0, "specs": self._state.total, "missing": missing}
        with ExitStack() as stack:
            self._about, self._stack = about, stack
            self._readers = stack.enter_context(ThreadPoolExecutor(READERS, "scythe-read"))
            self._writers = stack.enter_context(ThreadPoolExecutor(WRITERS, "scythe-final"))
            self._open_own()
            seen = 0
            for block in self._blocks():
                self._add(block)
                seen += block.outcomes.num_rows
                self._listener(Gathered(seen))
        with ThreadPoolExecutor(UPLOADERS) as pool:
            list(pool.map(self._upload, self._tables))
        self._remove_others()
        self._mark_gathered(missing)
        return FinalReport(
            tables={name: self._run.store.locate(layout.final(name)) for name in self._tables},
            rows={name: table.rows for name, table in self._tables.items()},
            succeeded=self._tables[layout.SCALARS].rows,
            failed=self._tables[layout.ERRORS].rows,
            missing=missing,
        )

    def _upload(self, name: str) -> None:
        self._run.store.upload(layout.final(name), self._tables[name].path, consume=True)

    def _remove_others(self) -> None:
        """A frame that an earlier gather had and this one has not is no table of the run any more."""
        ours = {layout.final(name) for name in self._tables}
        for entry in list(self._run.store.list(layout.FINAL)):
            if entry.key.endswith(".pq") and entry.key not in ours:
                self._run.store.delete(entry.key)

    def _mark_gathered(self, missing: int) -> None:
        if missing:  # removed again: the run may have ended, and been gathered, since it was looked at
            remove_mark(self._run.store, "gathered", self._state.generation)
            return
        note = {
            "tables": list(self._tables),
            "rows": {name: table.rows for name, table in self._tables.items()},
            "succeeded": self._tables[layout.SCALARS].rows,
            "failed": self._tables[layout.ERRORS].rows,
        }
        try:
            write_mark(self._run.store, "gathered", self._state.generation, note)
        except KeyExists:
            return

    def _open(self, name: str, schema: pa.Schema) -> FinalTable:
        path = self._folder / f"{name}.pq"
        table = FinalTable(path, schema, index=self._index.names, about=self._about, writers=self._writers)
        self._stack.callback(table.close)
        self._tables[name] = table
        return table

    def _open_own(self) -> None:
        manifest = self._run.manifest
        scalars = [self._schema.field(name) for name in manifest.scalars]
        self._open(layout.SCALARS, pa.schema([*scalars, *self._index]))
        if manifest.files:
            files = [self._schema.field(name) for name in manifest.files]
            self._open(layout.FILE_REFS, pa.schema([*files, *self._index]))
        self._errors = error_columns(self._index.names)
        errors = [pa.field(new, self._schema.field(old).type) for old, new in self._errors.items()]
        self._open(layout.ERRORS, pa.schema([*errors, *self._index]))

    def _blocks(self) -> Iterator[_Block]:
        """Every block that has outcomes, in order, a few read ahead."""
        numbers = deque(number for number, block in sorted(self._state.blocks.items()) if block.rows)
        waiting: deque[Future[_Block]] = deque()
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
                    self._read_part(part, [])
                except CorruptPart as exc:
                    set_aside(self._run.store, part, str(exc))
                    found += 1
        return found

    def _read_part(self, part: PartName, held: list[int]) -> tuple[pa.Table, list[tuple[str, pa.Table]]]:
        """A part's outcomes, and its frames by name; `held` as `_read_frame` has it."""
        store = self._run.store
        table = read_part(store, part.key)
        return table, [(name, self._read_frame(part.frame_key(name), held)) for name in _frames_of(table)]

    def _read_frame(self, key: str, held: list[int]) -> pa.Table:
        """A frame of a part; `held` has what those of its block weigh, which wait on the disk past a size."""
        frame = read_part(self._run.store, key, turn=self._turns)
        held.append(frame.nbytes)
        if sum(held) <= SPILL_BYTES:
            return frame
        spill = DiskTable(frame.schema)
        spill.add(dict(zip(frame.column_names, frame.columns, strict=True)))
        return spill.table()

    def _read(self, number: int) -> _Block:
        specs = self._readers.submit(read_block, self._run.store, number, self._index.names)
        by_part = self._state.blocks[number].by_part
        weights: list[int] = []
        read = deque(self._readers.submit(self._read_part, part, weights) for part in by_part)
        rows, held = [], []
        for wanted in by_part.values():
            table, frames_of = read.popleft().result()
            table = table.cast(self._schema) if table.schema.equals(self._schema) else _fill(table, self._schema)
            rows.append(_only(table, wanted, outcomes.ROW))
            held += [(name, _only(frame, wanted, frames.ROW)) for name, frame in frames_of]
        joined = pa.concat_tables(rows) if len(rows) == 1 else pa.concat_tables(rows).sort_by(outcomes.ROW)
        index = specs.result()
        n_bytes = sum(table.nbytes for table in (index, joined, *(frame for _, frame in held)))
        return _Block(index, joined, held, n_bytes)

    def _add(self, block: _Block) -> None:
        table, offset = block.outcomes, (block.outcomes.column(outcomes.ROW)[0].as_py() // layout.BLOCK) * layout.BLOCK
        table = self._add_frames(block, table, offset)
        bad = pc.is_valid(table.column(outcomes.KIND))
        good, failed = (table, None) if not pc.any(bad).as_py() else (table.filter(pc.invert(bad)), table.filter(bad))
        index = _take(block.specs, good.column(outcomes.ROW), offset)
        self._tables[layout.SCALARS].add([*good.select(self._run.manifest.scalars).columns, *index.columns])
        if self._run.manifest.files:
            self._tables[layout.FILE_REFS].add([*good.select(self._run.manifest.files).columns, *index.columns])
        if failed is not None:
            index = _take(block.specs, failed.column(outcomes.ROW), offset)
            self._tables[layout.ERRORS].add([*failed.select(list(self._errors)).columns, *index.columns])

    def _add_frames(self, block: _Block, table: pa.Table, offset: int) -> pa.Table:
        """Append a block's frames; specs whose frame does not go with the others' become failures."""
        fitting: dict[str, list[pa.Table]] = {}
        misfits: dict[int, str] = {}
        block.frames.sort(key=_by_name_and_row)
        for name, frame in block.frames:
            if name not in self._tables:
                self._open_frame(name, frame)
            for row, clash in self._fit(name, frame, fitting.setdefault(name, [])):
                spec = _sort_index(block.specs, row - offset)
                misfits[row] = f"dataframes[{name!r}]: {clash.told} in spec {spec}{self._unlike(name, clash)}"
        block.frames.clear()
        while fitting:
            name, held = fitting.popitem()
            if held:
                refitted = [self._tables[name].refit(frame) for frame in held]
                held.clear()
                self._append_frame(name, refitted, block.specs, offset, misfits)
        return _with_misfits(table, misfits) if misfits else table

    def _unlike(self, name: str, clash: Clash) -> str:
        """Which spec another one clashes with: the one that settled the column's type."""
        row = self._tables[name].settled_by.get(clash.column or "")
        if row is None:
            return ""
        if row not in self._settlers:
            specs = read_block(self._run.store, layout.block_of(row), [layout.SORT_INDEX])
            self._settlers[row] = _sort_index(specs, row % layout.BLOCK)
        return f", unlike in spec {self._settlers[row]}"

    def _fit(self, name: str, frame: pa.Table, fitting: list[pa.Table]) -> Iterator[tuple[int, Clash]]:
        """Put a frame with those that fit; where it does not, spec by spec. Tell of the specs that do not fit."""
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
        self._open(name, pa.schema([*own, *self._index, pa.field(layout.SORT_SUBINDEX, pa.int64())]))

    def _append_frame(
        self, name: str, held: list[pa.Table], specs: pa.Table, offset: int, misfits: dict[int, str]
    ) -> None:
        table = self._tables[name]
        largest = _rows_within(PIECE_BYTES, [*held, specs])
        for piece in pieces(held, without=misfits, size=lambda: min(largest, table.room)):
            index = _take(specs, piece.column(frames.ROW), offset)
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


def _frames_of(table: pa.Table) -> list[str]:
    text = (table.schema.metadata or {}).get(outcomes.FRAMES_KEY, b"")
    return text.decode().split(",") if text else []


def _only(table: pa.Table, rows: list[int] | None, column: str) -> pa.Table:
    if rows is None:
        return table
    return table.filter(pc.is_in(table.column(column), value_set=pa.array(rows, type=pa.int64())))


def _fill(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part with another model's columns, as this run's: those it lacks are null."""
    names = set(table.column_names)
    return pa.table(
        [table.column(f.name).cast(f.type) if f.name in names else pa.nulls(len(table), f.type) for f in schema],
        schema=schema,
    )


def _take(specs: pa.Table, rows: pa.ChunkedArray[Any], offset: int) -> pa.Table:
    """The index columns of some rows; for all rows of the block, without a copy."""
    if len(rows) == specs.num_rows and rows[0].as_py() == offset and rows[-1].as_py() == offset + len(rows) - 1:
        return specs
    return specs.take(pc.subtract(rows, offset))


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
