"""Builds the final tables from what a run's directory holds, and from nothing else.

Input: outcome and frame parts, block by block, in order. Output: final/*.pq, sorted by sort_index. Memory is bounded by
blocks, not by the number of specs.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout, processes
from scythe_cli.core.clock import Clock
from scythe_cli.core.events import Gathered, GatherStarted, ignore
from scythe_cli.core.layout import Mark
from scythe_cli.errors import NotFinishedError
from scythe_cli.final_tables.execution_table import ExecutionTable
from scythe_cli.final_tables.final_table import FinalTable, error_columns, free_name
from scythe_cli.final_tables.frame_table import FrameTable
from scythe_cli.final_tables.index_columns import take_index
from scythe_cli.final_tables.publish import FinishedTable, mark_gathered, publish
from scythe_cli.final_tables.shown_folders import show_folders
from scythe_cli.operations.gather_blocks import BlockReader
from scythe_cli.operations.gather_frames import FrameTables, with_misfits
from scythe_cli.operations.output_counter import OutputCounter
from scythe_cli.operations.output_counts import OutputCounts, as_note, from_note
from scythe_cli.run import outcomes
from scythe_cli.run.compatibility import refuse_wrong_total
from scythe_cli.run.generation import max_file
from scythe_cli.run.input_files import IndexNames
from scythe_cli.run.parts import CorruptPart, PartWriter, read_block
from scythe_cli.run.state import list_marks, read_mark, read_state, refuse_removed, remove_mark, set_aside
from scythe_cli.timing.durations import DurationCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from scythe_cli.core.events import Listener
    from scythe_cli.core.layout import PartName
    from scythe_cli.operations.gather_blocks import LoadedBlock
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

WRITERS = 2
"""Final tables whose row groups are encoded at a time."""


@dataclass(frozen=True)
class FinalReport:
    """What a gather wrote.

    Attributes:
        tables: the address of each final table by name, scalars first.
        rows: its rows.
        succeeded: specs in scalars.
        failed: specs in errors.
        missing: specs without a result; 0 unless the tables are partial.
        outputs: what is conspicuous about each output; empty where it is not known.
    """

    tables: dict[str, str]
    rows: dict[str, int]
    succeeded: int
    failed: int
    missing: int
    outputs: dict[str, OutputCounts] = field(default_factory=dict)


def gather(run: Run, *, partial: bool = False, listener: Listener = ignore) -> FinalReport:
    """Build the final tables.

    Args:
        run: the run.
        partial: build them even if some specs have no outcome yet; the tables' metadata say so.
        listener: gets the progress.

    Raises:
        NotFinishedError: specs are missing and `partial` is false.
        StoreError: the store does not answer or refuses.
    """
    processes.share_heaps()
    _give_memory_back()
    state = read_state(run)
    refuse_removed(run, state.marks)
    refuse_wrong_total(run)
    for part in state.corrupt:
        set_aside(run.store, part, "it could not be read")
    missing = state.total - state.done
    if missing and state.generation in state.marks.get(Mark.GATHERED, []):
        remove_mark(run.store, Mark.GATHERED, state.generation)
    if missing and not partial:
        raise _incomplete(run, missing, state.corrupt)
    listener(GatherStarted(state.done))
    with tempfile.TemporaryDirectory(prefix="scythe-gather-") as folder:
        once = _Gather(run, state, Path(folder), listener, partial=partial)
        try:
            return once.build()
        except CorruptPart as exc:
            if not once.set_corrupt_aside():
                raise
            remove_mark(run.store, Mark.GATHERED, state.generation)
            if not partial:
                raise _set_aside(run, exc) from exc
        finally:
            del once
            _give_memory_back()
    return gather(run, partial=True, listener=listener)


def _give_memory_back() -> None:
    """Before and after, for what ran before and runs next needs memory of its own."""
    pa.default_memory_pool().release_unused()
    processes.give_memory_back()


def gathered(run: Run) -> FinalReport | None:
    """What the latest generation's gather wrote, as its mark says; None where there was none."""
    generation = max(list_marks(run.store).get(Mark.GENERATION, [0]))
    note = read_mark(run.store, Mark.GATHERED, generation)
    if note is None or "rows" not in note:
        return None
    return FinalReport(
        tables={name: run.store.locate(layout.final(name)) for name in note["tables"]},
        rows=note["rows"],
        succeeded=note["succeeded"],
        failed=note["failed"],
        missing=0,
        outputs=from_note(note, run.manifest.scalars),
    )


