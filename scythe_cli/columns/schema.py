"""The Arrow type of each field of a model.

Input: a pydantic model. Output: a `pa.Schema`. The types depend on the model alone, never on the data, so that a column
of nulls has the same type as any other.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import types
from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin

import pyarrow as pa
from pydantic import (
    AwareDatetime,
    BaseModel,
    EmailStr,
    FutureDate,
    FutureDatetime,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    PydanticUserError,
    RootModel,
    TypeAdapter,
)

from scythe_cli.experiment.field_kinds import DATAFRAMES, user_fields
from scythe_cli.experiment.plain_values import AS_TEXT, input_name, to_plain

JSON = {b"scythe": b"json"}
MICROSECONDS: pa.DataType = pa.timestamp("us")
TIMES: pa.DataType = pa.time64("us")
_TEXT_ONLY = (re.Pattern, EmailStr, IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork)
_SCALARS: tuple[tuple[Any, pa.DataType], ...] = (  # the first that fits: bool before int, datetime before date
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    ((str, *AS_TEXT, *_TEXT_ONLY), pa.string()),
    ((PastDatetime, FutureDatetime, NaiveDatetime, dt.datetime), MICROSECONDS),
    (AwareDatetime, pa.timestamp("us", "UTC")),
    ((PastDate, FutureDate, dt.date), pa.date32()),
    (dt.time, TIMES),
    (dt.timedelta, pa.duration("us")),
    (bytes, pa.binary()),
)
_LISTS = (list, set, frozenset, deque, Sequence, AbstractSet)
_JSON_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


@lru_cache(maxsize=64)
def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """The columns of a model's user fields, and of the computed fields of an output model.

    Numbers, booleans, text, dates and times have their own types; enums and literals that of their values; paths, urls,
    uuids and decimals are text; lists of these are lists and models of these are structs. All else (dicts, unions,
    `Any`) is JSON text, see `is_json`. A field that cannot be None is not nullable. A column of
    `AwareDatetime` is in UTC; no other takes a value with a time zone.
    """
    columns = [arrow_field(name, model.model_fields[name].annotation) for name in user_fields(model)]
    if DATAFRAMES in model.model_fields:  # an output model
        columns += [arrow_field(name, field.return_type) for name, field in model.model_computed_fields.items()]
    return pa.schema(columns)


def arrow_field(name: str, annotation: Any) -> pa.Field[Any]:
    """The column of one field."""
    inner, nullable = _peel(annotation)
    kind = _type(inner, ())
    if kind is None:
        return pa.field(name, pa.string(), nullable or inner is Any or inner is object, JSON)
    return pa.field(name, kind, nullable)


def is_json(field: pa.Field[Any]) -> bool:
    """Whether a column holds JSON text of values that no arrow type can hold."""
    return bool((field.metadata or {}).get(b"scythe") == b"json")


def _peel(annotation: Any) -> tuple[Any, bool]:  # noqa: PLR0911 - one line for each way to wrap a type
    """The type inside `Annotated`, aliases and `Optional`, and whether None is allowed."""
    if isinstance(annotation, NewType):
        return _peel(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        return _peel(Any if annotation.__bound__ is None else annotation.__bound__)
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
        return _union(args, above)
    if origin is tuple:
        one_kind = (len(args) == 2 and args[1] is Ellipsis) or len(set(args)) == 1
        return _list(args[0], above) if one_kind else None
    if origin in _LISTS:
        return _list(args[0], above)
    if origin is not None:
        inner = origin
    if not isinstance(inner, type):
        return None
    if issubclass(inner, Enum):
        return _common(to_plain(member) for member in inner)
    if issubclass(inner, BaseModel):
        return _struct(inner, above)
    known = next((kind for python, kind in _SCALARS if issubclass(inner, python)), None)
    return known or _of_numpy(inner) or _of_own_type(cast("Any", inner))


def _union(members: tuple[Any, ...], above: tuple[Any, ...]) -> pa.DataType | None:
    """Of text in several forms, and of whole numbers and floating ones; else JSON distinguishes the members."""
    kinds = {_type(member, above) for member in members}
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind if kind is not None and not pa.types.is_nested(kind) else None


def _of_numpy(kind: type) -> pa.DataType | None:
    """Of numpy's scalars that are not Python's too."""
    if kind.__module__ != "numpy" or not issubclass(kind, (np := sys.modules["numpy"]).generic):
        return None
    known = (
        (np.timedelta64, pa.duration("us")),  # which counts as an integer there
        (np.bool_, pa.bool_()),
        (np.integer, pa.int64()),
        (np.floating, pa.float64()),
        (np.complexfloating, pa.string()),
        (np.datetime64, MICROSECONDS),
    )
    return next((found for base, found in known if issubclass(kind, base)), None)


@lru_cache(maxsize=256)
def _of_own_type(kind: type) -> pa.DataType | None:
    """Of a type of somebody else's that says how pydantic writes its values."""
    if not hasattr(kind, "__get_pydantic_core_schema__"):
        return None
    try:
        written = TypeAdapter(kind).json_schema(mode="serialization").get("type")
    except (PydanticUserError, TypeError):
        return None
    return _JSON_TYPES.get(str(written))


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
    if kinds == {int, float}:
        return pa.float64()
    one = kinds.pop() if len(kinds) == 1 else None
    return pa.string() if one is str else next((kind for python, kind in _SCALARS if one is python), None)
