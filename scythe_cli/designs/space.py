"""The space of a design: which values each field takes.

Input: the input model and the sections `space`, `fixed` and `cross` of a design. Output: one `Dimension` for each
field that varies, and the values of the others. What the sections do not name, the model's own bounds and choices say.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import ValidationError

from scythe_cli.columns.model_fields import FieldSchema, read_fields
from scythe_cli.designs.bounds import CHOICES, DATE, INTEGER, NUMBER, OTHER, FieldBounds, read_bounds
from scythe_cli.designs.dimension import Distributed, Integers, Levels, Uniform
from scythe_cli.designs.distributions import read_law
from scythe_cli.errors import ConfigError, did_you_mean
from scythe_cli.experiment.field_kinds import file_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from scythe_cli.designs.dimension import Dimension, Points

    Where = Callable[[str], str]

LEAST_MASS = 1e-12
"""A distribution with less probability than this within the bounds has no values there."""
MOST_LEVELS = 1_000_000


@dataclass(frozen=True)
class Dates:
    """Days between two dates, both included."""

    name: str
    days: Integers

    @property
    def levels(self) -> list[dt.date]:
        """The days in order."""
        return [dt.date.fromordinal(day) for day in self.days.levels]

    @property
    def described(self) -> list[str]:
        """The range."""
        return [dt.date.fromordinal(day).isoformat() for day in (self.days.low, self.days.high)]

    def values(self, points: Points) -> list[dt.date]:
        """The day whose share each point falls into."""
        return [dt.date.fromordinal(day) for day in self.days.values(points).tolist()]


def read_space(
    model: type[BaseModel],
    space: Mapping[str, Any],
    *,
    others: Mapping[str, Mapping[str, Any]],
    where: Where,
) -> list[Dimension]:
    """The fields that vary, in the model's order.

    Args:
        model: the input model.
        space: field -> range, levels or distribution; a required field that it does not name has the model's bounds.
        others: the sections `fixed` and `cross`: their fields do not vary.
        where: the place of a key below `specs`, for messages.

    Raises:
        ConfigError: a field is unknown, named twice, without bounds, or has values that the model refuses.
    """
    fields = {field.name: field for field in read_fields(model).fields}
    files = set(file_fields(model))
    _check_names(fields, {"space": space, **others}, where)
    named = {name for section in others.values() for name in section}
    problems, found = [], []
    for name, field in fields.items():
        if name in named or (name not in space and not field.required):
            continue
        try:
            found.append(_dimension(field, space.get(name), where(f"space.{name}"), is_file=name in files))
        except ConfigError as exc:
            problems.append(exc.message)
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def check_value(field: FieldSchema, value: Any, where: str) -> None:
    """Hold that the model takes a value of a field. Raises `ConfigError`."""
    try:
        field.validator.validate_python(value)
    except ValidationError as exc:
        raise ConfigError(f"{where}: {value!r} is not a value of the field: {exc.errors()[0]['msg']}") from None


def _check_names(fields: Mapping[str, FieldSchema], sections: Mapping[str, Mapping[str, Any]], where: Where) -> None:
    seen: dict[str, str] = {}
    for section, names in sections.items():
        for name in names:
            if name not in fields:
                near = did_you_mean(name, fields)
                raise ConfigError(f"{where(f'{section}.{name}')} is not a field of the model.{near}")
            if name in seen:
                raise ConfigError(f"{where(f'{section}.{name}')} is under {seen[name]} too: keep one of them")
            seen[name] = section


def _dimension(field: FieldSchema, given: Any, where: str, *, is_file: bool) -> Dimension:
    bounds = read_bounds(field)
    if isinstance(given, dict):
        return _from_mapping(field, bounds, given, where)
    if isinstance(given, list):
        return _from_list(field, bounds, given, where)
    if given is not None:
        raise ConfigError(
            f"{where} is {given!r}: write [low, high], {{levels: [...]}} or a distribution, or move it to fixed"
        )
    if bounds.kind == CHOICES:
        return Levels(field.name, bounds.choices)
    if is_file:
        raise ConfigError(f"{where}: a file has no bounds: name files, as in cross: {{{field.name}: weather/*.epw}}")
    if bounds.kind == OTHER or not bounds.finite:
        rule = "has no bounds in the model" if bounds.kind != OTHER else "has neither bounds nor choices in the model"
        how = "[low, high]" if bounds.kind != OTHER else "{levels: [...]}"
        raise ConfigError(f"{where}: the field {rule}: write {field.name}: {how}, or give it a value under fixed")
    return _range(field.name, bounds, where)


def _from_mapping(field: FieldSchema, bounds: FieldBounds, given: Mapping[str, Any], where: str) -> Dimension:
    if len(given) != 1:
        raise ConfigError(f"{where}: give one of levels, normal, lognormal, uniform and triangular, not {list(given)}")
    if "levels" in given:
        return _levels(field, given["levels"], where)
    if bounds.kind not in {NUMBER, INTEGER}:
        raise ConfigError(f"{where}: only a number can follow a distribution: write {{levels: [...]}}")
    integer = bounds.kind == INTEGER
    found = Distributed(field.name, read_law(given, where), dict(given), bounds.low, bounds.high, integer)
    if not found.mass > LEAST_MASS:
        limits = f"{bounds.low:g} to {bounds.high:g}"
        raise ConfigError(f"{where}: the distribution has no values within the field's bounds, {limits}")
    return found


def _levels(field: FieldSchema, levels: Any, where: str) -> Levels:
    if not isinstance(levels, list) or not levels:
        raise ConfigError(f"{where}: levels must be a list of values, as in {{levels: [19, 20, 21]}}")
    for level in levels:
        check_value(field, level, f"{where}.levels")
    if len({repr(level) for level in levels}) < len(levels):
        raise ConfigError(f"{where}: a level is given twice")
    return Levels(field.name, tuple(levels))


def _from_list(field: FieldSchema, bounds: FieldBounds, given: list[Any], where: str) -> Dimension:
    if bounds.kind in {CHOICES, OTHER}:
        return _levels(field, given, where)
    if len(given) != 2:
        raise ConfigError(f"{where}: a range has two ends, [low, high]; for single values write {{levels: {given}}}")
    for end in given:
        check_value(field, end, where)
    low, high = (float(end.toordinal()) if isinstance(end, dt.date) else float(end) for end in map(_date, given))
    if not low < high:
        raise ConfigError(f"{where}: {given[0]} is not below {given[1]}; for one value use fixed")
    return _range(field.name, FieldBounds(bounds.kind, low, high, bounds.step), where)


def _date(end: Any) -> Any:
    return dt.date.fromisoformat(end) if isinstance(end, str) and len(end) == len("2026-01-31") else end


def _range(name: str, bounds: FieldBounds, where: str) -> Dimension:
    low, high = bounds.low, bounds.high
    if bounds.kind == NUMBER and bounds.step is None:
        return Uniform(name, low, high)
    if bounds.kind == NUMBER:
        return Levels(name, _multiples(low, high, float(bounds.step or 1), where))
    step = int(bounds.step or 1)
    first = math.ceil(low / step) * step
    numbers = Integers(name, first, math.floor(high), step)
    if not len(numbers.levels):
        raise ConfigError(f"{where}: no whole number is between {low:g} and {high:g}")
    return Dates(name, numbers) if bounds.kind == DATE else numbers


def _multiples(low: float, high: float, step: float, where: str) -> tuple[float, ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if not 0 <= last - first < MOST_LEVELS:
        raise ConfigError(f"{where}: there are no multiples of {step:g} between {low:g} and {high:g}, or too many")
    digits = max(0, 12 - math.ceil(math.log10(max(abs(high), abs(low), 1.0))))
    return tuple(np.round(np.arange(first, last + 1) * step, digits).tolist())
