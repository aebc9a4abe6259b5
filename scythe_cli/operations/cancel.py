"""Stops a run from anywhere: a mark in its directory.

A process that works on the run looks for it every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyExists
from scythe_cli.run.claim import user_name
from scythe_cli.run.state import read_mark, read_state, write_mark

if TYPE_CHECKING:
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class Cancelled:
    """What a cancel did.

    Attributes:
        run: the run's id.
        already: whether it was cancelled or finished before.
        by: who cancelled it first.
        at: when, UTC.
        done: finished specs; their results are kept.
        total: specs of the run.
    """

    run: str
    already: bool
    by: str
    at: str
    done: int
    total: int


def cancel(run: Run) -> Cancelled:
    """Mark the run's latest generation as cancelled. Finished specs are kept, and a resume continues from there."""
    state = read_state(run)
    if state.complete:
        return Cancelled(run.id, already=True, by="", at="", done=state.done, total=state.total)
    note = {"by": _who(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    already = False
    try:
        write_mark(run.store, Mark.CANCEL, max(1, state.generation), note)
    except KeyExists:
        already = True
        note = read_mark(run.store, Mark.CANCEL, max(1, state.generation)) or note
    return Cancelled(run.id, already, str(note["by"]), str(note["at"]), state.done, state.total)


def _who() -> str:
    return f"{user_name()}@{processes.host()}"
