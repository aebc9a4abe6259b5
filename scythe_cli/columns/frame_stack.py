"""Frames of several specs as one table: columns by name, types widened where no value changes, labels of pandas kept.

Input: Arrow tables with headers. Output: one table with one header, and the frames that do not go with the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frame_types
from scythe_cli.columns.column_blocks import own_columns, pack, unpack
from scythe_cli.columns.frame_header import ROW, FrameHeader, read_header, with_metadata, write_header
from scythe_cli.columns.frame_labels import (
    UNNAMED_LEVEL,
    OtherLevels,
    check_levels,
    counts_rows,
    leader,
    merge_columns,
    merge_headers,
)
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, frame_types.UnsupportedType)
"""What a cast raises when it would change a value, or does not exist."""


def stack(tables: list[pa.Table]) -> tuple[pa.Table, list[int]]:
    """Stack frames of several specs: columns by name, absent ones null, types widened where no value changes.

    A column's type is that of its values. Where no frame has a value, the frames' declared types decide. Pandas frames
    must have the same levels.

    Returns:
        The stacked table of those that fit with the first, and the positions of those that do not.
    """
    first = tables[0].schema
    if all(table.schema.equals(first, check_metadata=True) for table in tables):
        return pa.concat_tables(tables), []
    headers = [read_header(table.schema) for table in tables]
    other_levels = _with_other_levels(headers, [bool(table.num_rows) for table in tables])
    going = [at for at in range(len(tables)) if at not in other_levels]
    counted = counted_columns([headers[at] for at in going], [tables[at].column_names for at in going])
    plain = [with_metadata(_with_counted(unpack(tables[at]), counted, headers[at]), None) for at in going]
    stacked, misfits = _stack_columns(plain)
    kept = [(headers[at], tables[at]) for place, at in enumerate(going) if place not in misfits]
    header = merge_headers(
        [(header, own_columns(table.schema)) for header, table in kept if table.num_rows or len(kept) == 1]
    )
    misfits = [*other_levels, *(going[place] for place in misfits)]
    return pack(write_header(stacked, arranged(header, stacked.column_names))), sorted(misfits)


def counted_columns(headers: Sequence[FrameHeader], names: Sequence[Sequence[str]]) -> list[str]:
    """The columns that are a row's place in its spec where a frame lacks them: `sort_subindex`, an unnamed index."""
    counted = [layout.SORT_SUBINDEX] if any(layout.SORT_SUBINDEX in of for of in names) else []
    if any(header.pandas and counts_rows(header.pandas.index_levels) for header in headers):
        counted.append(UNNAMED_LEVEL[0][0])
    return counted


def counts_from_zero(header: FrameHeader, names: Sequence[str]) -> list[str]:
    """The columns that a frame lacks and that are the place of each row: an unnamed index only where pandas counted."""
    numbered = header.pandas is not None and header.pandas.numbered
    columns = [layout.SORT_SUBINDEX, *([UNNAMED_LEVEL[0][0]] if numbered else [])]
    return [column for column in columns if column not in names]


def _with_counted(table: pa.Table, columns: Sequence[str], header: FrameHeader) -> pa.Table:
    for column in counts_from_zero(header, table.column_names):
        if column in columns:
            table = table.append_column(column, places(table))
    return table


def places(table: pa.Table) -> pa.Array[Any]:
    """The place of each row in its spec; the table has all rows of a spec together."""
    import numpy as np

    counted = np.arange(table.num_rows)
    if ROW in table.column_names and table.num_rows:
        rows = table.column(ROW).to_numpy()
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
        counted -= np.repeat(starts, np.diff(starts, append=table.num_rows))
    return cast("pa.Array[Any]", pa.array(counted, pa.int64()))


def arranged(header: FrameHeader, names: Sequence[str]) -> FrameHeader:
    """A merged header for a table of these columns."""
    levels = {*header.level_columns(), ROW, layout.SORT_SUBINDEX}
    columns = merge_columns([header.columns], [name for name in names if name not in levels])
    return FrameHeader(columns, (), header.pandas)


def _with_other_levels(headers: list[FrameHeader], with_rows: list[bool]) -> list[int]:
    first = leader(headers, with_rows)
    if first is None or first.pandas is None:
        return []
    others = []
    for at, (header, rows) in enumerate(zip(headers, with_rows, strict=True)):
        if header.pandas is not None and rows:
            try:
                check_levels(first.pandas, header.pandas)
            except OtherLevels:
                others.append(at)
    return others


