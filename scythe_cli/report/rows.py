"""The finished rows of a run, block by block, as numbers.

Input: a run's directory and its state; a run that is not finished too. Output: a `ReportBlock` for each block with
outcomes: inputs, outputs, failures and durations as arrays of floats, where a category is the number of its level and
NaN is a value that is missing.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scythe_cli.core import layout, processes
from scythe_cli.operations.output_counter import OutputCounter
from scythe_cli.report.fields import ModelTexts, kind_of
from scythe_cli.run import outcomes
from scythe_cli.run.input_files import IndexNames
from scythe_cli.run.parts import CorruptPart, read_block, read_part, read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.core.layout import PartName
    from scythe_cli.report.document import FieldText
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

Floats: TypeAlias = NDArray[np.float64]

MOST_LEVELS = 10_000
"""A text field with more values is free text: nothing is counted by it."""
FEW_LEVELS = 48
LEAST_REPEATS = 10
"""More levels than these few must be met so often on average."""
READERS = 4
CACHE_BYTES = 1 << 30
"""Arrays that are kept for the second pass; past that, blocks are read twice."""
_OUTCOMES = (
    *(outcomes.ROW, layout.SORT_INDEX, outcomes.KIND, outcomes.PLACE, outcomes.MESSAGE),
    outcomes.ERROR_TYPE,
    *(outcomes.ATTEMPTS, outcomes.START, outcomes.DURATION, outcomes.WORKER),
)


@dataclass(frozen=True)
class ReportBlock:
    """The finished rows of one block.

    Attributes:
        block: its number.
        rows: the numbers of the rows.
        inputs: one array for each input field.
        outputs: one array for each output field; NaN where a spec failed.
        failed: whether each row failed.
        durations: seconds.
        specs: the inputs as the run has them.
        outcomes: of the same rows.
    """

    block: int
    rows: NDArray[np.int64]
    inputs: list[Floats]
    outputs: list[Floats]
    failed: NDArray[np.bool_]
    durations: Floats
    specs: pa.Table | None
    outcomes: pa.Table | None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(one.nbytes for one in (*self.inputs, *self.outputs, self.failed, self.durations, self.rows))


class TextLevels:
    """The values of a text column, in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values = 0
        self._closed = self._frozen = False

    def freeze(self) -> None:
        """Count no more: what is encoded from now on was met before."""
        self._frozen = True

    @property
    def free_text(self) -> bool:
        """Whether these are not the levels of a category: there are too many, or each is met a few times only."""
        n = len(self._numbers)
        return self._closed or n > max(FEW_LEVELS, self._values // LEAST_REPEATS)

    @property
    def values(self) -> list[str]:
        """The values; the number of a value is its place. None of free text."""
        return [] if self.free_text else list(self._numbers)

    def encode(self, column: pa.ChunkedArray[Any]) -> Floats:
        """The number of each value; NaN where there is none."""
        if self._closed:
            return np.full(len(column), np.nan)
        coded: Any = column.combine_chunks().dictionary_encode()
        texts = coded.dictionary.to_pylist()
        if not self._frozen:
            for text in texts:
                self._numbers.setdefault(text, len(self._numbers))
            self._closed = len(self._numbers) > MOST_LEVELS
            self._values += len(column) - column.null_count
        numbers = [self._numbers.get(text, np.nan) for text in texts]
        indices = coded.indices.to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(indices)
        found = np.full(len(column), np.nan)
        found[known] = np.asarray(numbers, dtype=np.float64)[indices[known].astype(np.int64)]
        return found


class RowReader:
    """Reads the finished rows of a run, as often as one asks.

    Args:
        run: the run.
        state: which outcomes count.
    """

    def __init__(self, run: Run, state: RunState) -> None:
        self._store = run.store
        self._state = state
        self._names = IndexNames(run.store, run.id)
        self._schema = read_schema(run.store)
        texts = ModelTexts(run.store)
        fields = [name for name in run.manifest.index if name not in layout.INDEX_HEAD]
        self._numbers = [number for number, block in sorted(state.blocks.items()) if block.rows]
        specs = read_block(run.store, 0, fields).schema if run.total else pa.schema([])
        self.inputs: list[FieldText] = [texts.field(texts.inputs, specs.field(name)) for name in specs.names]
        names = set(self._schema.names)
        scalars = [name for name in run.manifest.scalars if name in names]
        self.outputs: list[FieldText] = [texts.field(texts.outputs, self._schema.field(name)) for name in scalars]
        self.description = " ".join(str(texts.inputs.get("description") or "").split())
        self.input_levels = [TextLevels() for _ in self.inputs]
        self.output_levels = [TextLevels() for _ in self.outputs]
        self.counter = OutputCounter(scalars)
        self.unreadable: set[str] = set()
        self._kept: list[ReportBlock] = []
        self._room = min(CACHE_BYTES, processes.available_memory() // 4)
        self._complete = False

    def first_pass(self) -> Iterator[ReportBlock]:
        """Every block, with its tables; the output counter counts what it sees."""
        for number, specs, rows in self._ahead():
            chunk = self._chunk(number, specs, rows)
            good, bad = rows.filter(pa.array(~chunk.failed)), rows.filter(pa.array(chunk.failed))
            self.counter.add(good)
            self.counter.add_failed(bad)
            if self._room > 0:
                self._room -= chunk.nbytes
                self._kept.append(_without_tables(chunk))
            yield chunk
        self._complete = self._room > 0
        for levels in (*self.input_levels, *self.output_levels):
            levels.freeze()

    def second_pass(self) -> Iterator[ReportBlock]:
        """The same blocks, without their tables."""
        if self._complete:
            yield from self._kept
            return
        self._kept.clear()
        for number, specs, rows in self._ahead():
            yield self._chunk(number, specs, rows)

    def _ahead(self) -> Iterator[tuple[int, pa.Table, pa.Table]]:
        """Blocks in order, a few of them read before their turn."""
        waiting = deque(self._numbers)
        with ThreadPoolExecutor(READERS, "scythe-report") as pool:
            reading = deque(pool.submit(self._read, waiting.popleft()) for _ in range(min(READERS, len(waiting))))
            while reading:
                found = reading.popleft().result()
                if waiting:
                    reading.append(pool.submit(self._read, waiting.popleft()))
                if found[2].num_rows:
                    yield found

    def _read(self, number: int) -> tuple[int, pa.Table, pa.Table]:
        tables = [self._read_part(part, rows) for part, rows in self._state.blocks[number].by_part.items()]
        rows = pa.concat_tables(tables)
        if len(tables) > 1:
            rows = rows.sort_by(outcomes.ROW)
        specs = read_block(self._store, number, [field.name for field in self.inputs])
        at = pc.subtract(rows.column(outcomes.ROW), pa.scalar(number * layout.BLOCK, pa.int64()))
        return number, specs.take(at), rows

    def _read_part(self, part: PartName, wanted: list[int] | None) -> pa.Table:
        """The outcomes that count in a part, without logs and tracebacks; no rows where it cannot be read."""
        names = [*_OUTCOMES, *(field.name for field in self.outputs)]
        schema = pa.schema([self._schema.field(name) for name in names])
        try:
            table = read_part(self._store, part.key, names).cast(schema)
        except (CorruptPart, pa.ArrowException, ValueError):
            try:  # a resume with changed code may have written other columns
                table = _filled(read_part(self._store, part.key), schema)
            except (CorruptPart, pa.ArrowException, ValueError):
                self.unreadable.add(part.key)
                return schema.empty_table()
        if wanted is None:
            return table
        return table.filter(pc.is_in(table.column(outcomes.ROW), value_set=pa.array(wanted, pa.int64())))

    def _chunk(self, number: int, specs: pa.Table, rows: pa.Table) -> ReportBlock:
        for field in self._names.fields:
            if field in specs.column_names:
                names = [self._names.name(field, address) for address in specs.column(field).to_pylist()]
                specs = specs.set_column(specs.column_names.index(field), field, pa.array(names, pa.string()))
        return ReportBlock(
            block=number,
            rows=rows.column(outcomes.ROW).to_numpy(),
            inputs=_numbers(specs, self.inputs, self.input_levels),
            outputs=_numbers(rows, self.outputs, self.output_levels),
            failed=pc.is_valid(rows.column(outcomes.KIND)).to_numpy(zero_copy_only=False),
            durations=_as_floats(rows.column(outcomes.DURATION)),
            specs=specs,
            outcomes=rows,
        )


def _without_tables(chunk: ReportBlock) -> ReportBlock:
    return ReportBlock(
        chunk.block, chunk.rows, chunk.inputs, chunk.outputs, chunk.failed, chunk.durations, specs=None, outcomes=None
    )


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part with other columns, as this run's: those it lacks are null."""
    names = set(table.column_names)
    columns = [
        table.column(one.name).cast(one.type) if one.name in names else pa.nulls(len(table), one.type) for one in schema
    ]
    return pa.table(columns, schema=schema)


def _numbers(table: pa.Table, fields: list[FieldText], levels: list[TextLevels]) -> list[Floats]:
    found = []
    for field, known in zip(fields, levels, strict=True):
        column = table.column(field.name)
        found.append(known.encode(column) if field.kind == "category" else _as_floats(column))
    return found


def _as_floats(column: pa.ChunkedArray[Any]) -> Floats:
    """A column as floats: dates in days since 1970, durations in seconds; NaN where there is nothing to count."""
    kind = kind_of(column.type)
    if kind in {"other", "category"}:
        return np.full(len(column), np.nan)
    if kind == "date":
        column = column.cast(pa.timestamp("us") if not pa.types.is_timestamp(column.type) else column.type)
        return _as_floats(column.cast(pa.int64())) / 86_400e6
    if pa.types.is_duration(column.type):
        return _as_floats(column.cast(pa.int64())) / 1e6
    if kind == "boolean":
        column = column.cast(pa.int8())
    found: Floats = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64, copy=False)
    return found
