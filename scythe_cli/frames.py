"""A user's tables: anything with the Arrow C stream becomes an Arrow table of plain types.

Takes what stands in `dataframes` of one output and leaves an Arrow table whose columns have text names and types that
parquet, pandas and polars read alike, without the index columns it may have brought along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli import layout
from scythe_cli.specs import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = "_row"
"""The row number of the spec a frame's row belongs to."""


class BadFrame(ValueError):
    """A frame that cannot become a final table: its name, its type, its columns."""


def check_name(name: object) -> str:
    """The frame's name, if it can name a file and no table of scythe's own."""
    if not isinstance(name, str) or not layout.is_safe_name(name):
        raise BadFrame(f"dataframes[{name!r}]: the name must be letters, digits, '.', '-' and '_', at most 100 of them")
    if name in layout.RESERVED_FRAMES:
        raise BadFrame(f"dataframes[{name!r}]: the name belongs to scythe's own table; choose another")
    return name


def to_arrow(name: str, frame: Any, index: Mapping[str, Any]) -> pa.Table:
    """One spec's frame as Arrow.

    Args:
        name: the frame's name, for messages.
        frame: pandas, polars, pyarrow, or anything else with `__arrow_c_stream__`.
        index: the spec's values of the index columns; columns of these names that repeat them are left out.

    Raises:
        BadFrame: it is no table, has unusable columns, or has another value under an index column's name.
    """
    table = _read(name, frame)
    names = [str(column) for column in table.column_names]
    if len(set(names)) < len(names):
        twice = sorted({column for column in names if names.count(column) > 1})
        raise BadFrame(f"dataframes[{name!r}]: column {twice[0]!r} stands twice")
    table = pa.table([_plain_column(name, table.column(at)) for at in range(len(names))], names=names)
    for column in names:
        if column == layout.SORT_SUBINDEX:
            table = table.drop_columns([column])
        elif column in index:
            if not _repeats(table.column(column), index[column]):
                raise BadFrame(
                    f"dataframes[{name!r}]: column {column!r} is called as an index column but differs; rename it"
                )
            table = table.drop_columns([column])
    return table


def _read(name: str, frame: Any) -> pa.Table:
    kind = type(frame).__module__.partition(".")[0]
    try:
        if kind == "pandas" and hasattr(frame, "columns"):
            return _from_pandas(frame)
        if hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pa.ChunkedArray):
            return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as exc:
        raise BadFrame(f"dataframes[{name!r}]: {exc}") from exc
    raise BadFrame(
        f"dataframes[{name!r}] is {type(frame).__module__}.{type(frame).__qualname__}, not a table: "
        "give pandas, polars, pyarrow, or anything else with the Arrow C stream"
    )


def _from_pandas(frame: Any) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=None)
    names = ["index" if column == "__index_level_0__" else column for column in table.column_names]
    return table.rename_columns(names)


def _plain_column(name: str, column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    try:
        return _plain(column)
    except pa.ArrowException as exc:
        raise BadFrame(f"dataframes[{name!r}]: {exc}") from exc


def _plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    wanted = plain_type(column.type)
    if wanted == column.type:
        return column
    if pa.types.is_dictionary(column.type):  # polars' values are views, which arrow cannot take by index
        chunks: list[Any] = column.chunks
        parts = [chunk.dictionary.cast(wanted).take(chunk.indices) for chunk in chunks]
        return pa.chunked_array(parts, cast("Any", wanted))
    return column.cast(wanted)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type a column is kept as: text of any encoding is string, categories are their values, views are lists."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    return kind


def _repeats(column: pa.ChunkedArray[Any], value: Any) -> bool:
    """Whether a column holds the spec's own value in every row."""
    value = plain(value)
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        empty = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
        return pc.all(empty).as_py() is not False
    try:
        wanted = pa.scalar(value)
        same = pc.all(pc.equal(column.cast(wanted.type), wanted))
    except pa.ArrowException:
        return False
    return same.as_py() is not False


def unite(tables: list[pa.Table]) -> tuple[pa.Table, list[int]]:
    """Stack frames of several specs: columns by name, absent ones null, types widened where no value changes.

    Returns:
        The stacked table of those that fit with the first, and the positions of those that do not.
    """
    schema, apart = tables[0].schema, []
    for at, table in enumerate(tables[1:], 1):
        if table.schema.equals(schema):
            continue
        wider = widen(schema, table.schema)
        if wider is None:
            apart.append(at)
        else:
            schema = wider
    fitted: list[pa.Table] = []
    for at, table in enumerate(tables):
        if at in apart:
            continue
        try:
            fitted.append(fit(table, schema))
        except pa.ArrowInvalid:
            if not fitted:
                return unite([tables[0]])[0], list(range(1, len(tables)))
            apart.append(at)
    return pa.concat_tables(fitted), sorted(apart)


def widen(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """The narrowest schema that holds both, or None when a column's types have nothing in common."""
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with a wider schema's columns. Raises `pa.ArrowInvalid` when a value would change."""
    if table.schema.equals(schema):
        return table
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
