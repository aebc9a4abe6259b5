"""What an engine adds to a run's directory: what is under way, why nothing is, and the end of what is queued.

Takes a run; asks an engine only where the run's latest generation was handed to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core.layout import Mark
from scythe_cli.run import state

if TYPE_CHECKING:
    from scythe_cli.run.engine import Active
    from scythe_cli.run.run import Run


def is_elsewhere(run: Run) -> bool:
    """Whether the latest generation was handed to an engine outside the process that allocated it."""
    generation = max(state.read_state(run).marks.get(Mark.GENERATION, [0]))
    mark = state.read_mark(run.store, Mark.GENERATION, generation) if generation else None
    return (mark or {}).get("engine") == "hatchet"


def under_way(run: Run) -> Active:
    """What the engine has under way for a run that was handed to one.

    Raises:
        EngineError: it does not answer or refuses.
    """
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    return HatchetEngine().active(run)


def take_back(run: Run) -> None:
    """Cancel what the engine has queued and running of a run that was handed to one, or whose specs are its workflows.

    Raises:
        EngineError: it does not answer or refuses; the mark in the directory then stops the rest within seconds.
    """
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    HatchetEngine().cancel(run)
