"""The specs of one call as a table, and the table that the function returned as columns of outputs.

Input: rows of a block of specs; what a function of tables returned. Output: the user's kind of table; columns of the
output model's types, and the rows that only the model itself can judge.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from scythe_cli.columns.bad_frame import BadFrame
from scythe_cli.columns.checks import as_kind, check_bounds
from scythe_cli.columns.frames import storable_column
from scythe_cli.columns.model_fields import read_fields
from scythe_cli.columns.schema import is_json
from scythe_cli.core import layout
from scythe_cli.errors import did_you_mean
from scythe_cli.experiment.field_kinds import DATAFRAMES, user_fields
from scythe_cli.experiment.signature import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

pc: Any = pyarrow.compute


class BadTable(ValueError):
    """A returned table that is not one row for each spec, in their order, with the model's columns.

    Attributes:
        splits: fewer specs in a call may do better, for it is the number of the rows that is wrong.
    """

    def __init__(self, message: str, *, splits: bool = False) -> None:
        super().__init__(message)
        self.splits = splits


@dataclass(frozen=True)
class OutputColumns:
    """What a function of tables returned.

    Attributes:
        given: its table, the model's fields alone.
        columns: of the model's scalars, in their types.
        needs_validation: the rows that only the model can judge.
    """

    given: pa.Table
    columns: list[pa.Array[Any]]
    needs_validation: list[int]


def to_table(part: pa.Table, model: type[BaseModel], form: Form) -> Any:
    """Rows of a block of specs as the table that the function takes: `sort_index`, then the model's fields."""
    table = part.select([layout.SORT_INDEX, *user_fields(model)]).replace_schema_metadata(None)
    if form is Form.POLARS:
        import polars as pl

        return pl.from_arrow(table)
    return table.to_pandas() if form is Form.PANDAS else table.combine_chunks()


def from_table(
    value: Any, sort_indexes: pa.Array[Any], model: type[BaseModel], scalars: Sequence[pa.Field[Any]]
) -> OutputColumns:
    """Read what a function of tables returned.

    Args:
        value: that.
        sort_indexes: of the specs it was called with.
        model: the output model.
        scalars: its columns.

    Raises:
        BadTable: it is not one row for each spec, in their order, with a column for each required field.
    """
    table = _as_arrow(value)
    n = len(sort_indexes)
    if table.num_rows != n:
        raise BadTable(wrong_number(table.num_rows, n), splits=True)
    _check_order(value, table, sort_indexes)
    given = _fields_of(table, model, scalars)
    columns = [_column(given, field, model) for field in scalars]
    if model.model_computed_fields or read_fields(model).has_custom_validation or None in columns:
        return OutputColumns(given, [], [*range(n)])
    made = pa.table(columns, schema=pa.schema([field.remove_metadata().with_nullable(True) for field in scalars]))
    needs_validation = {*check_bounds(made, model)} if columns else set()
    for field, column in zip(scalars, columns, strict=True):
        if field.name in given.column_names:
            lost = pc.and_(pc.is_valid(given[field.name].combine_chunks()), pc.is_null(column))
            needs_validation.update(pc.indices_nonzero(lost).to_pylist())
    return OutputColumns(given, columns, sorted(needs_validation))


def wrong_number(outputs: int, specs: int) -> str:
    """Why so many outputs of a call are wrong."""
    for_specs = f"{specs:,} specs" if specs != 1 else "1 spec"
    return f"the function returned {outputs:,} output{'s' * (outputs != 1)} for {for_specs}"


def _as_arrow(value: Any) -> pa.Table:
    """A table of any of the libraries; pandas' index is not a column of it."""
    if isinstance(value, pa.Table):
        return value
    library = type(value).__module__.partition(".")[0]
    if library == "pandas" and type(value).__name__ == "DataFrame":
        return _from_pandas(value)
    if not hasattr(value, "__arrow_c_stream__") or type(value).__name__ in {"Series", "ChunkedArray"}:
        given = "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"
        raise BadTable(f"the function returned {given}, not a table")
    return pa.table(value)


