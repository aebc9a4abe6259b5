"""When a run began and ended, and how long it was at work.

Input: the marks of a run. Output: a `Period`. Costs two small reads for each generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.core.layout import Mark
from scythe_cli.run.state import read_mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scythe_cli.run.run import Run

LATEST = 20
"""Generations that are read; a run with more of them has had its first ones long ago."""


@dataclass(frozen=True)
class Period:
    """The time of a run.

    Attributes:
        began: when its first generation began, UTC; None before that.
        ended: when its latest generation ended; None while it runs, and where its process died.
        elapsed: seconds at work, over all generations; what is between them does not count.
        user: who began the latest generation.
    """

    began: datetime | None = None
    ended: datetime | None = None
    elapsed: float | None = None
    user: str | None = None


def read_period(run: Run, marks: Mapping[str, list[int]], until: datetime | None) -> Period:
    """The period of a run.

    Args:
        run: the run.
        marks: the numbers of its marks by kind.
        until: when the latest generation stopped to work, where it has no mark of its end: now, if it runs; else the
            time of the last result; None where nothing is known.
    """
    numbers = sorted(marks.get(Mark.GENERATION, []))
    began: datetime | None = None
    ended: datetime | None = None
    elapsed, user = 0.0, None
    for number in ([numbers[0], *numbers[1:][-LATEST:]]) if numbers else []:
        note = read_mark(run.store, Mark.GENERATION, number)
        if note is None:
            continue
        start = _moment(note["began"])
        began, user = began or start, str(note.get("user") or "") or None
        end = read_mark(run.store, Mark.ENDED, number) if number in marks.get(Mark.ENDED, []) else None
        ended = _moment(end["ended"]) if end is not None else None
        stop = ended or (until if number == numbers[-1] else None)
        elapsed += max(0.0, (stop - start).total_seconds()) if stop is not None else 0.0
    return Period(began, ended, elapsed if began is not None else None, user)


def _moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)
