"""How long the specs of a run took, as `status` has it. Imports nothing heavy: each status has such a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Durations:
    """How long specs took.

    Attributes:
        median: seconds.
        slowest: seconds of the spec that took longest.
        slowest_spec: its number.
        specs: how many specs these numbers are of: of a run at work, those whose results were written last.
    """

    median: float
    slowest: float
    slowest_spec: int
    specs: int

    def as_note(self) -> dict[str, Any]:
        """For the mark of a gather."""
        return asdict(self)


def from_note(note: Mapping[str, Any]) -> Durations | None:
    """From the mark of a gather; None where it says nothing, as older ones."""
    found = note.get("durations")
    try:
        return (
            Durations(
                median=float(found["median"]),
                slowest=float(found["slowest"]),
                slowest_spec=int(found["slowest_spec"]),
                specs=int(found["specs"]),
            )
            if isinstance(found, dict)
            else None
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
