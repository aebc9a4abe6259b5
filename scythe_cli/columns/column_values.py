"""Python values as columns.

Input: values of one field of a validated model. Output: a `pa.Array` of the field's type, or the first value that does
not fit it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from scythe_cli.columns.schema import MICROSECONDS, TIMES, is_json
from scythe_cli.experiment.plain_values import UnsupportedValue, to_json_text, to_plain, unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

ZONE = "has a time zone, which the field does not keep: annotate it AwareDatetime, or leave the offset out"
ZONE_OF_TIME = "has a time zone, which no column of times keeps: leave the offset out"
SAMPLE = 1 << 16
FEW = SAMPLE // 4
_EXACT: dict[pa.DataType, set[type]] = {  # what arrow takes as it is, without bending a value
    pa.bool_(): {bool},
    pa.int64(): {int},
    pa.float64(): {float, int},
    pa.string(): {str},
    MICROSECONDS: {dt.datetime},
    pa.timestamp("us", "UTC"): {dt.datetime},
    pa.date32(): {dt.date},
    TIMES: {dt.time},
    pa.duration("us"): {dt.timedelta},
    pa.binary(): {bytes},
}


_TOO_WIDE: dict[pa.DataType, str] = {
    pa.int64(): "does not fit 64 bits",
    pa.float64(): "is a whole number beyond 2**53, which a column of floating numbers does not keep",
}


class JsonText(str):
    """JSON that a value was written as."""

    __slots__ = ()


class ColumnError(ValueError):
    """A value that does not fit its column.

    Attributes:
        index: its place in the values given.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def to_column(values: Sequence[Any], field: pa.Field[Any], *, exact: bool = False) -> pa.Array[Any]:
    """Python values of a validated model as one column.

    Args:
        values: as the model holds them.
        field: of the column.
        exact: refuse values that it does not take as they are, rather than ask them.

    Raises:
        ColumnError: a ValueError that names the index of the first value which is not of the column's type.
    """
    kinds = set(map(type, values))
    if exact and not kinds <= exact_types(field):
        raise ValueError("a value must be asked what it is")
    if is_json(field):
        return pa.array([_as_json(index, value, field) for index, value in enumerate(values)], pa.string())
    if type(None) in kinds and not field.nullable:
        raise ColumnError(next(index for index, value in enumerate(values) if value is None), "is None")
    if kinds <= _EXACT.get(field.type, set()) | {type(None)}:
        _refuse_zones(values, field.type)
        try:
            return _array(values, field.type)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            pass  # one of them does not fit: find it below
    return _array([_fit(index, value, field) for index, value in enumerate(values)], field.type)


def exact_types(field: pa.Field[Any]) -> set[type]:
    """Of values that a column takes as they are: no code of a user's runs when they are put into it."""
    return {type(None), JsonText} if is_json(field) else {type(None), *_EXACT.get(field.type, ())}


def as_cell(value: Any, field: pa.Field[Any]) -> Any:
    """A value as its column takes it. Asks it what it is: that may be code of a user's, which may raise anything."""
    if value is None or type(value) is JsonText:
        return value
    return JsonText(to_json_text(value)) if is_json(field) else to_plain(value)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    return cast("pa.Array[Any]", pa.array(values, kind))


def _as_json(index: int, value: Any, field: pa.Field[Any]) -> str | None:
    try:
        return cast("str | None", as_cell(value, field))
    except UnsupportedValue as exc:
        raise ColumnError(index, str(exc)) from exc


def _fit(index: int, value: Any, field: pa.Field[Any]) -> Any:
    kind = field.type
    try:
        plain = to_plain(value)
    except UnsupportedValue as exc:
        raise ColumnError(index, str(exc)) from exc
    if plain is None and not field.nullable:
        raise ColumnError(index, "is None")
    _refuse_zones([plain], kind, index)
    if not _is_exact(plain, kind):
        raise ColumnError(index, _misfit(plain, value, kind))
    try:
        pa.array([plain], kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as exc:
        raise ColumnError(index, _TOO_WIDE.get(kind, f"is not a {kind}: {exc}")) from exc
    return plain


NANOSECONDS = "has nanoseconds, and a column keeps microseconds: round it, such as .floor('us')"


def _misfit(plain: Any, value: Any, kind: pa.DataType) -> str:
    """Why a value is not of its column's type."""
    if getattr(plain, "nanosecond", 0) or getattr(plain, "nanoseconds", 0):
        return NANOSECONDS
    if hasattr(plain, "tolist") or hasattr(plain, "__arrow_c_stream__"):
        return str(unsupported(plain))
    return f"is a {type(value).__name__} that does not fit {kind}"


def _refuse_zones(values: Sequence[Any], kind: pa.DataType, index: int | None = None) -> None:
    """Arrow would write moments as those of UTC, and cut the zone off times."""
    if kind in (MICROSECONDS, TIMES) or pa.types.is_nested(kind):
        for at, value in enumerate(values):
            if has_zone(value, kind):
                raise ColumnError(at if index is None else index, ZONE_OF_TIME if kind == TIMES else ZONE)


def has_zone(plain: Any, kind: pa.DataType) -> bool:
    """Whether a value, or one inside of it, has a time zone that its column does not keep."""
    if isinstance(kind, pa.ListType):
        return isinstance(plain, list) and any(has_zone(inner, kind.value_type) for inner in plain)
    if isinstance(kind, pa.StructType):
        return isinstance(plain, dict) and any(has_zone(plain.get(part.name), part.type) for part in kind)
    moment = kind in (MICROSECONDS, TIMES) and isinstance(plain, dt.datetime | dt.time)
    return moment and plain.tzinfo is not None


def _is_exact(plain: Any, kind: pa.DataType) -> bool:
    """Whether arrow takes the value as it is; it would make 2 of 2.5 inside a list."""
    if plain is None:
        return True
    if isinstance(kind, pa.ListType):
        return isinstance(plain, list) and all(_is_exact(inner, kind.value_type) for inner in plain)
    if isinstance(kind, pa.StructType):
        return isinstance(plain, dict) and all(_is_exact(plain.get(part.name), part.type) for part in kind)
    return type(plain) in _EXACT[kind]


def has_few_values(column: pa.ChunkedArray[Any]) -> bool:
    """Whether its first rows have at most a quarter as many values, so that a file best keeps them in a dictionary."""
    return len(column.slice(0, SAMPLE).unique()) <= min(FEW, len(column) // 2)
