"""The types that a frame's columns are kept as: those that parquet, pandas and polars read alike.

Takes an Arrow type; leaves the one that holds the same values, or says that there is none.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa

DEEPEST = 30
"""Types may be nested so deep: parquet's readers refuse 50 levels, the hand-over refuses 64."""
DIGITS = 38
"""Of a decimal number, as many as polars reads."""
STORED: dict[str, pa.DataType] = {"arrow.json": pa.string(), "arrow.uuid": pa.binary(16), "arrow.bool8": pa.bool_()}
"""Extension types whose values say all without them, and the type those are kept as."""

_WHOLE_HOURS = re.compile(r"[+-]0\d:00|[+-]1[0-2]:00|\+1[34]:00")
_SOME_ZONE = "Europe/London"
_NOWHERE = "which no parquet table holds that all libraries read"
_SAME: dict[pa.DataType, pa.DataType] = {
    **dict.fromkeys((pa.large_string(), pa.string_view()), pa.string()),
    **dict.fromkeys((pa.large_binary(), pa.binary_view(), pa.binary(0)), pa.binary()),
    pa.date64(): pa.date32(),
}
_KNOWN = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration),
    *(pa.types.is_string, pa.types.is_binary, pa.types.is_fixed_size_binary),
)


class NoKind(ValueError):
    """A type that no column of a final table can have; the message goes behind "column x "."""


@lru_cache(maxsize=1 << 10)
def plain(kind: pa.DataType, depth: int = 0) -> pa.DataType:
    """The type a column is kept as: text of any encoding is string, categories are their values, views are lists.

    Raises:
        NoKind: there is none.
    """
    if depth > DEEPEST:
        raise NoKind(f"is nested more than {DEEPEST} levels deep")
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain(kind.value_type, depth + 1)
    if pa.types.is_nested(kind):
        return _nested(kind, depth + 1)
    if isinstance(kind, pa.BaseExtensionType):
        return stored(kind.extension_name)
    if pa.types.is_decimal(kind) and kind.scale <= DIGITS:
        digits = max(kind.precision - min(kind.scale, 0), kind.scale)
        return pa.decimal128(min(digits, DIGITS), max(kind.scale, 0))
    if pa.types.is_timestamp(kind) and kind.tz and not is_zone(kind.tz):
        raise NoKind(f"has the time zone {kind.tz!r}, which not all libraries know; give it in UTC, or in an IANA zone")
    kept: pa.DataType = _SAME.get(kind, kind)
    if not any(known(kept) for known in _KNOWN):
        raise NoKind(f"has the type {kind}, {_NOWHERE}")
    return kept


def stored(extension: str) -> pa.DataType:
    """The type that an extension type's values are kept as. Raises `NoKind` where they mean nothing without it."""
    if extension not in STORED:
        raise NoKind(f"is of the extension type {extension}; give its values in a plain type")
    return STORED[extension]


@cache
def is_zone(name: str) -> bool:
    """Whether a time zone is one that all libraries know; where the machine has no list of zones, any may be."""
    if _WHOLE_HOURS.fullmatch(name):  # polars reads these offsets and no others
        return True
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return name != _SOME_ZONE and not is_zone(_SOME_ZONE)
    return True


def is_view_of_lists(kind: pa.DataType) -> bool:
    """Whether it is one of the two types whose lists may overlap and stand in any order."""
    return pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)


def _nested(kind: Any, depth: int) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.map_(plain(kind.key_type, depth), plain(kind.item_type, depth))
    if pa.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if len({field.name for field in fields}) < max(1, len(fields)):  # none, or two of one name
            raise NoKind(f"has the type {kind}, {_NOWHERE}")
        return pa.struct([(field.name, plain(field.type, depth)) for field in fields])
    if pa.types.is_union(kind) or (is_view_of_lists(kind) and depth > 1):  # one inside of a column cannot be cast
        raise NoKind(f"has the type {kind}, {_NOWHERE}")
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    return pa.list_(plain(kind.value_type, depth), size or -1)
