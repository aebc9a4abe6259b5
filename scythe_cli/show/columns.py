"""The specs of a run as one lazy table: inputs, outputs and how each spec ran, whether the run is finished or at work.

Input: a run and the names of columns. Output: a polars frame with a row for each spec in the order of specs.pq. Columns
of a finished run come from its final tables, those of any other run from the parts that count.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.run.input_files import IndexNames
from scythe_cli.run.state import READERS, list_marks, read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    import pyarrow as pa

    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run

OWN = (
    *("state", "kind", "attempts", "start", "duration", "worker", "generation", "reused_from"),
    *("error_type", "message"),
)
"""How a spec ran, as in execution.pq, and the two columns of errors.pq that a condition may be about."""
_OF_ERRORS = frozenset({"error_type", "message"})
_MADE = frozenset({"_state", "_generation"})
"""Not in parts: they follow from the kind, and from the name of the part."""


@dataclass(frozen=True)
class QueryColumns:
    """The columns that a condition may name.

    Attributes:
        inputs: input fields and computed features.
        outputs: scalar outputs.
        files: output files, as addresses.
        own: how a spec ran -> the column's name here, with an underscore after it where a field has that name.
    """

    inputs: list[str]
    outputs: list[str]
    files: list[str]
    own: dict[str, str]

    @classmethod
    def of(cls, run: Run) -> QueryColumns:
        """The columns of a run."""
        from scythe_cli.final_tables.final_table import free_name

        manifest = run.manifest
        inputs = [name for name in manifest.index if name not in layout.INDEX_HEAD]
        taken = {layout.SORT_INDEX, *inputs, *manifest.scalars, *manifest.files}
        return cls(inputs, list(manifest.scalars), list(manifest.files), {name: free_name(name, taken) for name in OWN})

    def names(self) -> list[str]:
        """All of them, inputs first."""
        return [*self.inputs, *self.outputs, *self.files, *self.own.values(), layout.SORT_INDEX]


def open_columns(run: Run, columns: QueryColumns, names: Iterable[str]) -> pl.LazyFrame:
    """A frame with `sort_index` and the columns asked for, a row for each spec in the order of specs.pq."""
    wanted = set(names)
    specs = _inputs(run, [name for name in columns.inputs if name in wanted])
    if not wanted - {*columns.inputs, layout.SORT_INDEX}:
        return specs
    final = _final_tables(run)
    outcomes = _from_parts(run, columns, wanted) if final is None else _from_final_tables(run, columns, wanted, final)
    for frame in outcomes:
        specs = specs.join(frame, on=layout.SORT_INDEX, how="left", maintain_order="left")
    return _with_missing(specs, columns, wanted)


def _with_missing(frame: pl.LazyFrame, columns: QueryColumns, wanted: set[str]) -> pl.LazyFrame:
    """The state of a spec without an outcome is `missing`."""
    import polars as pl

    state = columns.own["state"]
    return frame.with_columns(pl.col(state).fill_null("missing")) if state in wanted else frame


def _inputs(run: Run, names: Sequence[str]) -> pl.LazyFrame:
    """Input fields from specs.pq. The run's own files have the names that the final tables give them."""
    import polars as pl

    specs = run.store.scan([layout.SPECS]).select(layout.SORT_INDEX, *names)
    if not names:
        return specs
    known = IndexNames(run.store, run.id)
    for field in known.fields:
        if field in names:
            addresses = specs.select(pl.col(field).unique()).collect()[field].to_list()
            named = {address: known.name(field, address) for address in addresses if address is not None}
            specs = specs.with_columns(pl.col(field).replace(list(named), list(named.values())))
    return specs


def _final_tables(run: Run) -> dict[str, list[str]] | None:
    """The final tables, if they are complete and of the latest generation; None otherwise."""
    from scythe_cli.operations.scan import final_tables

    marks = list_marks(run.store)
    generation = max(marks.get(Mark.GENERATION, [0]))
    if generation not in marks.get(Mark.GATHERED, []):
        return None
    found = final_tables(run.store)
    return found if {layout.SCALARS, layout.ERRORS, layout.EXECUTION} <= set(found) else None


