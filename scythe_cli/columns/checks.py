"""Whole columns against the rules of their fields, without a python object for each value.

Takes typed columns; leaves which values pydantic is certain to accept as they are. A rule that is not known here makes
no value certain, so that a doubt costs time and never a wrong answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute

from scythe_cli.columns.model_fields import anatomy
from scythe_cli.columns.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from scythe_cli.columns.model_fields import Core, Part

pc: Any = pyarrow.compute
Column = Any
"""A `pa.Array`. Both are Any, since pyarrow's stubs know each function by exact element types only."""

Check = Callable[[Column], Column]
"""From a column to a column of booleans: which values keep the rule."""

_SILENT = frozenset({"type", "ref", "metadata", "serialization", "strict"})
_COMPARE: dict[str, Callable[..., Column]] = {
    "ge": pc.greater_equal,
    "gt": pc.greater,
    "le": pc.less_equal,
    "lt": pc.less,
}
_LENGTH: dict[str, Callable[..., Column]] = {"min_length": pc.greater_equal, "max_length": pc.less_equal}
_EXACT_FLOATS = 2**53
_NO_SPACE_AROUND = r"(?s)^[!-~](.*[!-~])?$"


def check_bounds(table: pa.Table, model: type[BaseModel]) -> list[int]:
    """The rows of typed columns that are not certain to be valid: pydantic must look at these again.

    For outputs that were built or changed without validation. In a model with code of the user's, what its fields' own
    types and bounds allow is taken as it is, for its validators ran already and may not bear it twice.
    """
    body = anatomy(model)
    schema = arrow_schema(model)
    doubtful: Column = None
    for part in body.parts:
        if part.name not in table.column_names:
            continue
        column: Column = table[part.name].combine_chunks()
        checks = rules(_inside(part.core) if body.hooked else part.core, body.config, schema.field(part.name).type)
        if checks is None and body.hooked:
            checks = []
        unsure = pc.invert(_all(checks, column)) if checks is not None else pc.is_valid(column)
        unsure = pc.fill_null(unsure, not part.nullable and part.info.default is not None)
        doubtful = unsure if doubtful is None else pc.or_(doubtful, unsure)
    return [] if doubtful is None else cast("list[int]", pc.indices_nonzero(doubtful).to_pylist())


def certain(column: Column, part: Part, config: Mapping[str, Any], kind: pa.DataType) -> Column | None:
    """The values of a column that pydantic accepts as they are, in the field's type, and null for all others.

    None means that no value is certain.
    """
    checks = rules(part.core, config, kind)
    typed = _as_kind(column, kind) if checks is not None else None
    return None if typed is None or checks is None else keep(typed, _all(checks, typed))


def keep(column: Column, mask: Column) -> Column:
    """The values where the mask is true, null elsewhere."""
    return pc.if_else(mask, column, pa.scalar(None, column.type))


def rules(core: Core, config: Mapping[str, Any], kind: Any) -> list[Check] | None:
    """What decides whether a value of a typed column is accepted as it is; None where that is not known."""
    spoken = {key: value for key, value in core.items() if key not in _SILENT and value is not None}
    makers: dict[str, Callable[[], list[Check] | None]] = {
        "int": lambda: _int_rules(spoken),
        "float": lambda: _float_rules(spoken),
        "bool": lambda: _bounds(spoken, bool),
        "str": lambda: _str_rules(spoken, config),
        "date": lambda: _bounds(spoken, dt.date),
        "datetime": lambda: [] if spoken in ({}, {"microseconds_precision": "truncate"}) and kind.tz is None else None,
        "literal": lambda: _one_of(core["expected"], kind),
        "enum": lambda: _one_of([member.value for member in core["members"]], kind),
    }
    maker = makers.get(core["type"])
    return None if maker is None else maker()


def _all(checks: Iterable[Check], column: Column) -> Column:
    """Null where the value is."""
    kept: Column = pc.if_else(pc.is_valid(column), True, pa.scalar(None, pa.bool_()))
    for check in checks:
        kept = pc.and_(kept, check(column))
    return kept


