"""What is conspicuous about the outputs of a run: NaN, nulls, columns that never change, values outside the bounds.

Input: the mark of a gather. Output: an `OutputCounts` for each output, and sentences about them. A spec whose output is
NaN has succeeded, unless the model or `run.nan` says otherwise, so somebody must say how many there are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class OutputCounts:
    """One output over all specs.

    Attributes:
        nan: specs that succeeded and gave NaN.
        null: specs that succeeded and gave None.
        constant: whether all values are equal; false where there are fewer than two.
        out_of_bounds: specs that failed because the value was outside the model's bounds.
    """

    nan: int = 0
    null: int = 0
    constant: bool = False
    out_of_bounds: int = 0

    def __bool__(self) -> bool:
        return self != OutputCounts()


def as_note(counts: Mapping[str, OutputCounts]) -> dict[str, Any]:
    """For the mark of a gather: only outputs with something to report, since there may be thousands."""
    return {name: asdict(one) for name, one in counts.items() if one}


def from_note(note: Mapping[str, Any], names: Iterable[str]) -> dict[str, OutputCounts]:
    """From the mark of a gather; empty where it says nothing, as older ones."""
    if not isinstance(found := note.get("outputs"), dict):
        return {}
    return {name: _from_note(found.get(name)) for name in names}


def _from_note(found: Any) -> OutputCounts:
    """What is known here; a newer version may have noted more."""
    known = found if isinstance(found, dict) else {}
    return OutputCounts(**{one.name: known[one.name] for one in fields(OutputCounts) if _is_count(known.get(one.name))})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def sentences(counts: Mapping[str, OutputCounts], succeeded: int) -> list[str]:
    """A sentence for each output with something to report: `heating: 3 NaN`.

    An output that is null in all specs that succeeded, as optional ones are, is left out.
    """
    words = {name: _words(one, succeeded) for name, one in counts.items()}
    return [f"{name}: {', '.join(found)}" for name, found in words.items() if found]


def _words(one: OutputCounts, succeeded: int) -> list[str]:
    null = 0 if one.null == succeeded else one.null
    numbers = {"NaN": one.nan, "null": null, "out of bounds": one.out_of_bounds}
    found = [f"{number:,} {what}" for what, number in numbers.items() if number]
    return [*found, "the same value in all specs"] if one.constant else found
