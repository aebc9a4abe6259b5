"""What the claims of a run say of its workers: who holds rows, and whether anybody is at work.

Input: a run. Output: who is at work, and why nothing moves, for the commands that look.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.core.printable import printable
from scythe_cli.engines.generation.follow import Verdict
from scythe_cli.engines.generation.plan import plan_of
from scythe_cli.engines.shared.claim_board import ClaimBoard
from scythe_cli.engines.shared.liveness import PULSE_SECONDS, PulseWatch, has_ended, is_here, read_pulse
from scythe_cli.engines.shared.range_plan import read_range_plan
from scythe_cli.run.engine import Active, WorkerSeen

if TYPE_CHECKING:
    from scythe_cli.engines.generation.follow import Situation
    from scythe_cli.run.run import Run

LOOK_SECONDS = 1.0
MOST_WORKERS = 50
"""Workers that a status reads and prints."""
GONE = "no worker is at work"
NO_WORKER = "no worker has begun: start some with scythe worker --run {run}"
NONE_LEFT = "no worker is at work: start some with scythe worker --run {run}"


_WATCHES: dict[tuple[str, int], PulseWatch] = {}
"""Of runs at which this process has looked: who looks again and again sees which workers live."""


class ClaimsWatch:
    """The watch of runs whose workers claim rows in the directory. Workers may come at any time.

    Args:
        run: the run.
        patient: wait for more workers also when those that have begun are gone.
    """

    def __init__(self, run: Run, *, patient: bool = True) -> None:
        self._run = run
        self._patient = patient
        self._generation = 0
        self._watch: PulseWatch | None = None

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:
        """See `Watch`. Nobody knows whether the first worker will come, so a run without any is never given up."""
        if self._watch is None or self._generation != situation.generation:
            self._generation = situation.generation
            self._watch = PulseWatch(self._run.store, situation.generation)
        self._watch.look()
        if held or self._watch.alive:
            return Verdict(alive=True)
        if not self._patient and claims_of(self._run, situation.generation).why == GONE:
            return Verdict(alive=False, why=GONE, command="scythe worker --run")
        why = NONE_LEFT if situation.done else NO_WORKER
        return Verdict(None, why.format(run=self._run.id))


def claims_of(run: Run, generation: int) -> Active:
    """The ranges of a generation that are free and that workers have, and its workers, as one look shows them.

    A worker of another machine counts as alive until somebody has watched it for long enough.
    """
    plan = plan_of(run, generation)
    ranges = None if plan is None else read_range_plan(plan)
    if ranges is None:
        return Active(0, 0, [], "it has no plan", abandoned=True)
    board = ClaimBoard(run.store, generation, ranges)
    for segment in board.open_segments:
        board.look(segment)
    free = sum(len(board.free(segment)) for segment in board.open_segments)
    held = sum(1 for _ in board.held())
    workers = _workers(run, generation)
    if workers or board.is_finished:
        return Active(free, held, workers, None)
    why = GONE if held or board.counts[0] else "no worker has begun"
    return Active(free, held, [], why, abandoned=True)


def _workers(run: Run, generation: int) -> list[WorkerSeen]:
    watch = _WATCHES.setdefault((run.store.address, generation), PulseWatch(run.store, generation))
    watch.look()
    found = []
    for worker in sorted(watch.alive)[:MOST_WORKERS]:
        about = read_pulse(run.store, generation, worker)
        lanes = about.get("lanes")
        name, count = str(printable(str(about.get("name", worker)))), lanes if isinstance(lanes, int) else 0
        found.append(WorkerSeen(name, count, 0, {}, serves=True, sure=is_here(worker) or worker in watch.moved))
    return found


def workers_at_work(run: Run, generation: int) -> list[str]:
    """The workers of a generation that live: those of this machine at once, others when their number was raised.

    Takes up to `PULSE_SECONDS` and a little where only workers of other machines have an object.
    """
    watch = PulseWatch(run.store, generation)
    watch.look()
    deadline = Clock.monotonic() + PULSE_SECONDS + 2 * LOOK_SECONDS
    while True:
        here = [one for one in watch.names if is_here(one) and not has_ended(one)]
        found = sorted({*here, *watch.moved})
        unsure = [one for one in watch.names if not is_here(one)]
        if found or not unsure or Clock.monotonic() > deadline:
            return [str(read_pulse(run.store, generation, worker).get("name", worker)) for worker in found]
        time.sleep(LOOK_SECONDS)
        watch.look()
