"""Every failure of a run: those that count, and those of earlier attempts and generations.

Input: a run. Output: a table with a row for each attempt that failed. It works for a run that is not finished, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout
from scythe_cli.final_tables.final_table import attempt_columns
from scythe_cli.final_tables.index_columns import read_index
from scythe_cli.run.input_files import IndexNames
from scythe_cli.run.outcomes import GENERATION, IS_FINAL, KIND, ROW, START
from scythe_cli.run.parts import CorruptPart, read_part, read_schema
from scythe_cli.run.precedence import list_attempts
from scythe_cli.run.state import READERS, read_state

if TYPE_CHECKING:
    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run

_ADDED = (pa.field(GENERATION, pa.int64()), pa.field(IS_FINAL, pa.bool_()))


def every_attempt(run: Run) -> pa.Table:
    """A row for each attempt that failed, by spec, generation and start.

    The columns are those of `errors.pq`, where `attempts` is the number of the attempt; then `start`, `generation`, and
    `final`, whether the attempt is the result of its spec; then the index.
    """
    names = attempt_columns(run.manifest.index)
    table = failed_attempts(run)
    index = _index(run, table.column(ROW))
    chosen = table.select(list(names)).rename_columns(list(names.values()))
    return pa.table([*chosen.columns, *index.columns], schema=pa.schema([*chosen.schema, *index.schema]))


def failed_attempts(run: Run) -> pa.Table:
    """The attempts that failed as columns of outcomes. An object that cannot be read is left out."""
    state = read_state(run)
    schema = pa.schema([*read_schema(run.store), *_ADDED])
    counts = {part: rows for block in state.blocks.values() for part, rows in block.by_part.items()}
    with ThreadPoolExecutor(READERS) as pool:
        failed = [part for part in state.parts if part.failed]
        outcomes = pool.map(lambda part: _of_part(run, part, counts.get(part, [])), failed)
        attempts = pool.map(lambda found: _read(run, *found), list_attempts(run.store))
        tables = [_fit(table, schema) for table in [*outcomes, *attempts] if table is not None]
    whole = pa.concat_tables(tables) if tables else schema.empty_table()
    return whole.sort_by([(name, "ascending") for name in (ROW, GENERATION, START)])


def _of_part(run: Run, part: PartName, wins: list[int] | None) -> pa.Table | None:
    """The failures of a part. Those of the rows that it wins are final; None stands for all rows."""
    table = _read(run, part.key, part.generation)
    if table is None:
        return None
    rows = table.column(ROW)
    won: Any = pc.is_in(rows, value_set=rows if wins is None else pa.array(wins, pa.int64()))
    return table.set_column(table.num_columns - 1, _ADDED[1], won)


def _read(run: Run, key: str, generation: int) -> pa.Table | None:
    """The failures at a key, none of them final."""
    try:
        table = read_part(run.store, key)
    except CorruptPart:
        return None
    table = table.filter(pc.is_valid(table.column(KIND)))
    n = table.num_rows
    table = table.append_column(_ADDED[0], pa.repeat(pa.scalar(generation, pa.int64()), n))
    return table.append_column(_ADDED[1], pa.repeat(pa.scalar(False), n))


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """With the run's columns: code that was changed between two generations may have had others."""
    names = set(table.column_names)
    columns = [table.column(f.name).cast(f.type) if f.name in names else pa.nulls(len(table), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _index(run: Run, rows: pa.ChunkedArray[Any]) -> pa.Table:
    """The index columns of these rows, which are in order; a row may be there several times."""
    names, columns = IndexNames(run.store, run.id), run.manifest.index
    numbers = rows.to_numpy()
    found = [read_index(run.store, 0, columns, names).slice(0, 0)] if not len(rows) else []
    for block in np.unique(numbers // layout.BLOCK).tolist():
        own = numbers[numbers // layout.BLOCK == block] - block * layout.BLOCK
        found.append(read_index(run.store, block, columns, names).take(pa.array(own)))
    return pa.concat_tables(found)