def _from_final_tables(
    run: Run, columns: QueryColumns, wanted: set[str], tables: dict[str, list[str]]
) -> list[pl.LazyFrame]:
    import polars as pl

    from scythe_cli.final_tables.final_table import error_columns, execution_columns
    from scythe_cli.operations.scan import execution_table
    from scythe_cli.run import outcomes

    index, part = run.manifest.index, {name: f"_{name}" for name in OWN}
    there = execution_columns(index) | {
        key: name for key, name in error_columns(index).items() if key in (outcomes.ERROR_TYPE, outcomes.MESSAGE)
    }
    own = {name: pl.col(there[part[name]]).alias(here) for name, here in columns.own.items() if here in wanted}
    groups: dict[str | None, list[Any]] = {
        execution_table(run, tables): [expr for name, expr in own.items() if name not in _OF_ERRORS],
        layout.ERRORS: [expr for name, expr in own.items() if name in _OF_ERRORS],
        layout.SCALARS: [pl.col(name) for name in columns.outputs if name in wanted],
        layout.FILE_REFS: [pl.col(name) for name in columns.files if name in wanted],
    }
    return [
        run.store.scan(tables[name]).select(layout.SORT_INDEX, *chosen)
        for name, chosen in groups.items()
        if chosen and name is not None and name in tables
    ]


def _from_parts(run: Run, columns: QueryColumns, wanted: set[str]) -> list[pl.LazyFrame]:
    """The outcomes that count, from the parts of the run."""
    import polars as pl

    state = read_state(run)
    own = {f"_{name}": here for name, here in columns.own.items() if here in wanted}
    fields = [name for name in (*columns.outputs, *columns.files) if name in wanted]
    todo = [(part, rows) for block in state.blocks.values() for part, rows in block.by_part.items()]
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda one: _of_part(run, one[0], one[1], own=own, fields=fields), todo)
        frames = [frame for frame in read if frame is not None]
    if not frames:
        schema: dict[str, Any] = {layout.SORT_INDEX: pl.Int64} | dict.fromkeys([*own.values(), *fields], pl.Null)
        schema |= {columns.own["state"]: pl.String, columns.own["duration"]: pl.Float64}
        return [pl.LazyFrame(schema={name: schema[name] for name in [layout.SORT_INDEX, *own.values(), *fields]})]
    return [pl.concat(frames, how="diagonal_relaxed").lazy()]


def _of_part(
    run: Run, part: PartName, rows: list[int] | None, *, own: dict[str, str], fields: list[str]
) -> pl.DataFrame | None:
    """The columns asked for of one part; None where it cannot be read, and its specs count as missing."""
    import polars as pl

    from scythe_cli.run import outcomes
    from scythe_cli.run.parts import CorruptPart

    try:
        table = _read_part(run, part, [name for name in own if name not in _MADE], fields)
    except CorruptPart:
        return None
    frame: Any = pl.from_arrow(table)
    if rows is not None:
        frame = frame.filter(pl.col(outcomes.ROW).is_in(rows))
    made = {
        outcomes.STATE: pl.when(pl.col(outcomes.KIND).is_null()).then(pl.lit("succeeded")).otherwise(pl.lit("failed")),
        outcomes.GENERATION: pl.lit(part.generation, pl.Int64),
    }
    there = set(frame.columns)
    chosen = [made[name] if name in made else _column(name, there) for name in own]
    chosen = [expr.alias(here) for expr, here in zip(chosen, own.values(), strict=True)]
    found: pl.DataFrame = frame.select(layout.SORT_INDEX, *chosen, *(_column(name, there) for name in fields))
    return found


def _read_part(run: Run, part: PartName, own: list[str], fields: list[str]) -> pa.Table:
    """Some columns of a part; all of one that lacks a column, as another version of the models makes them."""
    from scythe_cli.run import outcomes
    from scythe_cli.run.parts import CorruptPart, read_part

    wanted = dict.fromkeys([outcomes.ROW, layout.SORT_INDEX, outcomes.KIND, *own, *fields])
    if outcomes.REUSED_FROM not in wanted:
        with suppress(CorruptPart):
            return read_part(run.store, part.key, list(wanted))
    return read_part(run.store, part.key)


def _column(name: str, there: set[str]) -> pl.Expr:
    """A column of a part; null in one that a model without it made."""
    import polars as pl

    return pl.col(name) if name in there else pl.lit(None).alias(name)
