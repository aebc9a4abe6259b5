"""Whether a generation of a run may still work, as the marks in the run's directory say.

Input: a run's store and the numbers of its marks. Output: why the generation must do nothing more, or None. A task
looks here before it does anything: a cancel or a resume ends an older generation even while its engine is unavailable.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyExists
from scythe_cli.run import state
from scythe_cli.run.engine import Ended, EndReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store


def why_over(store: Store, generation: int, marks: Mapping[str, Collection[int]] | None = None) -> Ended | None:
    """Why a generation must do nothing more; None while it may work.

    A cancel ends its own generation and every earlier one. A later generation ends every earlier one.

    Args:
        store: rooted at the run.
        generation: the one that asks.
        marks: the numbers of the run's marks by kind; listed unless given.
    """
    known = state.list_marks(store) if marks is None else marks
    if any(number >= generation for number in known.get(Mark.CANCEL, [])):
        return Ended(EndReason.CANCELLED, cancelled_by(store, max(known[Mark.CANCEL])))
    newest = max(known.get(Mark.GENERATION, [generation]))
    if newest > generation:
        return Ended(EndReason.SUPERSEDED, f"generation {newest} of the run has begun")
    if generation in known.get(Mark.ENDED, []):
        note = state.read_mark(store, Mark.ENDED, generation) or {"reason": EndReason.DONE, "detail": ""}
        return Ended(EndReason(note["reason"]), str(note["detail"]))
    return None


def end_generation(run: Run, generation: int, reason: EndReason, detail: str = "") -> None:
    """Record why a generation of a run is over. The first record counts."""
    note = {"ended": datetime.now(UTC).isoformat(), "reason": reason.value, "detail": detail}
    with suppress(KeyExists):
        state.write_mark(run.store, Mark.ENDED, generation, note)


def cancelled_by(store: Store, number: int) -> str:
    """Who cancelled a run, and when."""
    mark = state.read_mark(store, Mark.CANCEL, number) or {}
    return f"cancelled by {mark.get('by', 'somebody')} at {mark.get('at', 'some time')}"


def numbers_of(names: Collection[str]) -> dict[str, list[int]]:
    """The numbers of the marks by kind, from names such as "cancel-1"."""
    found: dict[str, list[int]] = {}
    for name in names:
        kind, _, number = name.rpartition("-")
        if number.isdecimal():
            found.setdefault(kind, []).append(int(number))
    return found
