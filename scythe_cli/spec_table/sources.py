"""What every source of specs gives: names of columns, chunks of raw cells, and the place of each row.

Input: record batches. Output: a `SpecSource`. Nothing here knows types of fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.checks import pc
from scythe_cli.columns.column_values import NANOSECONDS
from scythe_cli.errors import TableError
from scythe_cli.spec_table.readers.pandas_index import indexed_batches, indexed_schema

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.columns.checks import Column

CHUNK = 32_768
"""Rows that are looked at together; of python objects, so many at a time."""

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
    faults: Callable[[int], Iterable[tuple[str, str]]] = field(default=lambda _: ())
    heads: Mapping[str, str] = field(default_factory=dict)
    lacks: Callable[[int, str], bool] = field(default=lambda _row, _column: False)


def from_batches(
    label: str, schema: pa.Schema, batches: Callable[[], Iterable[pa.RecordBatch]], *, prefix: str
) -> SpecSource:
    names = [name for name in indexed_schema(schema).names if not _is_pandas_index(name)]

    def chunks() -> Iterator[Chunk]:
        rows = 0
        try:
            for batch in indexed_batches(schema, batches(), label):
                held = list(enumerate(batch.schema.names))
                places = {name: place for place, name in reversed(held) if not _is_pandas_index(name)}
                for at in range(0, batch.num_rows, CHUNK):
                    part = batch.slice(at, CHUNK)
                    for name, place in places.items():
                        _refuse_nanoseconds(part.column(place), name, f"{prefix}{{}}", rows)
                    yield {name: _usual(part.column(place)) for name, place in places.items()}
                    rows += part.num_rows
        except (pa.ArrowException, OSError) as exc:
            raise TableError(f"{label} is cut off or damaged ({first_line(exc)})") from exc

    return SpecSource(label, ROWS, names, chunks, lambda row: f"{prefix}{row}")


def _refuse_nanoseconds(column: Column, name: str, place: str, first: int) -> None:
    """Raise `TableError` where microseconds do not hold a moment or a duration."""
    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) or kind.unit != "ns":
        return
    kept = pc.cast(_usual(column), kind)
    rows = pc.indices_nonzero(pc.fill_null(pc.not_equal(kept, column), False))
    if len(rows):
        row = rows[0].as_py()
        shown = f"{column[row].value} ns" if pa.types.is_duration(kind) else column[row].cast(pa.string()).as_py()
        raise TableError(f"{place.format(first + row)}  {name} = {shown}: {NANOSECONDS}")


def _is_pandas_index(name: str) -> bool:
    return name.startswith("__index_level_") and name.endswith("__")


def columns_of(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> Chunk:
    return {name: [row.get(name) for row in rows] for name in names}


def _usual(column: Column) -> Column:  # noqa: PLR0911 - one line for each pair of types
    """One of the types a column may have, in the form all other modules know."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _usual(column.dictionary).take(column.indices)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.binary())
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        return pc.cast(column, pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_duration(kind) and kind.unit != "us":
        return pc.cast(column, pa.duration("us"), safe=False)
    if pa.types.is_date64(kind):
        return column.cast(pa.date32())
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.cast(pa.float64())
    return column


def first_line(exc: BaseException) -> str:
    return str(exc).strip().partition("\n")[0]
