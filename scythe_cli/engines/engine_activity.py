"""What an engine adds to a run's directory: what is at work, who keeps the run, and the end of what is queued.

Input: a run. Output: what its engine says. An engine is asked only where the run's latest generation was handed to it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation import fence
from scythe_cli.engines.shared.claim_names import CLAIMED
from scythe_cli.errors import EngineError, NotFinishedError
from scythe_cli.run import lease, state
from scythe_cli.run.engine import Active, EndReason

if TYPE_CHECKING:
    from scythe_cli.run.run import Run

SUPERSEDE_SECONDS = 60.0
"""So long a generation that was ended may take to let its run go."""
LOOK_SECONDS = 0.5
ELSEWHERE = CLAIMED | {"hatchet"}
"""Engines outside of the process that allocates."""


def engine_of(run: Run) -> str | None:
    """The engine that the latest generation was handed to; None before the first."""
    generation = max(state.list_marks(run.store).get(Mark.GENERATION, [0]))
    mark = state.read_mark(run.store, Mark.GENERATION, generation) if generation else None
    return None if mark is None else str(mark.get("engine", "local"))


def _generation(run: Run) -> int:
    return max(state.list_marks(run.store).get(Mark.GENERATION, [0]))


def is_elsewhere(run: Run) -> bool:
    """Whether the latest generation was handed to an engine outside the process that allocated it."""
    return engine_of(run) in ELSEWHERE


def is_claimed(run: Run) -> bool:
    """Whether workers claim the rows of the latest generation in the directory."""
    return engine_of(run) in CLAIMED


def needs_workers(run: Run) -> bool:
    """Whether the latest generation waits for workers that people start, and may still be worked on."""
    marks = state.list_marks(run.store)
    generation = max(marks.get(Mark.GENERATION, [0]))
    live = bool(generation) and fence.why_over(run.store, generation, marks) is None
    return live and engine_of(run) == "shared"


def activity(run: Run) -> Active:
    """What the engine has at work for a run that was handed to one; without figures where it does not answer."""
    engine = engine_of(run)
    if engine == "slurm":
        from scythe_cli.engines.slurm.activity import tasks_and_claims_of

        return tasks_and_claims_of(run, _generation(run))
    if engine == "shared":
        from scythe_cli.engines.shared.activity import claims_of

        return claims_of(run, _generation(run))
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    try:
        return HatchetEngine(check=False).active(run)
    except EngineError as exc:
        return Active(None, None, [], exc.message)


def cancel_tasks(run: Run) -> None:
    """Cancel what the engine has queued and running of a run that was handed to one, or whose specs are its workflows.

    Raises:
        EngineError: it does not answer or refuses; the mark in the directory then stops the rest within seconds.
    """
    engine = engine_of(run)
    if engine == "slurm":
        from scythe_cli.engines.slurm import jobs

        jobs.cancel(run, _generation(run))
    if engine in CLAIMED:  # workers look at the directory, and nothing else is queued anywhere
        return
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    HatchetEngine(check=False).cancel(run)


@dataclass(frozen=True)
class CurrentHolder:
    """Who has a run now.

    Attributes:
        generation: the one that is live.
        holder: words for who keeps it.
        engine: its name.
    """

    generation: int
    holder: str
    engine: str


def at_work(run: Run) -> CurrentHolder | None:
    """Who has a run now; None where nobody will continue its latest generation.

    Raises:
        EngineError: the run was handed to an engine that does not answer.
    """
    marks = state.list_marks(run.store)
    generation = max(marks.get(Mark.GENERATION, [0]))
    if not generation or fence.why_over(run.store, generation, marks) is not None:
        return None
    engine = engine_of(run) or "local"
    note = lease.live_holder(run.store)
    if note is not None:
        return CurrentHolder(generation, f"process {note['pid']} on {note['host']}", engine)
    if engine in CLAIMED:
        holder = (_slurm_tasks(run, generation) if engine == "slurm" else None) or _workers(run, generation)
        return CurrentHolder(generation, holder, engine) if holder else None
    return _at_work_on_hatchet(run, generation) if engine == "hatchet" else None


def _at_work_on_hatchet(run: Run, generation: int) -> CurrentHolder | None:
    found = activity(run)
    if found.queued is None or found.running is None:
        raise EngineError(found.why or "Hatchet does not answer")
    if found.abandoned:
        return None
    tasks = found.queued + found.running
    return CurrentHolder(generation, f"Hatchet, with {tasks:,} task{'s' * (tasks != 1)} queued or running", "hatchet")


def _workers(run: Run, generation: int) -> str | None:
    """The workers that claim rows of a generation, in words; None where none lives."""
    from scythe_cli.engines.shared.activity import workers_at_work

    workers = workers_at_work(run, generation)
    more = f" and {len(workers) - 1:,} more" if len(workers) > 1 else ""
    return f"worker {workers[0]}{more}" if workers else None


def _slurm_tasks(run: Run, generation: int) -> str | None:
    """What Slurm has of a generation, in words; None where it has nothing or cannot be asked."""
    from scythe_cli.engines.slurm import jobs

    tasks = jobs.tasks_of(run, generation)
    return tasks.sentence() if tasks is not None and tasks.any else None


def lost_generation(run: Run) -> int | None:
    """A generation that was handed to an engine, never ended, and that nobody has; None where there is none.

    To be asked once `at_work` found nobody.
    """
    marks = state.list_marks(run.store)
    generation = max(marks.get(Mark.GENERATION, [0]))
    live = bool(generation) and fence.why_over(run.store, generation, marks) is None
    return generation if live and is_elsewhere(run) else None


def supersede(run: Run, generation: int, why: str) -> None:
    """End a generation that is handed to an engine, in the directory and in the engine, and wait until it is over.

    Raises:
        NotFinishedError: a process still holds the run.
    """
    fence.end_generation(run, generation, EndReason.SUPERSEDED, why)
    with suppress(EngineError):  # its tasks look at the directory before they do anything
        cancel_tasks(run)
    deadline = time.monotonic() + SUPERSEDE_SECONDS
    watcher = lease.LeaseWatcher(run.store)
    while (note := watcher.holder()) is not None:
        if time.monotonic() > deadline:
            who = f"process {note['pid']} on {note['host']}"
            raise NotFinishedError(f"{run.id} was ended, and {who} still holds it", hint="look again in a minute")
        time.sleep(LOOK_SECONDS)