def _stack_columns(tables: list[pa.Table]) -> tuple[pa.Table, list[int]]:
    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables), []
    value_schemas = [of_values(table) for table in tables]
    schema, misfits = pa.schema([]), []
    for at in sorted(range(len(tables)), key=lambda at: not tables[at].num_rows):
        wider = widen(schema, value_schemas[at])
        if wider is None:
            misfits.append(at)
        else:
            schema = wider
    schema = fill_missing_types(schema, [table.schema for at, table in enumerate(tables) if at not in misfits])
    fitted: list[pa.Table] = []
    leader: pa.Schema | None = None
    for at, table in enumerate(tables):
        if at in misfits:
            continue
        try:
            fitted.append(fit(table, schema))
        except NO_FIT:
            if leader is None:
                alike = [_has_no_values(other) or other.equals(value_schemas[at]) for other in value_schemas]
                stacked, _ = _stack_columns([other for other, same in zip(tables, alike, strict=True) if same])
                return stacked, [other for other, same in enumerate(alike) if not same]
            misfits.append(at)
        else:
            leader = leader or (None if _has_no_values(value_schemas[at]) else value_schemas[at])
    return pa.concat_tables(fitted), sorted(misfits)


def of_values(table: pa.Table) -> pa.Schema:
    """The table's columns with the types that their values give them: null, where a column has none."""
    return pa.schema([f if has_values(table.column(f.name)) else pa.field(f.name, pa.null()) for f in table.schema])


def has_values(column: pa.ChunkedArray[Any]) -> bool:
    """Whether a column has a value, and with it a type that must not change."""
    return column.null_count < len(column)


def fill_missing_types(schema: pa.Schema, others: list[pa.Schema]) -> pa.Schema:
    """A schema whose columns without values get the type that other schemas give them, whichever of these is first.

    Where they do not agree on one it is text: no value is there to differ.
    """
    kinds: dict[str, pa.DataType] = {f.name: f.type for f in schema if pa.types.is_null(f.type)}
    for f in (f for other in others for f in other if f.name in kinds):
        if f.type != kinds[f.name]:
            wider = widen(pa.schema([(f.name, kinds[f.name])]), pa.schema([f]))
            kinds[f.name] = pa.string() if wider is None else wider.field(0).type
    return pa.schema([f.with_type(kinds[f.name]) if f.name in kinds else f for f in schema])


def _has_no_values(schema: pa.Schema) -> bool:
    return all(pa.types.is_null(field.type) for field in schema)


def is_sorted(rows: pa.ChunkedArray[Any]) -> bool:
    """Whether row numbers do not fall."""
    least = pc.min(pc.pairwise_diff(rows.combine_chunks())).as_py()
    return least is None or bool(least >= 0)


def widen(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """The narrowest schema that holds both, or None when a column's types have nothing in common."""
    try:
        wider = pa.unify_schemas([one, other], promote_options="permissive")
        if any(pa.types.is_binary(f.type) and _is_text_in_one(f.name, one, other) for f in wider):
            return None
        # two decimals may meet in one of more digits than polars reads; where its own are enough, that is a fit
        return pa.schema(
            [f.with_type(frame_types.storable(f.type)) if pa.types.is_decimal256(f.type) else f for f in wider]
        )
    except NO_FIT:
        return None


def _is_text_in_one(name: str, *schemas: pa.Schema) -> bool:
    """Whether a column of bytes is one of text in a schema: arrow would take text for bytes."""
    kinds = [schema.field(name).type for schema in schemas if schema.get_field_index(name) >= 0]
    return any(pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in kinds)


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with a wider schema's columns. Raises one of `NO_FIT` when a value would change."""
    if table.schema.equals(schema):
        return table
    names = set(table.column_names)
    columns = [
        _exactly(table.column(f.name), f.type)
        if f.name in names and has_values(table.column(f.name))
        else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _exactly(column: pa.ChunkedArray[Any], wanted: pa.DataType) -> pa.ChunkedArray[Any]:
    """A column as a wider type. Arrow sees to it that no value changes, but where decimals become floating numbers."""
    if not _become_floats(column.type, wanted):
        return cast("pa.ChunkedArray[Any]", column.cast(wanted))
    if not pa.types.is_nested(wanted):
        floats: Any = column.cast(pa.string()).cast(wanted)  # by digits: arrow's own way is off by one in the last
        if floats.cast(pa.string()).cast(column.type).equals(column):
            return cast("pa.ChunkedArray[Any]", floats)
    raise pa.ArrowInvalid(f"a {column.type} has more digits than a {wanted} keeps")


def _become_floats(one: Any, wider: Any) -> bool:
    """Whether decimals anywhere in a type are floating numbers in the other."""
    if pa.types.is_struct(one):
        return any(_become_floats(field.type, wider.field(field.name).type) for field in one)
    if pa.types.is_nested(one):
        return any(_become_floats(one.field(at).type, wider.field(at).type) for at in range(one.num_fields))
    return pa.types.is_decimal(one) and pa.types.is_floating(wider)
