"""A user's tables: anything with the Arrow C stream becomes an Arrow table of plain types.

Input: a value of `dataframes` of one output. Output: an Arrow table whose columns have text names and types that
parquet, pandas and polars read alike, without the index columns that it may have brought along. What pandas needs to
have its labels again is in the table's header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frame_types
from scythe_cli.columns.bad_frame import BadFrame
from scythe_cli.columns.column_blocks import pack, unpack
from scythe_cli.columns.frame_header import ROW, FrameColumns, FrameHeader, read_header, write_header
from scythe_cli.columns.frame_stack import (
    NO_FIT,
    fill_missing_types,
    fit,
    has_values,
    is_sorted,
    of_values,
    places,
    stack,
    widen,
)
from scythe_cli.columns.pandas_frames import from_pandas, repeats
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_FIT",
    "ROW",
    "BadFrame",
    "check_name",
    "fill_missing_types",
    "fit",
    "has_values",
    "is_sorted",
    "of_values",
    "stack",
    "to_arrow",
    "widen",
]

_EXTENSION = b"ARROW:extension:name"


def check_name(name: object) -> str:
    """The frame's name, if it can name a file and no table of scythe's own."""
    if not isinstance(name, str) or not layout.is_frame_name(name):
        raise BadFrame(
            f"dataframes[{name!r}]: the name must be letters, digits, spaces, '.', '-' and '_', at most 100 of them, "
            "a letter or digit first, no space last"
        )
    if name in layout.RESERVED_FRAMES:
        raise BadFrame(f"dataframes[{name!r}]: scythe's own table has this name; choose another")
    return name


def to_arrow(name: str, frame: Any, index: Mapping[str, Any]) -> pa.Table:
    """One spec's frame as Arrow.

    Args:
        name: the frame's name, for messages.
        frame: pandas, polars, pyarrow, or anything else with `__arrow_c_stream__`.
        index: the spec's values of the index columns; columns of these names that repeat them are left out.

    Raises:
        BadFrame: it is not a table, has unusable columns, or has another value under an index column's name.
    """
    try:
        table = _read(frame, index)
        own = _own_columns(table)
        _check_names(own)
        _check_levels(table)
        if any(column in index or column == layout.SORT_SUBINDEX for column in own):
            table = _without_index(unpack(table), own, index)
        return pack(_with_storable_columns(table))
    except (pa.ArrowException, TypeError, ValueError) as exc:
        raise BadFrame(f"dataframes[{name!r}]{_joint(exc)}{exc}") from exc


class _NotATable(BadFrame):
    """A value that no library calls a table."""


def _joint(exc: Exception) -> str:
    return " " if isinstance(exc, _NotATable) else ": "


def _own_columns(table: pa.Table) -> list[str]:
    """The names of the frame's own columns, of packed ones too, in order."""
    header = read_header(table.schema)
    if header.columns.names is not None:
        return [*header.columns.names]
    try:
        names = [str(column) for column in table.column_names]
    except UnicodeDecodeError as exc:
        raise BadFrame(f"a column's name is not text: {exc}") from exc
    levels = {column for column, _ in header.pandas.index_levels} if header.pandas else set()
    return [column for column in names if column not in levels]


