"""Python values as builtin types: what Arrow, JSON and the model's own validation understand.

Input: a validated value of any supported type. Output: booleans, numbers, text, bytes, dates and times, lists and dicts
of these. A value of another class stays as it is: a column then refuses it.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AnyUrl, BaseModel, NameEmail, RootModel, TypeAdapter
from pydantic_core import MultiHostUrl, PydanticSerializationError, Url, to_json

AS_TEXT = (
    *(PurePath, UUID, Decimal, Fraction, AnyUrl, Url, MultiHostUrl, complex, ZoneInfo, NameEmail),
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
)
"""Classes whose values are kept as their text, which pydantic reads back."""
_BUILTIN = frozenset({bool, int, float, str, bytes, dt.date, dt.datetime, dt.time, dt.timedelta, type(None)})
_ALIKE = (list | tuple, set | frozenset)
"""Where pydantic keeps the one that it was given, JSON has one form."""
_NO_VALUE = frozenset({"NaTType", "NAType"})
"""What pandas writes where a value is missing."""


class UnsupportedValue(ValueError):
    """A value that no column holds; the message follows "field = value: "."""


def to_plain(value: Any) -> Any:  # noqa: PLR0911 - a cell may hold any value, one line a kind
    """A validated value as builtin types that Arrow, JSON and the model's own validation understand."""
    kind = type(value)
    if kind in _BUILTIN:
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, RootModel):
        return to_plain(value.root)
    if isinstance(value, BaseModel):
        named = {input_name(kind, name): to_plain(getattr(value, name)) for name in kind.model_fields}
        return named | {name: to_plain(extra) for name, extra in (value.model_extra or {}).items()}
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {_key(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(to_plain, value), key=repr)  # sets have no order, and a table should be the same each time
    if isinstance(value, list | tuple | deque):
        return [to_plain(inner) for inner in value]
    if isinstance(value, AS_TEXT):
        return str(value)
    if isinstance(value, re.Pattern):
        return value.pattern
    if from_library := _FROM_LIBRARY.get(kind.__module__.partition(".")[0]):
        return from_library(value)
    return _builtin_of(value) if isinstance(value, tuple(_BUILTIN)) else _from_own_type(value)


def to_json_text(value: Any) -> str:
    """A value as JSON text.

    Raises:
        UnsupportedValue: JSON has no form for it, or for a part of it.
    """
    try:
        return to_json(to_plain(value), inf_nan_mode="constants", fallback=_refuse).decode()
    except PydanticSerializationError as exc:
        _, _, ours = str(exc).partition(f"{UnsupportedValue.__name__}: ")
        raise UnsupportedValue(ours or f"has no form in JSON: {exc}") from exc


def is_same(one: Any, other: Any) -> bool:
    """Whether two validated values of a field are the same; NaN is itself, numpy's and pandas' scalars are Python's."""
    return first_change(one, other) is None


class Change(NamedTuple):
    """Where a value differs from another of the same field.

    Attributes:
        path: from the field to the part that differs, `.layers[2]`; empty for the whole value.
        value: the part.
        other: what the other value has in its place.
    """

    path: str
    value: Any
    other: Any


def first_change(one: Any, other: Any, path: str = "") -> Change | None:
    """The first part of a value that another value does not have in the same type; None where they are the same."""
    one, other = _of_python(one), _of_python(other)
    change = Change(path, one, other)
    alike = not path and any(isinstance(one, kinds) and isinstance(other, kinds) for kinds in _ALIKE)
    if type(one) is not type(other) and not alike:
        return change
    parts, others = _parts(one), _parts(other)
    if parts is None or others is None:
        return None if _is_equal(one, other) else change
    if len(parts) != len(others):
        return change
    for (name, key, inner), (_, other_key, other_inner) in zip(parts, others, strict=True):
        if type(key) is not type(other_key) or key != other_key:
            return Change(path, one, other)
        if isinstance(one, BaseModel) and isinstance(inner, PurePath) and str(inner) == other_inner:
            continue  # a model inside of a spec carries its paths along as text
        if (found := first_change(inner, other_inner, path + name)) is not None:
            return found
    return None


def _parts(value: Any) -> list[tuple[str, Any, Any]] | None:  # noqa: PLR0911 - one line for each kind of container
    """Of each part of a container: what it adds to the path, its key, and itself; None for what is not a container."""
    if isinstance(value, RootModel):
        return [("", None, value.root)]
    if isinstance(value, BaseModel):
        held = {name: getattr(value, name) for name in type(value).model_fields} | (value.model_extra or {})
        return [(f".{name}", name, inner) for name, inner in held.items()]
    if is_dataclass(value):
        return [(f".{one.name}", one.name, getattr(value, one.name)) for one in fields(value)]
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", key, inner) for key, inner in sorted(value.items(), key=lambda item: repr(item[0]))]
    if isinstance(value, set | frozenset):
        return [("[...]", None, inner) for inner in sorted(value, key=repr)]
    if isinstance(value, list | tuple | deque):
        return [(f"[{at}]", None, inner) for at, inner in enumerate(value)]
    return None


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two values of one type, which are not containers, are equal or have the same text."""
    try:
        return bool(one == other) or (not isinstance(one, re.Pattern) and to_json_text(one) == to_json_text(other))
    except (UnsupportedValue, ValueError, TypeError):
        return False


def unsupported(value: Any) -> UnsupportedValue:
    """The error that says what a value of this class should be instead."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return UnsupportedValue(f"holds a {name}, which no column holds; {_instead(value)}")


def input_name(model: type[BaseModel], name: str) -> str:
    """What pydantic's input calls a field: its alias where it has one."""
    alias = model.model_fields[name].validation_alias
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    return alias if isinstance(alias, str) and not by_name else name


def _of_python(value: Any) -> Any:
    from_library = _FROM_LIBRARY.get(type(value).__module__.partition(".")[0])
    return from_library(value) if from_library else value


def _instead(value: Any) -> str:
    if hasattr(value, "tolist"):  # an array or a series, of any library
        return "give value.tolist()"
    if hasattr(value, "__arrow_c_stream__"):
        return "give it in `dataframes`"
    return "give numbers, text, lists or dicts"


def _refuse(value: Any) -> Any:
    raise unsupported(value)


def _key(key: Any) -> Any:
    plain = to_plain(key)
    if isinstance(plain, list | dict):
        raise UnsupportedValue(f"has the key {key!r}, and a key in JSON is text or a number")
    return plain


def _builtin_of(value: Any) -> Any:  # noqa: PLR0911 - one line a kind
    """The builtin value of an instance of a subclass, such as `ByteSize`, a `str` with methods, a moment of pandas."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, dt.datetime):
        clock = (value.hour, value.minute, value.second, value.microsecond, value.tzinfo)
        return dt.datetime(value.year, value.month, value.day, *clock, fold=value.fold)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    if isinstance(value, dt.time):
        return dt.time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)
    return dt.timedelta(value.days, value.seconds, value.microseconds)


def _from_pandas(value: Any) -> Any:
    """A moment or a span of pandas as Python's, where no digit is lost; anything else as it is."""
    if type(value).__name__ in _NO_VALUE:
        return None
    finer = getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0)
    return value if finer or not isinstance(value, dt.datetime | dt.timedelta) else _builtin_of(value)


def _from_numpy(value: Any) -> Any:
    """A scalar of numpy as Python's, where no digit is lost; anything else as it is."""
    np = sys.modules["numpy"]
    if not isinstance(value, np.generic):
        return value
    if isinstance(value, np.datetime64 | np.timedelta64):
        if np.isnat(value):
            return None
        micro = value.astype(f"{value.dtype.kind}8[us]")
        return micro.item() if micro == value else value
    if isinstance(value, np.complexfloating):
        return str(complex(value))
    return float(value) if isinstance(value, np.floating) else value.item()


def _from_own_type(value: Any) -> Any:
    """What a type of somebody else's says how its values are written; else the value as it is."""
    adapter = _adapter(cast("Any", type(value)))
    if adapter is None:
        return value
    try:
        return adapter.dump_python(value, mode="json")
    except (PydanticSerializationError, ValueError, TypeError):
        return value


@lru_cache(maxsize=256)
def _adapter(kind: type) -> TypeAdapter[Any] | None:
    return TypeAdapter(kind) if hasattr(kind, "__get_pydantic_core_schema__") else None


_FROM_LIBRARY = {"numpy": _from_numpy, "pandas": _from_pandas}
