"""Durations, sizes and failure limits: from what a person writes to plain numbers, and back to the same text.

Input: "1h30m", "4GiB", "5%". Output: seconds, bytes and a `MaxFailures`, as pydantic types whose JSON schema lets an
editor check them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

NONE = "none"
ALL = "all"
COUNT_AFTER = 20
"""Finished specs before a percentage of failures means anything."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: dict[str, int] = {"b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgtp", start=1)
    for suffix, base in [("b", 1000), ("ib", 1024)]
}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_PATTERN = rf"^(?={_NUMBER}[dhms])" + "".join(rf"(?:{_NUMBER}{unit})?" for unit in _UNITS) + "$"
SIZE_PATTERN = rf"^{_NUMBER} ?(?:[kKmMgGtTpP][iI]?)?[bB]$"
PERCENT_PATTERN = rf"^{_NUMBER} ?%$"

_DURATION_RULE = "must be a duration such as 45 (seconds), 30s, 10m or 1h30m"
_SIZE_RULE = "must be a size such as 500MB or 4GiB"
_LIMIT_RULE = "must be a number of specs such as 12, a percentage such as 5%, all or none"


def parse_duration(value: object) -> float:
    """Seconds, from a number of seconds, a text such as "1h30m", or a timedelta. Raises ValueError."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.match(DURATION_PATTERN, value):
        pairs = re.findall(rf"({_NUMBER})(ms|[dhms])", value)
        seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in pairs)
    else:
        raise ValueError(_DURATION_RULE)
    if not 0 <= seconds < math.inf:
        raise ValueError(_DURATION_RULE)
    return seconds


def format_duration(seconds: float) -> str | float:
    """The shortest text that `parse_duration` reads as the same number; the number itself where no text does."""
    left, text = round(seconds * 1000), ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, round(size * 1000))
        text += f"{count}{unit}" if count else ""
    text = text or "0s"
    return text if parse_duration(text) == seconds else seconds


def parse_size(value: object) -> int:
    """Bytes, from a number of bytes or a text such as "4GiB" or "500 MB". Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.match(SIZE_PATTERN, value):
        found = re.match(_NUMBER, value)
        number = found[0] if found else ""
        return round(Decimal(number) * _BYTES[value[len(number) :].strip().lower()])
    raise ValueError(_SIZE_RULE)


def format_size(size: int) -> str | int:
    """The shortest text that `parse_size` reads as the same number; the number itself where there is none."""
    exact = [(size // unit, name) for name, unit in _BYTES.items() if unit > 1 and size and size % unit == 0]
    if not exact:
        return size
    count, name = min(exact)
    return f"{count}{name.upper().replace('I', 'i')}"


@dataclass(frozen=True)
class MaxFailures:
    """How many failed specs a run bears before it stops. Without any of the three there is no limit.

    Attributes:
        count: this many; one more stops the run.
        percent: this share of the finished specs, 0 to 100, counted once 20 have finished.
        off: all may fail; the canary, which stops a run whose first specs all fail alike, is off as well.
    """

    count: int | None = None
    percent: float | None = None
    off: bool = False

    def exceeded(self, failed: int, finished: int, total: int) -> bool:
        """Whether the run has to stop. Never when nothing is left to stop."""
        if self.off or finished >= total:
            return False
        if self.count is not None:
            return failed > self.count
        return self.percent is not None and finished >= COUNT_AFTER and failed * 100 > self.percent * finished

    def message(self, failed: int, finished: int) -> str:
        """The sentence about a run that has exceeded this limit."""
        what = f"{failed:,} specs" if failed != 1 else "1 spec"
        if self.percent is not None:
            what = f"{failed:,} of {finished:,} finished specs"
        return f"{what} failed, more than max_failures ({self}) allows"

    @classmethod
    def parse(cls, value: object) -> MaxFailures:
        """From 12, "5%", "all", "none" or None. Raises ValueError."""
        if isinstance(value, MaxFailures):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(count=value)
        if value is None or value == NONE:
            return cls()
        if value == ALL:
            return cls(off=True)
        if isinstance(value, str) and re.match(PERCENT_PATTERN, value):
            percent = float(value.rstrip(" %"))
            if percent <= 100:
                return cls(percent=percent)
        raise ValueError(_LIMIT_RULE)

    def as_setting(self) -> str | int:
        """What `parse` reads as the same limit."""
        if self.off:
            return ALL
        if self.count is not None:
            return self.count
        if self.percent is None:
            return NONE
        return f"{int(self.percent) if self.percent.is_integer() else format(Decimal(repr(self.percent)), 'f')}%"

    def __str__(self) -> str:
        return str(self.as_setting())


def _positive(value: float | None) -> float | None:
    if value == 0:
        raise ValueError("must be more than 0")
    return value


def _or_none(value: object) -> object:
    return None if value == NONE else value


_DURATION = {"type": "string", "pattern": DURATION_PATTERN}
_DURATION_FORMS = [_DURATION, {"type": "number", "minimum": 0}]
_POSITIVE_FORMS = [_DURATION, {"type": "number", "exclusiveMinimum": 0}]
_SIZE_FORMS = [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 0}]
_LIMIT_FORMS = [{"type": "string", "pattern": PERCENT_PATTERN}, {"type": "integer", "minimum": 0}]

Seconds = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration), WithJsonSchema({"anyOf": _DURATION_FORMS})
]
PositiveSeconds = Annotated[Seconds, AfterValidator(_positive), WithJsonSchema({"anyOf": _POSITIVE_FORMS})]
OptionalSeconds = Annotated[
    PositiveSeconds | None,
    BeforeValidator(_or_none),
    WithJsonSchema({"anyOf": [*_POSITIVE_FORMS, {"enum": [NONE, None]}]}),
]
OptionalBytes = Annotated[
    Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size)] | None,
    BeforeValidator(_or_none),
    WithJsonSchema({"anyOf": [*_SIZE_FORMS, {"enum": [NONE, None]}]}),
]
Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size),
    WithJsonSchema({"anyOf": _SIZE_FORMS}),
]
Limit = Annotated[
    MaxFailures,
    BeforeValidator(MaxFailures.parse),
    PlainSerializer(MaxFailures.as_setting),
    WithJsonSchema({"anyOf": [*_LIMIT_FORMS, {"enum": [ALL, NONE, None]}]}),
]