def _check_names(names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted({column for column in names if names.count(column) > 1})
        raise BadFrame(f"column {twice[0]!r} is there twice")
    if ROW in names:
        raise BadFrame(f"the column name {ROW!r} belongs to scythe; rename it")


def _check_levels(table: pa.Table) -> None:
    pandas = read_header(table.schema).pandas
    for column, _ in pandas.index_levels if pandas else ():
        if column == ROW or table.column_names.count(column) > 1:
            raise BadFrame(f"the name {column!r} of an index level belongs to scythe; rename it")


def _without_index(table: pa.Table, own: list[str], index: Mapping[str, Any]) -> pa.Table:
    """The table without columns that repeat the spec's index values, or number its rows."""
    header = read_header(table.schema)
    dropped = set()
    for column in own:
        if column == layout.SORT_SUBINDEX:
            if table.column(column).cast(pa.int64()).equals(pa.chunked_array([places(table)])):
                dropped.add(column)
        elif column in index:
            if not repeats(table.column(column), index[column]):
                raise BadFrame(f"column {column!r} has the name of an index column but other values; rename it")
            dropped.add(column)
    columns = header.columns
    if columns.names is not None:
        kept = [at for at, column in enumerate(columns.names) if column not in {*dropped, layout.SORT_SUBINDEX}]
        labels = columns.labels and tuple(columns.labels[at] for at in kept)
        columns = FrameColumns(tuple(columns.names[at] for at in kept), labels, columns.levels)
    return write_header(table.drop_columns([*dropped]), FrameHeader(columns, (), header.pandas))


def _with_storable_columns(table: pa.Table) -> pa.Table:
    packed = {block.column for block in read_header(table.schema).blocks}
    columns: list[Any] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        columns.append(column if field.name in packed else storable_column(field, column))
    if not columns:
        return table  # of columns that are none it knows how many rows they have
    return pa.table(columns, names=table.column_names).replace_schema_metadata(table.schema.metadata)


def _read(frame: Any, index: Mapping[str, Any]) -> pa.Table:
    kind = type(frame).__module__.partition(".")[0]
    if type(frame).__name__ == "Series":
        raise _NotATable(f"is a {kind} Series, one column and not a table: give series.to_frame()")
    if kind == "pandas" and hasattr(frame, "columns"):
        return from_pandas(frame, index)
    if hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pa.ChunkedArray):
        table = _from_stream(frame, kind)
        return table if table.num_columns == 0 else table.replace_schema_metadata(None)
    raise _NotATable(
        f"is {type(frame).__module__}.{type(frame).__qualname__}, not a table: "
        "give pandas, polars, pyarrow, or anything else with the Arrow C stream"
    )


def _from_stream(frame: Any, library: str) -> pa.Table:
    table = pa.table(frame)
    for field in table.schema:
        # polars has no binary of fixed size: such a column holds addresses of Python objects
        if library == "polars" and pa.types.is_fixed_size_binary(field.type):
            raise frame_types.UnsupportedType(
                f"column {field.name!r} is of polars' type Object; give its values in a plain type"
            )
    return table


def storable_column(field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """A column in the type that it is kept as. Raises `BadFrame` where there is none."""
    where = f"column {field.name!r}"
    try:
        if extension := (field.metadata or {}).get(_EXTENSION):
            frame_types.storage_type(extension.decode(errors="replace"))
        cast_column = _cast(column)
        cast_column.validate(full=True)  # else the reader of the final table would find text that is not UTF-8
        _refuse_far_seconds(cast_column)
    except frame_types.UnsupportedType as exc:
        raise BadFrame(f"{where} {exc}") from None
    except (pa.ArrowException, UnicodeDecodeError) as exc:
        raise BadFrame(f"{where} of type {column.type}: {exc}") from exc
    return cast_column


def _refuse_far_seconds(column: pa.ChunkedArray[Any]) -> None:
    """Raise `ArrowInvalid` for moments so far away that parquet, which has no seconds, does not hold them."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        column.cast(pa.timestamp("ms", kind.tz))


def _cast(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    wanted = frame_types.storable(column.type)
    if wanted == column.type:
        return column
    chunks: list[Any] = column.chunks
    if pa.types.is_dictionary(column.type):  # polars' values are views, which arrow cannot take by index
        parts = [chunk.dictionary.cast(wanted).take(chunk.indices) for chunk in chunks]
    elif pa.types.is_run_end_encoded(column.type):
        parts = [pc.run_end_decode(chunk).cast(wanted) for chunk in chunks]  # type: ignore[attr-defined]  # not in the stubs
    elif frame_types.is_view_of_lists(column.type):
        parts = [_lists(chunk).cast(wanted) for chunk in chunks]
    else:
        return column.cast(wanted)
    return pa.chunked_array(parts, cast("Any", wanted))


def _lists(views: Any) -> Any:
    """A view of lists as lists. Arrow's own cast drops one offset, and with it the last list's values."""
    ends: Any = pc.cumulative_sum(pc.fill_null(pc.list_value_length(views), 0).cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    return pa.LargeListArray.from_arrays(offsets, views.flatten(), mask=views.is_null())
