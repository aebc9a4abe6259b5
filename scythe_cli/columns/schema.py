"""Models as arrow columns: the type of each field, and python values as such a column.

Input: a pydantic model, or values of one. Output: a `pa.Schema` or `pa.Array`s. The types depend on the model alone,
never on the data, so that a column of nulls has the same type as any other.
"""

from __future__ import annotations

import datetime as dt
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Annotated, Any, Literal, NewType, Union, cast, get_args, get_origin
from uuid import UUID

import pyarrow as pa
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    RootModel,
    SecretBytes,
    SecretStr,
)
from pydantic_core import MultiHostUrl, Url, to_json

from scythe_cli.experiment.field_kinds import user_fields

ZONE = "has a time zone, which the field does not keep: annotate it AwareDatetime, or leave the offset out"
ZONE_OF_TIME = "has a time zone, which no column of times keeps: leave the offset out"
_JSON = {b"scythe": b"json"}
_MICROSECONDS: pa.DataType = pa.timestamp("us")
_TIMES: pa.DataType = pa.time64("us")
_AS_TEXT = (
    *(PurePath, UUID, Decimal, Fraction, AnyUrl, Url, MultiHostUrl, complex),
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
)
_SCALARS: tuple[tuple[Any, pa.DataType], ...] = (  # the first that fits: bool before int, datetime before date
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    ((str, SecretStr, *_AS_TEXT), pa.string()),
    ((PastDatetime, FutureDatetime, NaiveDatetime, dt.datetime), _MICROSECONDS),
    (AwareDatetime, pa.timestamp("us", "UTC")),
    ((PastDate, FutureDate, dt.date), pa.date32()),
    (dt.time, _TIMES),
    (dt.timedelta, pa.duration("us")),
    ((bytes, SecretBytes), pa.binary()),
)
_LISTS = (list, set, frozenset, deque, Sequence)
_EXACT: dict[pa.DataType, set[type]] = {  # what arrow takes as it is, without bending a value
    pa.bool_(): {bool},
    pa.int64(): {int},
    pa.float64(): {float, int},
    pa.string(): {str},
    _MICROSECONDS: {dt.datetime},
    pa.timestamp("us", "UTC"): {dt.datetime},
    pa.date32(): {dt.date},
    _TIMES: {dt.time},
    pa.duration("us"): {dt.timedelta},
    pa.binary(): {bytes},
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


def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """The columns of a model's user fields.

    Numbers, booleans, text, dates and times have their own types; enums and literals that of their values; paths, urls,
    uuids and decimals are text; lists of these are lists and models of these are structs. All else (dicts, unions,
    `Any`) is JSON text, see `is_json`. A field that cannot be None is not nullable. A column of
    `AwareDatetime` is in UTC; no other takes a value with a time zone.
    """
    return pa.schema([arrow_field(name, model.model_fields[name].annotation) for name in user_fields(model)])


def arrow_field(name: str, annotation: Any) -> pa.Field[Any]:
    """The column of one field."""
    inner, nullable = _peel(annotation)
    kind = _type(inner, ())
    if kind is None:
        return pa.field(name, pa.string(), nullable or inner is Any or inner is object, _JSON)
    return pa.field(name, kind, nullable)


def is_json(field: pa.Field[Any]) -> bool:
    """Whether a column holds JSON text of values that no arrow type can hold."""
    return bool((field.metadata or {}).get(b"scythe") == b"json")


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
        return pa.array([None if value is None else as_cell(value, field) for value in values], pa.string())
    if type(None) in kinds and not field.nullable:
        raise ColumnError(next(index for index, value in enumerate(values) if value is None), "is None")
    if kinds <= _EXACT.get(field.type, set()) | {type(None)}:
        _refuse_zones(values, field.type)
        try:
            return _array(values, field.type)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            pass  # one of them does not fit: find it below
    return _array([_fit(index, value, field.type) for index, value in enumerate(values)], field.type)


def exact_types(field: pa.Field[Any]) -> set[type]:
    """Of values that a column takes as they are: no code of a user's runs when they are put into it."""
    return {type(None), JsonText} if is_json(field) else {type(None), *_EXACT.get(field.type, ())}


def as_cell(value: Any, field: pa.Field[Any]) -> Any:
    """A value as its column takes it. Asks it what it is: that may be code of a user's, which may raise anything."""
    if value is None or type(value) is JsonText:
        return value
    return JsonText(_json(value)) if is_json(field) else to_plain(value)


def to_plain(value: Any) -> Any:  # noqa: PLR0911 - a cell may hold any value, one line a kind
    """A validated value as builtin types that arrow, JSON and the model's own validation understand."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, RootModel):
        return to_plain(value.root)
    if isinstance(value, BaseModel):
        named = {input_name(type(value), name): to_plain(getattr(value, name)) for name in type(value).model_fields}
        return named | {name: to_plain(extra) for name, extra in (value.model_extra or {}).items()}
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(to_plain, value), key=repr)  # sets have no order, and a table should be the same each time
    if isinstance(value, list | tuple | deque):
        return [to_plain(inner) for inner in value]
    if isinstance(value, (str, *_AS_TEXT)):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "item"):
        return value.item()  # a numpy scalar
    return value


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    return cast("pa.Array[Any]", pa.array(values, kind))


def _fit(index: int, value: Any, kind: pa.DataType) -> Any:
    plain = to_plain(value)
    _refuse_zones([plain], kind, index)
    if not _is_exact(plain, kind):
        raise ColumnError(index, f"is a {type(value).__name__} that does not fit {kind}")
    try:
        pa.array([plain], kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as exc:
        wide = isinstance(plain, int) and kind in (pa.int64(), pa.float64())
        raise ColumnError(index, "does not fit 64 bits" if wide else f"is not a {kind}: {exc}") from exc
    return plain


def _refuse_zones(values: Sequence[Any], kind: pa.DataType, index: int | None = None) -> None:
    """Arrow would write moments as those of UTC, and cut the zone off times."""
    if kind in (_MICROSECONDS, _TIMES) or pa.types.is_nested(kind):
        for at, value in enumerate(values):
            if has_zone(value, kind):
                raise ColumnError(at if index is None else index, ZONE_OF_TIME if kind == _TIMES else ZONE)


def has_zone(plain: Any, kind: pa.DataType) -> bool:
    """Whether a value, or one inside of it, has a time zone that its column does not keep."""
    if isinstance(kind, pa.ListType):
        return isinstance(plain, list) and any(has_zone(inner, kind.value_type) for inner in plain)
    if isinstance(kind, pa.StructType):
        return isinstance(plain, dict) and any(has_zone(plain.get(part.name), part.type) for part in kind)
    moment = kind in (_MICROSECONDS, _TIMES) and isinstance(plain, dt.datetime | dt.time)
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


def _json(value: Any) -> str:
    return to_json(to_plain(value), inf_nan_mode="constants", fallback=str).decode()


def input_name(model: type[BaseModel], name: str) -> str:
    alias = model.model_fields[name].validation_alias
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    return alias if isinstance(alias, str) and not by_name else name


def _peel(annotation: Any) -> tuple[Any, bool]:  # noqa: PLR0911 - one line for each way to wrap a type
    """The type inside `Annotated`, aliases and `Optional`, and whether None is allowed."""
    if isinstance(annotation, NewType):
        return _peel(annotation.__supertype__)
    if hasattr(annotation, "__value__"):  # type X = ...
        return _peel(annotation.__value__)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _peel(args[0])
    if origin in (Union, types.UnionType):
        members = [member for member in args if member is not type(None)]
        if len(members) == 1:
            return _peel(members[0])[0], True
        peeled = [_peel(member) for member in members]
        return Union[tuple(inner for inner, _ in peeled)], any(none for _, none in peeled) or len(members) < len(args)  # noqa: UP007 - made at run time
    if origin is Literal and None in args:
        rest = tuple(arg for arg in args if arg is not None)
        return (Literal[rest] if rest else type(None)), True
    return annotation, annotation is type(None)


def _type(annotation: Any, above: tuple[Any, ...]) -> pa.DataType | None:  # noqa: PLR0911 - one line a kind
    """The arrow type, or None when only JSON text can hold the values."""
    inner, _ = _peel(annotation)
    origin, args = get_origin(inner), get_args(inner)
    if origin is Literal:
        return _common(to_plain(value) for value in args)
    if origin in (Union, types.UnionType):
        texts = all(isinstance(arg, type) and issubclass(arg, (str, *_AS_TEXT)) for arg in args)
        return pa.string() if texts else None
    if origin is tuple:
        one_kind = (len(args) == 2 and args[1] is Ellipsis) or len(set(args)) == 1
        return _list(args[0], above) if one_kind else None
    if origin in _LISTS:
        return _list(args[0], above)
    if not isinstance(inner, type):
        return next((kind for python, kind in _SCALARS if inner is python), None)
    if issubclass(inner, Enum):
        return _common(to_plain(member) for member in inner)
    if issubclass(inner, BaseModel):
        return _struct(inner, above)
    return next((kind for python, kind in _SCALARS if issubclass(inner, python)), None)


def _list(item: Any, above: tuple[Any, ...]) -> pa.DataType | None:
    kind = _type(item, above)
    return None if kind is None else pa.list_(kind)


def _struct(model: type[BaseModel], above: tuple[Any, ...]) -> pa.DataType | None:
    named = all(input_name(model, name) == name for name in model.model_fields)
    open_ended = issubclass(model, RootModel) or model.model_config.get("extra") == "allow"
    if model in above or open_ended or not named or not model.model_fields:
        return None
    kinds = {name: _type(info.annotation, (*above, model)) for name, info in model.model_fields.items()}
    if any(kind is None for kind in kinds.values()):
        return None
    return pa.struct([pa.field(name, kind) for name, kind in kinds.items()])


def _common(values: Iterator[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in values}
    one = kinds.pop() if len(kinds) == 1 else None
    return pa.string() if one is str else next((kind for python, kind in _SCALARS if one is python), None)
