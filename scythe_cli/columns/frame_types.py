"""The types that a frame's columns are kept as: those that parquet, pandas and polars read alike.

Input: an Arrow type. Output: the one that holds the same values, or an error that there is none.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import pyarrow as pa

DEEPEST = 30
"""The deepest nesting of a type: readers of parquet refuse 50 levels, the message to the supervisor refuses 64."""
DIGITS = 38
"""The most digits of a decimal number that polars reads."""
STORAGE_TYPES: dict[str, pa.DataType] = {
    "arrow.json": pa.string(),
    "arrow.uuid": pa.binary(16),
    "arrow.bool8": pa.bool_(),
}
"""Extension types whose values keep their meaning without them, and the type that those are kept as."""

_WHOLE_HOURS = re.compile(r"[+-]0\d:00|[+-]1[0-2]:00|\+1[34]:00")
_KNOWN_ZONE = "Europe/London"
_NO_COMMON_TYPE = "which parquet cannot hold in a way that all libraries read"
_EQUIVALENT: dict[pa.DataType, pa.DataType] = {
    **dict.fromkeys((pa.large_string(), pa.string_view()), pa.string()),
    **dict.fromkeys((pa.large_binary(), pa.binary_view(), pa.binary(0)), pa.binary()),
    pa.date64(): pa.date32(),
}
_KNOWN = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration),
    *(pa.types.is_string, pa.types.is_binary, pa.types.is_fixed_size_binary),
)


class UnsupportedType(ValueError):
    """A type that no column of a final table can have; the message follows "column x "."""


@lru_cache(maxsize=1 << 10)
def storable(kind: pa.DataType, depth: int = 0) -> pa.DataType:
    """The type a column is kept as: text of any encoding is string, categories are their values, views are lists.

    Raises:
        UnsupportedType: there is none.
    """
    if depth > DEEPEST:
        raise UnsupportedType(f"is nested more than {DEEPEST} levels deep")
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return storable(kind.value_type, depth + 1)
    if pa.types.is_nested(kind):
        return _nested(kind, depth + 1)
    if isinstance(kind, pa.BaseExtensionType):
        return storage_type(kind.extension_name)
    if pa.types.is_decimal(kind) and kind.scale <= DIGITS:
        digits = max(kind.precision - min(kind.scale, 0), kind.scale)
        return pa.decimal128(min(digits, DIGITS), max(kind.scale, 0))
    if pa.types.is_timestamp(kind) and kind.tz and not is_zone(kind.tz):
        raise UnsupportedType(
            f"has the time zone {kind.tz!r}, which not all libraries know; give it in UTC, or in an IANA zone"
        )
    kept: pa.DataType = _EQUIVALENT.get(kind, kind)
    if not any(known(kept) for known in _KNOWN):
        raise UnsupportedType(f"has the type {kind}, {_NO_COMMON_TYPE}")
    return kept


def storage_type(extension: str) -> pa.DataType:
    """The type that an extension type's values are kept as.

    Raises:
        UnsupportedType: the values mean nothing without the extension type.
    """
    if extension not in STORAGE_TYPES:
        raise UnsupportedType(f"is of the extension type {extension}; give its values in a plain type")
    return STORAGE_TYPES[extension]


@cache
def is_zone(name: str) -> bool:
    """Whether a time zone is one that all libraries know; where the machine has no list of zones, any may be."""
    if _WHOLE_HOURS.fullmatch(name):  # polars reads these offsets and no others
        return True
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return name != _KNOWN_ZONE and not is_zone(_KNOWN_ZONE)
    return True


def is_view_of_lists(kind: pa.DataType) -> bool:
    """Whether it is one of the two types whose lists may overlap and be in any order."""
    return pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)


def _nested(kind: Any, depth: int) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.map_(storable(kind.key_type, depth), storable(kind.item_type, depth))
    if pa.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if len({field.name for field in fields}) < max(1, len(fields)):  # none, or two of one name
            raise UnsupportedType(f"has the type {kind}, {_NO_COMMON_TYPE}")
        return pa.struct([(field.name, storable(field.type, depth)) for field in fields])
    if pa.types.is_union(kind) or (is_view_of_lists(kind) and depth > 1):  # one inside of a column cannot be cast
        raise UnsupportedType(f"has the type {kind}, {_NO_COMMON_TYPE}")
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    return pa.list_(storable(kind.value_type, depth), size or -1)
