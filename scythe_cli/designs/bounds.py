"""What a model says about the values of one field: bounds, step, choices.

Input: a field's core schema, as pydantic made it. Output: the smallest and largest value that the field takes.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scythe_cli.columns.model_fields import FieldSchema, SchemaNode

NUMBER, INTEGER, DATE, CHOICES, OTHER = "number", "integer", "date", "choices", "other"
_KINDS = {"float": NUMBER, "decimal": NUMBER, "int": INTEGER, "date": DATE}
_WRAPPERS = ("lax_schema", "json_schema", "schema")


@dataclass(frozen=True)
class FieldBounds:
    """The values that a field takes.

    Attributes:
        kind: number, integer, date, choices or other.
        low: the smallest, as a number (of a date its ordinal), or minus infinity.
        high: the largest, likewise, or infinity.
        step: values are multiples of it, where the field says so.
        choices: all values of a field with choices.
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf
    step: float | None = None
    choices: tuple[Any, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def read_bounds(field: FieldSchema) -> FieldBounds:
    """The bounds of a field of an input model."""
    if field.choices:
        return FieldBounds(CHOICES, choices=field.choices)
    core = _inside(field.core)
    if core["type"] == "bool":
        return FieldBounds(CHOICES, choices=(False, True))
    kind = _KINDS.get(core["type"], OTHER)
    if kind == OTHER:
        return FieldBounds(OTHER)
    low, high = _number(core.get("ge")), _number(core.get("le"))
    above, below = _number(core.get("gt")), _number(core.get("lt"))
    whole = kind in {INTEGER, DATE}
    lows = [-math.inf, *([low] if low is not None else []), *([_next(above, whole, 1)] if above is not None else [])]
    highs = [math.inf, *([high] if high is not None else []), *([_next(below, whole, -1)] if below is not None else [])]
    return FieldBounds(kind, max(lows), min(highs), _number(core.get("multiple_of")))


def _inside(core: SchemaNode) -> SchemaNode:
    """The number, date or text inside unions and wrappers."""
    if core["type"] == "union":
        numbers = [choice for choice in core["choices"] if isinstance(choice, dict) and choice["type"] in _KINDS]
        if len(numbers) == len(core["choices"]):
            return next((choice for choice in numbers if choice["type"] == "float"), numbers[0])
        return core
    if core["type"] not in _KINDS and (wrapped := next((core[key] for key in _WRAPPERS if key in core), None)):
        return _inside(wrapped) if isinstance(wrapped, dict) else core
    return core


def _number(value: Any) -> float | None:
    if value is None:
        return None
    return float(value.toordinal()) if isinstance(value, dt.date) else float(value)


def _next(bound: float, whole: bool, direction: int) -> float:
    """The first value beyond an excluded bound."""
    if whole:
        return (math.floor(bound) + 1.0) if direction > 0 else (math.ceil(bound) - 1.0)
    return math.nextafter(bound, math.inf * direction)