def _incomplete(run: Run, missing: int, corrupt: list[PartName]) -> NotFinishedError:
    because = ""
    if corrupt:
        one = run.store.locate(corrupt[0].key)
        because = (
            f"; {one} could not be read"
            if len(corrupt) == 1
            else f"; {len(corrupt)} parts could not be read, the first {one}"
        )
    specs = "spec has" if run.total == 1 else "specs have"
    return NotFinishedError(
        f"{run.id}: {missing:,} of {run.total:,} {specs} no outcome yet{because}",
        hint=f"scythe allocate --resume {run.id}   or, to build the tables without them:   scythe gather "
        f"{run.id} --partial",
    )


def _set_aside(run: Run, exc: CorruptPart) -> NotFinishedError:
    return NotFinishedError(
        f"{exc}; it was set aside and its specs count as missing",
        hint=f"scythe allocate --resume {run.id}   or, to build the tables without them:   scythe gather "
        f"{run.id} --partial",
    )


class _Gather:
    """One attempt to build the final tables, in local files first."""

    def __init__(self, run: Run, state: RunState, folder: Path, listener: Listener, *, partial: bool) -> None:
        self._run = run
        self._state = state
        self._folder = folder
        self._listener = listener
        self._partial = partial
        self._index = read_block(run.store, 0, run.manifest.index).schema.remove_metadata()
        self._tables: dict[str, FinalTable] = {}
        self._numbers = count()
        self._blocks = BlockReader(run.store, state, self._index.names, IndexNames(run.store, run.id))
        self._schema = self._blocks.schema
        self._counter = OutputCounter(run.manifest.scalars)
        self._durations = DurationCounter()
        self._frames = FrameTables(run.store, self._open_frame)

    @cached_property
    def _max_file(self) -> int:
        """Only a run with frames asks: its settings are read for it."""
        return max_file(self._run.store, self._state.generation)

    def build(self) -> FinalReport:
        """Stream all blocks into local files, then put those in the store."""
        missing = self._state.total - self._state.done
        about = {"experiment_id": self._run.id, "partial": missing > 0, "specs": self._state.total, "missing": missing}
        with ExitStack() as stack:
            self._about, self._stack = about, stack
            stack.callback(self._blocks.close)
            self._writers = stack.enter_context(ThreadPoolExecutor(WRITERS, "scythe-final"))
            self._open_own()
            seen = 0
            for block in self._blocks.blocks():
                self._add(block)
                seen += block.outcomes.num_rows
                self._listener(Gathered(seen))
            tables = self._finish()
        if missing:
            self._publish_partial(tables)
        else:
            publish(self._run.store, tables, self._state.generation)
            show_folders(self._run, self._state)
            mark_gathered(self._run.store, tables, self._state.generation, about=self._about_outcomes())
        return FinalReport(
            tables={name: self._run.store.locate(layout.final(name)) for name in tables},
            rows={name: table.rows for name, table in tables.items()},
            succeeded=tables[layout.SCALARS].rows,
            failed=tables[layout.ERRORS].rows,
            missing=missing,
            outputs=self._counter.counts(),
        )

    def _publish_partial(self, tables: dict[str, FinishedTable]) -> None:
        """Another process may have gathered the run since this one began: its mark is not true of these tables."""
        self._remove_latest_mark()
        publish(self._run.store, tables, self._state.generation)
        self._remove_latest_mark()

    def _remove_latest_mark(self) -> None:
        """That of the latest generation, which may have begun since this gather did."""
        latest = max(list_marks(self._run.store).get(Mark.GENERATION, [0]))
        remove_mark(self._run.store, Mark.GATHERED, latest)

    def _about_outcomes(self) -> dict[str, Any]:
        """What `status` says of a finished run without reading its tables."""
        durations = self._durations.result()
        known = {"durations": durations.as_note()} if durations is not None else {}
        return {"outputs": as_note(self._counter.counts()), **known}

    def _finish(self) -> dict[str, FinishedTable]:
        tables = {name: table.finish() for name, table in self._tables.items()}
        tables |= {name: table.finish() for name, table in self._frames.tables.items()}
        tables[free_name(layout.EXECUTION, tables)] = self._execution.table.finish()  # a frame keeps the name
        return tables

    def set_corrupt_aside(self) -> int:
        """Set aside the parts that cannot be read; how many."""
        return self._blocks.set_corrupt_aside()

    def _open(self, name: str, schema: pa.Schema, on_group: Callable[[pa.Table], None] | None = None) -> None:
        self._tables[name] = self._start_table(schema, on_group)

    def _path(self) -> Path:
        return self._folder / f"{next(self._numbers)}.pq"

    def _open_frame(self) -> FrameTable:
        table = FrameTable(self._path, self._index, self._about, max_file=self._max_file, writers=self._writers)
        self._stack.callback(table.close)
        return table

    def _start_table(self, schema: pa.Schema, on_group: Callable[[pa.Table], None] | None = None) -> FinalTable:
        path, index = self._path(), self._index.names
        table = FinalTable(path, schema, index=index, about=self._about, writers=self._writers, on_group=on_group)
        self._stack.callback(table.close)
        return table

    def _open_own(self) -> None:
        manifest = self._run.manifest
        scalars = [self._schema.field(name) for name in manifest.scalars]
        self._open(layout.SCALARS, pa.schema([*scalars, *self._index]), self._counter.add)
        if manifest.files:
            files = [self._schema.field(name) for name in manifest.files]
            self._open(layout.FILE_REFS, pa.schema([*files, *self._index]))
        self._errors = error_columns(self._index.names)
        errors = [pa.field(new, self._schema.field(old).type) for old, new in self._errors.items()]
        self._open(layout.ERRORS, pa.schema([*errors, *self._index]))
        self._execution = ExecutionTable(self._start_table, self._schema, self._index)

    def _add(self, block: LoadedBlock) -> None:
        table, number = block.outcomes, block.outcomes.column(outcomes.ROW)[0].as_py() // layout.BLOCK
        offset = number * layout.BLOCK
        if misfits := self._frames.add(block, offset):
            table = with_misfits(table, misfits, self._state.generation)
            self._keep_misfits(table, number, misfits)
        kinds = table.column(outcomes.KIND)
        good, failed = table, None
        if kinds.null_count < len(kinds):
            good, failed = table.filter(pc.is_null(kinds)), table.filter(pc.is_valid(kinds))
        self._durations.add(table)
        self._execution.add(table, take_index(block.specs, table.column(outcomes.ROW), offset))
        index = take_index(block.specs, good.column(outcomes.ROW), offset)
        self._tables[layout.SCALARS].add([*good.select(self._run.manifest.scalars).columns, *index.columns])
        if self._run.manifest.files:
            self._tables[layout.FILE_REFS].add([*good.select(self._run.manifest.files).columns, *index.columns])
        if failed is not None:
            self._counter.add_failed(failed)
            index = take_index(block.specs, failed.column(outcomes.ROW), offset)
            self._tables[layout.ERRORS].add([*failed.select(list(self._errors)).columns, *index.columns])

    def _keep_misfits(self, table: pa.Table, block: int, misfits: Collection[int]) -> None:
        """Write the failures of specs whose frame does not fit, so that a resume runs them and every count has them.

        Not while specs are missing or may run: another one may yet be the first.
        """
        if self._partial:
            return
        hit = pc.is_in(table.column(outcomes.ROW), value_set=pa.array(sorted(misfits), pa.int64()))
        failures = table.filter(hit).select(self._schema.names)
        for name in (*self._run.manifest.scalars, *self._run.manifest.files):
            at = self._schema.get_field_index(name)
            failures = failures.set_column(
                at, self._schema.field(at), pa.nulls(len(failures), self._schema.field(at).type)
            )
        series = layout.GATHER_PARTS + int(Clock.time() * 1000)  # a name of its own, also where one was set aside
        writer = PartWriter(self._run.store, generation=self._state.generation, flush=0.0, series=series)
        try:
            writer.add_table(block, failures)
            writer.finish()
        finally:
            writer.close()
