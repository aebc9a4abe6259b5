"""Check whole columns against the rules of their fields, without a Python object for each value.

Input: typed columns. Output: which values pydantic surely accepts as they are. Where a rule is not known here, no value
counts as surely valid: a doubt costs time and never gives a wrong answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.columns.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from scythe_cli.columns.model_fields import FieldSchema, SchemaNode

pc: Any = pyarrow.compute
Column = Any
"""A `pa.Array`. Both are Any, since pyarrow's stubs know each function by exact element types only."""

Check = Callable[[Column], Column]
"""From a column to a column of booleans: which values keep the rule."""

_NO_RULE = frozenset({"type", "ref", "metadata", "serialization", "strict"})
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
    types and bounds allow is taken as it is: its validators ran already and may fail the second time.
    """
    needs_pydantic: Column = None
    known = _known_rules(model)
    for name, chunked in zip(table.column_names, table.columns, strict=True):
        if name not in known:
            continue
        checks, fails_if_null = known[name]
        column: Column = chunked.combine_chunks()
        if checks is not None and not column.null_count and _keeps_all(checks, column):
            continue
        unsure = pc.invert(_all(checks, column)) if checks is not None else pc.is_valid(column)
        unsure = pc.fill_null(unsure, fails_if_null)
        needs_pydantic = unsure if needs_pydantic is None else pc.or_(needs_pydantic, unsure)
    return [] if needs_pydantic is None else cast("list[int]", pc.indices_nonzero(needs_pydantic).to_pylist())


@lru_cache(maxsize=64)
def _known_rules(model: type[BaseModel]) -> dict[str, tuple[list[Check] | None, bool]]:
    """By field of a model, what decides whether its values are accepted, and whether a missing one is in doubt."""
    known = read_fields(model)
    kinds = {field.name: field.type for field in arrow_schema(model)}
    found = {}
    for field in known.fields:
        core = _unwrapped(field.core) if known.has_custom_validation else field.core
        checks = rules(core, known.config, kinds[field.name])
        if checks is None and known.has_custom_validation:
            checks = []
        found[field.name] = checks, not field.nullable and field.info.default is not None
    return found


def surely_valid(column: Column, field: FieldSchema, config: Mapping[str, Any], kind: pa.DataType) -> Column | None:
    """The values of a column that pydantic accepts as they are, in the field's type, and null for all others.

    None means that no value is surely valid.
    """
    checks = rules(field.core, config, kind)
    typed = as_kind(column, kind) if checks is not None else None
    return None if typed is None or checks is None else keep(typed, _all(checks, typed))


def keep(column: Column, mask: Column) -> Column:
    """The values where the mask is true, null elsewhere."""
    return pc.if_else(mask, column, pa.scalar(None, column.type))


def rules(core: SchemaNode, config: Mapping[str, Any], kind: Any) -> list[Check] | None:
    """What decides whether a value of a typed column is accepted as it is; None where that is not known."""
    constraints = {key: value for key, value in core.items() if key not in _NO_RULE and value is not None}
    by_type: dict[str, Callable[[], list[Check] | None]] = {
        "int": lambda: _int_rules(constraints),
        "float": lambda: _float_rules(constraints),
        "bool": lambda: _bounds(constraints, bool),
        "str": lambda: _str_rules(constraints, config),
        "date": lambda: _bounds(constraints, dt.date),
        "datetime": lambda: (
            [] if constraints in ({}, {"microseconds_precision": "truncate"}) and kind.tz is None else None
        ),
        "literal": lambda: _one_of(core["expected"], kind),
        "enum": lambda: _one_of([member.value for member in core["members"]], kind),
    }
    rules_of = by_type.get(core["type"])
    return None if rules_of is None else rules_of()


def _all(checks: Iterable[Check], column: Column) -> Column:
    """Null where the value is."""
    kept: Column = pc.if_else(pc.is_valid(column), True, pa.scalar(None, pa.bool_()))
    for check in checks:
        kept = pc.and_(kept, check(column))
    return kept


def _keeps_all(checks: Iterable[Check], column: Column) -> bool:
    """Whether every value keeps every rule; most columns do, and this asks for less than `_all` and its mask."""
    return all(check(column).true_count == len(column) for check in checks)


def as_kind(column: Column, kind: pa.DataType) -> Column | None:  # noqa: PLR0911 - one for each pair of types
    """A column in another type, null where the value would not be the same; None where pydantic must decide."""
    have = column.type
    if have == kind:
        return column
    if have == pa.uint64() and pa.types.is_integer(kind):
        return pc.cast(keep(column, pc.less_equal(column, pa.scalar(2**63 - 1, have))), kind)
    if pa.types.is_integer(have) and pa.types.is_integer(kind):
        return column.cast(kind)
    if pa.types.is_integer(have) and pa.types.is_floating(kind):
        signed: Column = as_kind(column, pa.int64())
        exact = pc.and_(pc.less_equal(signed, _EXACT_FLOATS), pc.greater_equal(signed, -_EXACT_FLOATS))
        return pc.cast(keep(signed, exact), kind)
    if pa.types.is_floating(have) and pa.types.is_floating(kind):
        return column.cast(kind)
    if pa.types.is_floating(have) and pa.types.is_integer(kind):
        wide = column.cast(pa.float64())
        whole = pc.and_(pc.equal(wide, pc.floor(wide)), pc.less_equal(pc.abs(wide), float(_EXACT_FLOATS)))
        return pc.cast(keep(wide, whole), kind)
    return None


def _bounds(constraints: Mapping[str, Any], python: type) -> list[Check] | None:
    if not constraints.keys() <= _COMPARE.keys() or any(type(bound) is not python for bound in constraints.values()):
        return None
    return [_compare(_COMPARE[key], bound) for key, bound in constraints.items()]


def _compare(function: Callable[..., Column], bound: Any) -> Check:
    return lambda column: function(column, pa.scalar(bound))


def _int_rules(constraints: Mapping[str, Any]) -> list[Check] | None:
    bounds = dict(constraints)
    step = bounds.pop("multiple_of", None)
    if any(type(bound) is not int or abs(bound) >= 2**63 for bound in bounds.values()):
        return None
    checks = _bounds(bounds, int)
    if checks is None or step is None:
        return checks
    if type(step) is not int or not 0 < step < 2**63:
        return None
    return [*checks, lambda column: pc.equal(column, pc.multiply(pc.divide(column, step), step))]


def _float_rules(constraints: Mapping[str, Any]) -> list[Check] | None:
    bounds = {key: value for key, value in constraints.items() if key != "allow_inf_nan"}
    if any(type(bound) not in {int, float} or abs(bound) > _EXACT_FLOATS for bound in bounds.values()):
        return None
    checks = _bounds({key: float(bound) for key, bound in bounds.items()}, float)
    return None if checks is None else [pc.is_finite, *checks]


def _str_rules(constraints: Mapping[str, Any], config: Mapping[str, Any]) -> list[Check] | None:
    wanted = {key.removeprefix("str_"): value for key, value in config.items() if key.startswith("str_") and value}
    wanted.update({key: value for key, value in constraints.items() if value is not False})
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


def _unwrapped(core: SchemaNode) -> SchemaNode:
    """The schema inside the validators that wrap a field's type."""
    while core["type"].startswith("function-") and "schema" in core:
        core = core["schema"]
    return core
