"""What pydantic refuses, in our words: field, value and rule on one short line.

Input: a `ValidationError`. Output: `Problem`s, which the specs table, experiment.yml and an experiment's output all
show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

NOTHING: Any = type("Nothing", (), {"__repr__": lambda _: ""})()
"""Stands for the value of what is not there."""

_LONGEST = 80
_NUMBER = "must be a number"
_WHOLE = "must be a whole number"
_DATE = "must be a date such as 2026-01-31"
_TIME = "must be a date and time such as 2026-01-31T12:00:00"
UNEXPLAINED = 'is refused by the model, which gives no reason: write one, as in `assert x > 0, "must be > 0"`'
NOT_A_FIELD = "is not a field"
_RULES = {
    "missing": "is missing",
    "extra_forbidden": NOT_A_FIELD,
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} items, has {actual_length}",
    "too_long": "must have at most {max_length} items, has {actual_length}",
    "path_type": "must be a path",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "value_error": "{error}",
    "assertion_error": "{error}",
    **dict.fromkeys(["int_parsing", "int_type", "int_from_float"], _WHOLE),
    **dict.fromkeys(["float_parsing", "float_type", "decimal_parsing", "decimal_type"], _NUMBER),
    **dict.fromkeys(["bool_parsing", "bool_type"], "must be true or false"),
    **dict.fromkeys(["date_parsing", "date_type", "date_from_datetime_parsing", "date_from_datetime_inexact"], _DATE),
    **dict.fromkeys(["datetime_parsing", "datetime_type", "datetime_from_date_parsing"], _TIME),
}


@dataclass(frozen=True)
class Problem:
    """One value that breaks one rule.

    Attributes:
        field: where: `setpoint`, `run.timeout`, `layers[2].thickness`.
        value: the value there, or `NOTHING`.
        rule: what it breaks: `must be <= 30`.
    """

    field: str
    value: Any
    rule: str

    def __str__(self) -> str:
        if self.value is NOTHING:
            return f"{self.field}: {self.rule}"
        return f"{self.field} = {repr_value(self.value)}: {self.rule}"


def model_errors(exc: ValidationError, *, inside: str = "") -> list[Problem]:
    """Each thing pydantic found wrong, once: the members of a union that all refuse one value are one problem.

    Args:
        exc: what pydantic raised.
        inside: the field that was validated alone, where it was not a whole model.
    """
    found: dict[Any, list[ErrorDetails]] = {}
    errors = exc.errors(include_url=False)
    for number, error in enumerate(errors):
        twins = [other for other in errors if _same_value(error, other)]
        key = (error["loc"][:-1], id(error["input"])) if len(twins) > 1 else number
        found.setdefault(key, []).append(error)
    problems = []
    for group in found.values():
        first = group[0]
        loc = first["loc"] if len(group) == 1 else first["loc"][:-1]
        rules = list(dict.fromkeys(map(rule, group)))
        value = NOTHING if first["type"] == "missing" else first["input"]
        problems.append(Problem(_path(loc, inside), value, ", or ".join(rules)))
    return problems


def rule(error: ErrorDetails) -> str:
    """The rule that one of pydantic's errors is about."""
    known = _RULES.get(error["type"])
    if known is None:
        return error["msg"].replace("Input should be", "must be").replace("Value error, ", "")
    text = known.format_map({name: _short(bound) for name, bound in error.get("ctx", {}).items()})
    return " ".join(text.split()) if "\n" in text else text or UNEXPLAINED


def repr_value(value: object) -> str:
    """A value as messages show it, at most a line."""
    text = format_value(value)
    if "\n" in text:  # a frame, an array
        text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def format_value(value: object) -> str:
    """A value as its author would write it: dates and times in ISO 8601, also in a list, all else as Python does."""
    match value:
        case date() | time():
            return value.isoformat()
        case timedelta() | Decimal():
            return str(value)
        case list():
            return f"[{', '.join(map(format_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {format_value(inner)}' for key, inner in value.items())}}}"
    return repr(value)


def _short(bound: object) -> object:
    """A bound as its model's author wrote it: 30, which pydantic made 30.0 of."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() and abs(bound) < 1e15 else bound


def _same_value(one: ErrorDetails, other: ErrorDetails) -> bool:
    """Whether two errors are members of a union about one value."""
    return (
        one["input"] is other["input"]
        and one["loc"][:-1] == other["loc"][:-1]
        and "missing" not in (one["type"], other["type"])
    )


def _path(loc: Sequence[int | str], inside: str) -> str:
    path = inside
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".") or "row"