def _as_kind(column: Column, kind: pa.DataType) -> Column | None:  # noqa: PLR0911 - one for each pair of types
    """A column in another type, null where the value would not be the same; None where pydantic must decide."""
    have = column.type
    if have == kind:
        return column
    if have == pa.uint64() and pa.types.is_integer(kind):
        return pc.cast(keep(column, pc.less_equal(column, pa.scalar(2**63 - 1, have))), kind)
    if pa.types.is_integer(have) and pa.types.is_integer(kind):
        return column.cast(kind)
    if pa.types.is_integer(have) and pa.types.is_floating(kind):
        signed: Column = _as_kind(column, pa.int64())
        exact = pc.and_(pc.less_equal(signed, _EXACT_FLOATS), pc.greater_equal(signed, -_EXACT_FLOATS))
        return pc.cast(keep(signed, exact), kind)
    if pa.types.is_floating(have) and pa.types.is_floating(kind):
        return column.cast(kind)
    if pa.types.is_floating(have) and pa.types.is_integer(kind):
        wide = column.cast(pa.float64())
        whole = pc.and_(pc.equal(wide, pc.floor(wide)), pc.less_equal(pc.abs(wide), float(_EXACT_FLOATS)))
        return pc.cast(keep(wide, whole), kind)
    return None


def _bounds(spoken: Mapping[str, Any], python: type) -> list[Check] | None:
    if not spoken.keys() <= _COMPARE.keys() or any(type(bound) is not python for bound in spoken.values()):
        return None
    return [_compare(_COMPARE[key], bound) for key, bound in spoken.items()]


def _compare(function: Callable[..., Column], bound: Any) -> Check:
    return lambda column: function(column, pa.scalar(bound))


def _int_rules(spoken: Mapping[str, Any]) -> list[Check] | None:
    bounds = dict(spoken)
    step = bounds.pop("multiple_of", None)
    if any(type(bound) is not int or abs(bound) >= 2**63 for bound in bounds.values()):
        return None
    checks = _bounds(bounds, int)
    if checks is None or step is None:
        return checks
    if type(step) is not int or not 0 < step < 2**63:
        return None
    return [*checks, lambda column: pc.equal(column, pc.multiply(pc.divide(column, step), step))]


def _float_rules(spoken: Mapping[str, Any]) -> list[Check] | None:
    bounds = {key: value for key, value in spoken.items() if key != "allow_inf_nan"}
    if any(type(bound) not in {int, float} or abs(bound) > _EXACT_FLOATS for bound in bounds.values()):
        return None
    checks = _bounds({key: float(bound) for key, bound in bounds.items()}, float)
    return None if checks is None else [pc.is_finite, *checks]


def _str_rules(spoken: Mapping[str, Any], config: Mapping[str, Any]) -> list[Check] | None:
    wanted = {key.removeprefix("str_"): value for key, value in config.items() if key.startswith("str_") and value}
    wanted.update({key: value for key, value in spoken.items() if value is not False})
    checks: list[Check] = []
    if wanted.pop("strip_whitespace", False):
        checks.append(lambda column: pc.or_(pc.match_substring_regex(column, _NO_SPACE_AROUND), pc.equal(column, "")))
    wanted.pop("coerce_numbers_to_str", None)
    if not wanted.keys() <= _LENGTH.keys():
        return None
    for key, bound in wanted.items():
        checks.append(_compare_length(_LENGTH[key], bound))
    return checks


def _compare_length(function: Callable[..., Column], bound: int) -> Check:
    return lambda column: function(pc.utf8_length(column), bound)


def _one_of(values: Iterable[Any], kind: pa.DataType) -> list[Check] | None:
    python = {pa.string(): str, pa.int64(): int, pa.bool_(): bool}.get(kind)
    choices = list(values)
    if python is None or any(type(value) is not python for value in choices):
        return None
    allowed = pa.array(choices, kind)
    return [lambda column: pc.is_in(column, value_set=allowed)]


def _inside(core: Core) -> Core:
    """What stands in validators around a field's type."""
    while core["type"].startswith("function-") and "schema" in core:
        core = core["schema"]
    return core
