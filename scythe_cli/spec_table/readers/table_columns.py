"""The columns of tables and table files in the types that all other modules know.

Input: one column of a batch. Output: the same values without dictionaries, views, extension types or units finer than
microseconds; or the first value that Python's dates and times do not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.checks import pc
from scythe_cli.columns.column_values import NANOSECONDS
from scythe_cli.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.columns.checks import Column

BEYOND = "is beyond Python's dates and times, which end with the year 9999: give another value, or none (null)"
_UUID, _BOOL, _PERIOD = "arrow.uuid", "arrow.bool8", "pandas.period"


def refuse_periods(schema: pa.Schema, label: str) -> None:
    """Refuse columns of pandas' periods, which are whole numbers of months or days without their unit.

    Raises:
        TableError: the table has one.
    """
    for part in schema:
        noted = (part.metadata or {}).get(b"ARROW:extension:name", b"").decode()  # where pandas is not imported
        if getattr(part.type, "extension_name", noted) == _PERIOD:
            instead = f"give df[{part.name!r}].astype(str), or .dt.to_timestamp()"
            raise TableError(f"{label}  column {part.name!r} has periods of pandas, which no column holds: {instead}")


def usual_column(column: Column, name: str, place: Callable[[int], str]) -> Column | list[Any]:
    """One of the types a column may have, in the form all other modules know; else Python's values.

    Args:
        column: as the table has it.
        name: its name, for messages.
        place: of one of its rows, for messages.

    Raises:
        TableError: a value has nanoseconds, or is beyond Python's dates and times.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        values = usual_column(column.dictionary, name, lambda code: place(_first_row(column, code)))
        if isinstance(values, list):
            return [None if code is None else values[code] for code in column.indices.to_pylist()]
        return values.take(column.indices)
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == _UUID:
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_interval(kind) or (pa.types.is_nested(kind) and _has_uuids(kind)):
        return column.to_pylist()
    try:
        usual = _converted(column)
        _ask_for_moments(usual)
    except (ValueError, OverflowError):
        raise _refusal(column, name, place) from None
    return usual


def _first_row(column: Column, code: int) -> int:
    """The first row that has a value of the dictionary."""
    return max(0, int(pc.index(column.indices, pa.scalar(code, column.indices.type)).as_py()))


def _converted(column: Column) -> Column:
    """The column in its usual type.

    Raises:
        ArrowInvalid: a ValueError; a value does not fit microseconds.
    """
    wanted = _usual_type(column.type)
    if wanted == column.type:
        return column
    try:
        return pc.cast(column, wanted)
    except pa.ArrowNotImplementedError:
        return column


def _ask_for_moments(column: Column) -> None:
    """Raise `OverflowError` or `ValueError` where Python has no such date or time."""
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        ends = pc.min_max(column)
        ends["min"].as_py(), ends["max"].as_py()
    elif pa.types.is_nested(column.type) and any(map(pa.types.is_temporal, _leaves(column.type))):
        column.to_pylist()


def _refusal(column: Column, name: str, place: Callable[[int], str]) -> TableError:
    """The error about the first value that cannot be converted."""
    for row in range(len(column)):
        one = column.take(pa.array([row]))  # a slice of a list would bring the other rows' values
        try:
            _ask_for_moments(_converted(one))
        except (ValueError, OverflowError) as exc:
            rule = NANOSECONDS if "lose data" in str(exc) else BEYOND
            return TableError(f"{place(row)}  {name}{_shown(one)}: {rule}")
    return TableError(f"{place(0)}  {name}: {BEYOND}")


def _shown(one: Column) -> str:
    """The value of a column of one row, which Python may not have; nothing of a struct or a mapping."""
    if pa.types.is_duration(one.type):
        return f" = {pc.cast(one, pa.int64())[0].as_py()} {one.type.unit}"
    try:
        return f" = {pc.cast(one, pa.list_(pa.string()) if isinstance(one, pa.ListArray) else pa.string())[0].as_py()}"
    except pa.ArrowException:
        return ""


def _usual_type(kind: Any) -> Any:  # noqa: PLR0911 - one line for each pair of types
    if isinstance(kind, pa.BaseExtensionType):
        return pa.bool_() if kind.extension_name == _BOOL else _usual_type(kind.storage_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return pa.float64()
    return _usual_nested(kind) if pa.types.is_nested(kind) else kind


def _usual_nested(kind: Any) -> Any:
    """A list or a struct of usual types; any other as it is."""
    if isinstance(kind, pa.StructType):
        return pa.struct([part.with_type(_usual_type(part.type)) for part in kind])
    if isinstance(kind, pa.MapType):
        return pa.map_(_usual_type(kind.key_type), _usual_type(kind.item_type))
    if isinstance(kind, pa.FixedSizeListType):
        return pa.list_(kind.value_field.with_type(_usual_type(kind.value_type)), kind.list_size)
    if isinstance(kind, pa.ListType | pa.LargeListType):
        return pa.list_(kind.value_field.with_type(_usual_type(kind.value_type)))
    return kind


def _leaves(kind: Any) -> list[Any]:
    """The types inside of a nested one that are not nested."""
    if not pa.types.is_nested(kind):
        return [kind]
    return [leaf for at in range(kind.num_fields) for leaf in _leaves(kind.field(at).type)]


def _has_uuids(kind: Any) -> bool:
    return any(isinstance(leaf, pa.BaseExtensionType) and leaf.extension_name == _UUID for leaf in _leaves(kind))