def _from_pandas(frame: Any) -> pa.Table:
    """NaN is a number in a column of floating numbers, and none where objects are."""
    arrays = {}
    for name in frame.columns:
        column = frame[name]
        if not isinstance(name, str) or getattr(column, "ndim", 1) != 1:
            raise BadTable(f"the returned table has a column {name!r}: names are text, each once")
        numbers = getattr(column.dtype, "kind", "O") in "fiub" and type(column.dtype).__module__.startswith("numpy")
        try:
            arrays[name] = pa.array(column.to_numpy() if numbers else column, from_pandas=not numbers)
        except (pa.ArrowException, ValueError, TypeError) as exc:
            raise BadTable(f"the column {name!r} of the returned table: {exc}") from exc
    return pa.table(arrays) if arrays else pa.table({"": pa.nulls(len(frame))})


def _check_order(value: Any, table: pa.Table, sort_indexes: pa.Array[Any]) -> None:
    """Rows that say themselves which spec they belong to are in the order of the specs."""
    moved = "the rows of the returned table are not in the order of the specs"
    if layout.SORT_INDEX in table.column_names and not _equal(table[layout.SORT_INDEX], sort_indexes):
        raise BadTable(f"{moved}: its sort_index is not that of the table that the function got")
    if "pandas" in sys.modules and type(value).__module__.startswith("pandas"):
        index = value.index
        whole = getattr(index.dtype, "kind", "O") in "iu" and index.nlevels == 1
        places = [*index] if whole else []
        if places != [*range(len(places))] and sorted(places) == [*range(len(places))]:
            raise BadTable(f"{moved}: its index is not 0, 1, 2, ...")


def _equal(column: pa.ChunkedArray[Any], sort_indexes: pa.Array[Any]) -> bool:
    if not pa.types.is_integer(column.type):
        return False
    return bool(column.combine_chunks().cast(pa.int64()).equals(sort_indexes))


def _fields_of(table: pa.Table, model: type[BaseModel], scalars: Sequence[pa.Field[Any]]) -> pa.Table:
    """The columns that are fields of the model; what the function got may be in the table too."""
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise BadTable(f"the returned table has two columns {name!r}")
    if DATAFRAMES in names:
        raise BadTable(f"the returned table has a column {DATAFRAMES!r}: frames need a function of a list of specs")
    computed = model.model_computed_fields
    for field in scalars:
        if field.name not in names and field.name not in computed and model.model_fields[field.name].is_required():
            near = did_you_mean(field.name, names)
            raise BadTable(f"the returned table has no column {field.name!r}, a field of {model.__name__}.{near}")
    held = table.select([field.name for field in scalars if field.name in names and field.name not in computed])
    wanted = {field.name: field.type for field in scalars}
    try:
        kept = {field.name: _plain(field, held[field.name], wanted[field.name]) for field in held.schema}
    except BadFrame as exc:
        raise BadTable(f"the returned table: {exc}") from exc
    return pa.table(kept or {"": pa.nulls(table.num_rows)})


def _plain(field: pa.Field[Any], column: pa.ChunkedArray[Any], wanted: pa.DataType) -> Any:
    """A column in the type that tables keep: text of any encoding is string, categories are their values.

    NaN stands for no value in a column of floating numbers where the model has another type: pandas writes it so.
    """
    whole: Any = storable_column(field, column).combine_chunks()
    if pa.types.is_floating(whole.type) and not pa.types.is_floating(wanted):
        return pc.if_else(pc.is_nan(whole), pa.scalar(None, whole.type), whole)
    return whole


def _column(given: pa.Table, field: pa.Field[Any], model: type[BaseModel]) -> Any:
    """A field's column in its type: null where a value does not fit it as it is, and the default where it is absent.

    None where only the model can make the values.
    """
    n = given.num_rows
    if field.name not in given.column_names:
        return _default_column(field, model, n)
    column: Any = given[field.name].combine_chunks()
    if is_json(field):
        return pa.nulls(n, field.type)
    fitting = as_kind(column, field.type)
    if fitting is not None:
        return fitting
    if pa.types.is_null(column.type):
        return pa.nulls(n, field.type)
    try:
        return column.cast(field.type) if column.type == pa.timestamp("ns") else pa.nulls(n, field.type)
    except pa.ArrowException:
        return pa.nulls(n, field.type)


def _default_column(field: pa.Field[Any], model: type[BaseModel], n: int) -> Any:
    info = model.model_fields.get(field.name)
    if info is None or info.default_factory is not None:
        return None
    if info.default is None:
        return pa.nulls(n, field.type)
    if is_json(field):
        return None
    try:
        return pa.array([info.default] * n, field.type)
    except (pa.ArrowException, TypeError, ValueError):
        return None
