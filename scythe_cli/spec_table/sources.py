"""What every source of specs gives: names of columns, chunks of raw cells, and the place of each row.

Input: record batches. Output: a `SpecSource`. Nothing here knows types of fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.errors import TableError
from scythe_cli.spec_table.readers.pandas_index import indexed_batches, indexed_schema
from scythe_cli.spec_table.readers.table_columns import refuse_periods, usual_column

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.columns.checks import Column

CHUNK = 32_768
"""Rows that are looked at together; of python objects, so many at a time."""

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""A cell of a mapping that does not have the key, where None is a value that somebody wrote."""

Chunk = dict[str, "Column | list[Any]"]
"""Cells of some rows by column; a list where they are python objects."""


ROWS = "rows are counted from 0"


@dataclass
class SpecSource:
    """Rows to be checked.

    Attributes:
        label: how messages call it.
        counting: how its rows are counted.
        columns: their names, as found.
        chunks: the rows, some at a time; to be read once.
        where: the place of a row.
        folder: what relative paths in it start from first, when it is a file.
        empty_is_null: whether it is a sheet of cells, where text without a character is an empty cell.
        decimal: the mark between the whole part and the fraction of a number in text.
        none_is_explicit: whether somebody wrote None, and it is a value.
        keeps_nulls: whether a null is a value where the field takes None, rather than an empty cell that takes the
            default.
        faults: once the chunks are read, places that are not rows, and why; among the first so many rows.
        heads: the place where a column first appears, by name, for sources without a header.
        lacks: whether a row does not have a column at all, where rows are mappings.
    """

    label: str
    counting: str
    columns: list[str]
    chunks: Callable[[], Iterator[Chunk]]
    where: Callable[[int], str]
    folder: Path | None = None
    empty_is_null: bool = False
    decimal: str = "."
    none_is_explicit: bool = False
    keeps_nulls: bool = False
    faults: Callable[[int], Iterable[tuple[str, str]]] = field(default=lambda _: ())
    heads: Mapping[str, str] = field(default_factory=dict)
    lacks: Callable[[int, str], bool] = field(default=lambda _row, _column: False)


def from_batches(
    label: str,
    schema: pa.Schema,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    *,
    prefix: str,
    mixed: frozenset[str] = frozenset(),
) -> SpecSource:
    """A source of record batches; columns of which the types differ, `mixed`, are Python's values."""
    refuse_periods(schema, label)
    names = [name for name in indexed_schema(schema).names if not _is_pandas_index(name)]

    def chunks() -> Iterator[Chunk]:
        rows = 0
        try:
            for batch in indexed_batches(schema, batches(), label):
                held = list(enumerate(batch.schema.names))
                places = {name: place for place, name in reversed(held) if not _is_pandas_index(name)}
                for at in range(0, batch.num_rows, CHUNK):
                    part = batch.slice(at, CHUNK)
                    where = partial(_place, prefix, rows)
                    found = {name: usual_column(part.column(place), name, where) for name, place in places.items()}
                    yield {name: _objects(column) if name in mixed else column for name, column in found.items()}
                    rows += part.num_rows
        except (pa.ArrowException, OSError) as exc:
            raise TableError(f"{label} is cut off or damaged ({first_line(exc)})") from exc

    return SpecSource(label, ROWS, names, chunks, lambda row: f"{prefix}{row}")


def _place(prefix: str, first: int, row: int) -> str:
    return f"{prefix}{first + row}"


def _objects(column: Column | list[Any]) -> list[Any]:
    return column if isinstance(column, list) else column.to_pylist()


def _is_pandas_index(name: str) -> bool:
    return name.startswith("__index_level_") and name.endswith("__")


def columns_of(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> Chunk:
    return {name: [row.get(name, ABSENT) for row in rows] for name in names}


def first_line(exc: BaseException) -> str:
    return str(exc).strip().partition("\n")[0]
