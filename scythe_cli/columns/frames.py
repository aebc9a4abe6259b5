"""A user's tables: anything with the Arrow C stream becomes an Arrow table of plain types.

Input: a value of `dataframes` of one output. Output: an Arrow table whose columns have text names and types that
parquet, pandas and polars read alike, without the index columns that it may have brought along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import frame_types
from scythe_cli.core import layout
from scythe_cli.experiment.field_kinds import index_value

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = "_row"
"""The row number of the spec a frame's row belongs to."""
NO_FIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, frame_types.UnsupportedType)
"""What a cast raises when it would change a value, or does not exist."""

_EXTENSION = b"ARROW:extension:name"


class BadFrame(ValueError):
    """A frame that cannot become a final table: its name, its type, its columns."""


def check_name(name: object) -> str:
    """The frame's name, if it can name a file and no table of scythe's own."""
    if not isinstance(name, str) or not layout.is_safe_name(name):
        raise BadFrame(f"dataframes[{name!r}]: the name must be letters, digits, '.', '-' and '_', at most 100 of them")
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
    table = _read(name, frame)
    names = _column_names(name, table)
    columns = [_storable_column(name, names[at], table.field(at), table.column(at)) for at in range(len(names))]
    if not names:
        return table  # of columns that are none it knows how many rows they have
    table = pa.table(columns, names=names)
    for column in names:
        if column == layout.SORT_SUBINDEX:
            table = table.drop_columns([column])
        elif column in index:
            if not _repeats(table.column(column), index[column]):
                raise BadFrame(
                    f"dataframes[{name!r}]: column {column!r} has the name of an index column but other "
                    "values; rename it"
                )
            table = table.drop_columns([column])
    return table


def _column_names(name: str, table: pa.Table) -> list[str]:
    try:
        names = [str(column) for column in table.column_names]
    except UnicodeDecodeError as exc:
        raise BadFrame(f"dataframes[{name!r}]: a column's name is not text: {exc}") from exc
    if len(set(names)) < len(names):
        twice = sorted({column for column in names if names.count(column) > 1})
        raise BadFrame(f"dataframes[{name!r}]: column {twice[0]!r} is there twice")
    if ROW in names:
        raise BadFrame(f"dataframes[{name!r}]: the column name {ROW!r} belongs to scythe; rename it")
    return names


def _read(name: str, frame: Any) -> pa.Table:
    kind = type(frame).__module__.partition(".")[0]
    try:
        if kind == "pandas" and hasattr(frame, "columns"):
            return _from_pandas(frame)
        if hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pa.ChunkedArray):
            return _from_stream(frame, kind)
    except (pa.ArrowException, TypeError, ValueError) as exc:
        raise BadFrame(f"dataframes[{name!r}]: {exc}") from exc
    raise BadFrame(
        f"dataframes[{name!r}] is {type(frame).__module__}.{type(frame).__qualname__}, not a table: "
        "give pandas, polars, pyarrow, or anything else with the Arrow C stream"
    )


def _from_pandas(frame: Any) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=None)
    if not table.num_columns:
        return pa.table({"": pa.nulls(len(frame))}).select([])
    names = ["index" if column == "__index_level_0__" else column for column in table.column_names]
    return table.rename_columns(names)


def _from_stream(frame: Any, library: str) -> pa.Table:
    table = pa.table(frame)
    for field in table.schema:
        # polars has no binary of fixed size: such a column holds addresses of Python objects
        if library == "polars" and pa.types.is_fixed_size_binary(field.type):
            raise frame_types.UnsupportedType(
                f"column {field.name!r} is of polars' type Object; give its values in a plain type"
            )
    return table


def _storable_column(name: str, label: str, field: pa.Field[Any], column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    where = f"dataframes[{name!r}]: column {label!r}"
    try:
        if extension := (field.metadata or {}).get(_EXTENSION):
            frame_types.storage_type(extension.decode(errors="replace"))
        cast_column = _cast(column)
        cast_column.validate(full=True)  # else the reader of the final table would find text that is not UTF-8
    except frame_types.UnsupportedType as exc:
        raise BadFrame(f"{where} {exc}") from None
    except (pa.ArrowException, UnicodeDecodeError) as exc:
        raise BadFrame(f"{where} of type {column.type}: {exc}") from exc
    return cast_column


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


def _repeats(column: pa.ChunkedArray[Any], value: Any) -> bool:
    """Whether a column holds the spec's own value in every row."""
    value = index_value(value)
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        empty = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
        return pc.all(empty).as_py() is not False
    try:
        wanted = pa.scalar(value)
        same = pc.all(pc.equal(column.cast(wanted.type), wanted))
    except pa.ArrowException:
        return False
    return same.as_py() is not False


def stack(tables: list[pa.Table]) -> tuple[pa.Table, list[int]]:
    """Stack frames of several specs: columns by name, absent ones null, types widened where no value changes.

    A column's type is that of its values. Where no frame has a value, the frames' declared types decide.

    Returns:
        The stacked table of those that fit with the first, and the positions of those that do not.
    """
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
                stacked, _ = stack([other for other, same in zip(tables, alike, strict=True) if same])
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
        # two decimals may meet in one of more digits than polars reads; where its own are enough, that is a fit
        return pa.schema(
            [f.with_type(frame_types.storable(f.type)) if pa.types.is_decimal256(f.type) else f for f in wider]
        )
    except NO_FIT:
        return None


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
