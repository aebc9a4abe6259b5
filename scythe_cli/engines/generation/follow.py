"""Follows a run that is at work, on any engine and from any machine, until its tables are there or nobody works on it.

Input: a run's directory, and what its engine knows. Output: progress for a listener, and why the run ended early.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scythe_cli.core.events import Notice, Progress
from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.plan import plan_of
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.errors import NotFinishedError, WaitTimeout
from scythe_cli.run import lease, state
from scythe_cli.run.engine import Ended, EndReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.core.events import Listener
    from scythe_cli.run.run import Run

POLL_SECONDS = 1.0
QUICK_POLL_SECONDS = 0.25
QUICK_FOR_SECONDS = 10.0
FIRST_CHECK_SECONDS = 3.0
CHECK_SECONDS = 5.0
"""Without progress, the engine is asked this often what keeps the run."""
NOBODY_SECONDS = 5.0
"""Nobody holds a run for so long: it was not just handed from one process to the next."""


@dataclass(frozen=True)
class Situation:
    """One look at a run.

    Attributes:
        generation: the latest; 0 before anything began.
        marks: the numbers of its marks by kind.
        done: specs with an outcome.
        failed: about how many of those failed.
        total: specs.
    """

    generation: int
    marks: Mapping[str, Sequence[int]]
    done: int
    failed: int
    total: int


@dataclass(frozen=True)
class Verdict:
    """What an engine says of a run that does not move.

    Attributes:
        alive: whether somebody will continue it; None where the engine cannot say.
        why: a sentence for the user, if there is one.
        command: what continues a run that nobody continues, before its id.
    """

    alive: bool | None
    why: str | None = None
    command: str = "scythe allocate --resume"


class Watch(Protocol):
    """What an engine adds to the directory of a run."""

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:
        """Say whether the run will continue; `held` is whether a process holds its lease."""


class LeaseWatch:
    """The watch of engines whose workers hold the run's lease while they work."""

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:  # noqa: ARG002 - the lease says all
        """See `Watch`."""
        return Verdict(held)


class RunFollower:
    """Follows one run; it does not own it: to stop following leaves the run alone.

    Args:
        run: the run.
        watch: what its engine adds.
        timeout: seconds to follow at most.
    """

    def __init__(self, run: Run, watch: Watch, *, timeout: float | None = None) -> None:
        self.stopped = False
        self._run = run
        self._watch = watch
        self._timeout = timeout
        self._progress: GenerationProgress | None = None
        self._generation = -1
        self._lease = lease.LeaseWatcher(run.store)
        self._reported: set[str] = set()
        self._stalled = False
        self._done = -1
        self._moved = self._checked = time.monotonic()
        self._nobody_since: float | None = None

    def stop(self) -> None:
        """Stop following. The run continues. Safe in a signal handler."""
        self.stopped = True

    def wait(self, listener: Listener) -> Ended | None:
        """Follow until the final tables are there; otherwise say why the run ended before.

        Raises:
            NotFinishedError: nobody works on the run any more.
            WaitTimeout: the time is over.
        """
        began = time.monotonic()
        self._checked = began - CHECK_SECONDS + FIRST_CHECK_SECONDS
        while True:
            looked = time.monotonic()
            now = self.look()
            listener(Progress(now.done, now.failed, now.total, stalled=self._stalled))
            if now.generation in now.marks.get(Mark.GATHERED, []):
                return None
            over = fence.why_over(self._run.store, now.generation, now.marks) if now.generation else None
            if over is not None and over.reason is not EndReason.DONE:
                return over
            if self.stopped:
                return Ended(EndReason.INTERRUPTED, "no longer watching; the run continues")
            self._check(now, listener)
            took = time.monotonic() - looked
            if self._timeout is not None and time.monotonic() - began > self._timeout:
                raise self._too_late(now)
            quick = time.monotonic() - began < QUICK_FOR_SECONDS
            time.sleep(max(QUICK_POLL_SECONDS if quick else POLL_SECONDS, 3 * took))

    def look(self) -> Situation:
        """Read the directory now. A later generation is followed from the moment it begins."""
        if self._progress is not None:
            snapshot = self._progress.read()
            marks = fence.numbers_of(snapshot.marks)
            if max(marks.get(Mark.GENERATION, [0])) == self._generation:
                plan = self._progress.plan
                done, failed = snapshot.done + plan.done, snapshot.failed + plan.failed
                return Situation(self._generation, marks, done, failed, self._run.total)
        marks = state.list_marks(self._run.store)
        generation = max(marks.get(Mark.GENERATION, [0]))
        if generation != self._generation:
            plan_now = plan_of(self._run, generation)
            self._generation = generation
            self._progress = None if plan_now is None else GenerationProgress(plan_now)
            if self._progress is not None:
                return self.look()
        found = state.read_state(self._run)  # a generation that an older version began, or none at all
        return Situation(generation, found.marks, found.done, found.failed, self._run.total)

    def _check(self, now: Situation, listener: Listener) -> None:
        """Without progress, ask whether the run will continue, and say once why it does not move.

        Raises:
            NotFinishedError: nobody works on it.
        """
        at = time.monotonic()
        if now.done != self._done:
            self._done, self._moved, self._stalled = now.done, at, False
        if at - self._checked < (1.0 if self._nobody_since is not None else CHECK_SECONDS):
            return
        self._checked = at
        held = self._lease.holder(now.marks) is not None
        if held and at - self._moved < CHECK_SECONDS:
            return
        verdict = self._watch.verdict(now, held=held)
        self._stalled = verdict.why is not None
        if verdict.why is not None and verdict.why not in self._reported and verdict.alive is not False:
            self._reported.add(verdict.why)
            listener(Notice(verdict.why))
        if held or verdict.alive is not False:
            self._nobody_since = None
            return
        self._nobody_since = self._nobody_since or at
        if at - self._nobody_since >= NOBODY_SECONDS:
            raise nobody_works(self._run, now, verdict.why, command=verdict.command)

    def _too_late(self, now: Situation) -> WaitTimeout:
        message = (
            f"{self._run.id} is not finished after {self._timeout:g} s: {now.done:,} of {now.total:,} specs are done"
        )
        return WaitTimeout(message, hint=f"scythe wait {self._run.id}")


def nobody_works(
    run: Run, now: Situation, why: str | None = None, *, command: str = "scythe allocate --resume"
) -> NotFinishedError:
    """The error for a run that is not finished and that nobody holds; it names the next command."""
    if now.done >= now.total:
        message = f"{run.id}: all specs are finished, but no process builds the tables"
        return NotFinishedError(message, hint=f"scythe gather {run.id}")
    because = f": {why}" if why else ""
    message = f"no process works on {run.id}{because}; {now.done:,} of {now.total:,} specs are done and kept"
    return NotFinishedError(message, hint=f"{command} {run.id}")
