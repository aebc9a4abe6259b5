"""A worker of a run without a server: claims ranges, has their rows run on its lanes, until nothing is left.

Input: a run, its plan, and the experiment of this machine. Output: outcomes in the run, and why the worker ended. It
holds a range while it raises its number; what it gives back, anybody may claim.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.core.events import Draining, LeafFinished, Notice
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.engines.shared.claim_names import Step
from scythe_cli.engines.shared.held import CarefulRange, HeldRange, Lanes, advance_all
from scythe_cli.errors import StoreError
from scythe_cli.run.engine import Ended, EndReason, Work
from scythe_cli.run.parts import PartWriter
from scythe_cli.supervisor.failure_limits import CANARY, has_canary
from scythe_cli.supervisor.run_progress import run_work
from scythe_cli.supervisor.supervisor import CANCEL_GRACE

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.leaf_runner import LeafRunner
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.shared.claimer import Claimer, RangeClaim
    from scythe_cli.engines.shared.held import Held
    from scythe_cli.engines.shared.liveness import Pulse
    from scythe_cli.supervisor.run_progress import RunWork

LOOP_SECONDS = 0.05
MARKS_SECONDS = 3.0
"""A worker looks this often whether the run was cancelled or resumed; the more rarely the more workers there are."""
WORKERS_A_SECOND = 10
SHARE_SECONDS = 5.0
"""A range with more work than this is cut in two when no other range is free."""
LOOK_AHEAD_SECONDS = 10.0
"""A worker with a long range looks this often whether other ranges are free."""
OUTAGE_SECONDS = 600.0
"""A storage may be away for so long before a worker ends."""
RETRY_SECONDS = 1.0
LAST_SECONDS = 10.0
IMPORT_SECONDS = 10.0
"""A worker that imports for longer claims rows all the same: it must learn when nothing is left."""
CANARY_SECONDS = 2.0
"""The parts of the first specs are looked at so often, until there are enough of them."""


@dataclass(frozen=True)
class WorkerLimits:
    """When a worker ends by itself.

    Attributes:
        until: it has ended by then, on the monotonic clock; None for when nothing is left.
        idle: seconds without rows; None for as long as the run takes.
    """

    until: float | None = None
    idle: float | None = None


class RunWorker:
    """Works on one generation of a run.

    Args:
        plan: the generation.
        claimer: claims its ranges.
        runner: the lanes.
        pulse: this worker's number.
        folder: for temporary files.
        name: of this worker, for people.
        listener: gets the events.
        limits: when it ends by itself.
    """

    def __init__(
        self,
        plan: GenerationPlan,
        claimer: Claimer,
        *,
        runner: LeafRunner,
        pulse: Pulse,
        folder: Path,
        name: str,
        listener: Listener,
        limits: WorkerLimits,
    ) -> None:
        self._plan = plan
        self._claimer = claimer
        self._runner = runner
        self._pulse = pulse
        self._listener = listener
        self._limits = limits
        self._progress = GenerationProgress(plan)
        self._woken = threading.Event()
        self._lanes = Lanes(plan, runner, self._shared_work(folder, name), self._woken.set)
        self._held: list[Held] = []
        self._over: Ended | None = None
        self._stops = 0
        self._withdrawn = 0
        self._marks_due = 0.0
        self._ahead_due = 0.0
        self._canary = has_canary(plan.generation, plan.todo, plan.file.run.max_failures)
        self._canary_due = 0.0
        self._noted = float("-inf")
        self._began = Clock.monotonic()
        self._slowest = 0.0
        self._has_waited = False
        self._idle_since = Clock.monotonic()
        self._away_since: float | None = None

    def _shared_work(self, folder: Path, name: str) -> RunWork:
        plan, runner = self._plan, self._runner
        work = Work(plan.run, runner.experiment, plan.file, plan.ranges, plan.generation, plan.done, plan.failed)
        writer = PartWriter(plan.run.store, generation=plan.generation, flush=0.0, threads=runner.threads)
        return run_work(work, writer, folder, worker=name, claimed=True)

    def stop(self) -> None:
        """Begin no more rows; the second time, end those that run. Safe in a signal handler."""
        self._stops += 1
        self._woken.set()

    @property
    def running(self) -> int:
        """About how many specs run."""
        return self._runner.running

    @property
    def is_last(self) -> bool:
        """Whether this worker has finished a range just now: it may be the one that builds the tables."""
        return Clock.monotonic() - self._noted < LAST_SECONDS

    def run(self) -> Ended | None:
        """Work until nothing is left; otherwise say why it ended before.

        Raises:
            StoreError: the storage was away for too long.
        """
        while True:
            try:
                if (ended := self._step()) is not None:
                    return ended
                if self._claimer.board.is_finished and not self._held:
                    return None
                self._away_since = None
            except StoreError as exc:
                self._on_outage(exc)
            self._woken.wait(LOOP_SECONDS)
            self._woken.clear()

    def _step(self) -> Ended | None:
        self._check_runner()
        self._finish_claims()
        self._look_at_marks()
        if self._pulse.in_doubt.is_set():
            self._drop_lost()
        ended = self._end_reason()
        if ended is not None:
            self._withdraw(ended)
            return ended if not self._held else None
        if not self._is_ready():
            self._idle_since = Clock.monotonic()
            self._pulse.busy = True  # soon; the number of an idle worker is raised too rarely for one that has rows
        elif not self._runner.needs_work:
            self._share()
        elif self._claim() and self._runner.needs_work:
            self._woken.set()  # the next one at once, after a look whether the run must end
        return None

    def _is_ready(self) -> bool:
        """Whether to claim: rows that wait for the user's module to be imported could run elsewhere."""
        return self._runner.has_imported or Clock.monotonic() - self._began > IMPORT_SECONDS

    def _check_runner(self) -> None:
        if self._runner.failure is not None:
            raise self._runner.failure

    def _on_outage(self, exc: StoreError) -> None:
        now = Clock.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._listener(Notice(f"{exc.message}; trying again"))
        self._claimer.watch.restart()
        if now - self._away_since > OUTAGE_SECONDS or self._stops:
            raise exc
        time.sleep(RETRY_SECONDS)

    # claims

    def _claim(self) -> bool:
        """Claim a range and have its rows run; whether there was one."""
        claim = self._claimer.claim()
        self._pulse.busy = bool(self._held) or claim is not None
        if self._pulse.busy:
            self._idle_since = Clock.monotonic()
        if claim is not None:
            self._begin(claim)
        elif not self._held and not self._has_waited and not self._claimer.board.is_finished:
            self._has_waited = True
            self._listener(Notice("no specs are free; waiting, in case another worker leaves some"))
        return claim is not None

    def _begin(self, claim: RangeClaim) -> None:
        """Have the rows of a claim run that have no outcome."""
        todo = self._plan.rows_in(claim.rows)
        if claim.number > 1:
            todo = self._progress.left_of(claim.rows)
        if not todo:
            self._note_done(claim)
        elif claim.died:
            offer = self._claimer.board.offer(claim.segment, claim.offered)
            deaths = offer.deaths_of_rows(before=claim.number)
            self._held.append(CarefulRange(claim, self._lanes, todo, claimer=self._claimer, deaths=deaths))
        else:
            self._held.append(HeldRange.start(claim, self._lanes, todo))

    def _note_done(self, claim: RangeClaim, held: Held | None = None) -> None:
        """Note that all rows of a claim have their outcomes, with how many failed, as far as is known."""
        rows = sum(map(len, self._plan.rows_in(claim.rows)))
        done, failed = (held.done, held.failed) if held is not None else (0, 0)
        if done < rows:  # others have run some of them before
            failed = self._progress.failed_in(claim.rows)
        self._claimer.note(claim, Step.DONE, rows, min(rows, failed))
        self._noted = Clock.monotonic()

    def _finish_claims(self) -> None:
        """Write what became of the claims whose rows are all in the storage, or were given back."""
        advance_all(self._held)
        for held in [held for held in self._held if held.is_over]:
            claim, rows = held.claim, held.claim.rows
            if held.failure is not None:
                self._listener(Notice(f"specs {rows} were not stored and will run again: {held.failure}"))
            if not held.lost:
                if held.is_complete:
                    self._note_done(claim, held)
                else:
                    self._claimer.note(claim, Step.FREE)
            self._held.remove(held)
            seconds = Clock.monotonic() - held.began
            self._listener(LeafFinished(self._plan.run.id, rows.first, rows.last, held.failed, seconds, held.left))

    def _drop_lost(self) -> None:
        """This process was stopped, or the storage was away: end what others have claimed meanwhile."""
        for held in self._held:
            if not held.lost and not self._claimer.is_mine(held.claim):
                held.lost = True
                held.withdraw(0.0)
                self._listener(Notice(f"specs {held.claim.rows} were taken over by another worker"))
        self._pulse.in_doubt.clear()

    def _share(self) -> None:
        """Cut the longest range in two, where no other range is free."""
        now = Clock.monotonic()
        longest = max(self._held, key=lambda held: held.seconds_left(), default=None)
        if longest is None or longest.lost or longest.seconds_left() < SHARE_SECONDS:
            return
        if not self._claimer.in_tail:
            if now >= self._ahead_due:
                self._ahead_due = now + max(LOOK_AHEAD_SECONDS, self._claimer.watch.workers / WORKERS_A_SECOND)
                self._claimer.look_ahead()
            return
        claim, rest = longest.claim, longest.cut()
        if not rest:
            return
        at = rest[0].first - 1
        try:
            self._claimer.note(claim, Step.CUT, at, claim.rows.last)
        except StoreError:
            longest.withdraw(self._plan.file.run.grace)  # then all of its rows that are left are given back
            raise
        longest.claim = replace(claim, rows=Range(claim.rows.first, at))

    # the end

    def _look_at_marks(self) -> None:
        now = Clock.monotonic()
        if now < self._marks_due or self._over is not None:
            return
        pause = max(MARKS_SECONDS, self._claimer.watch.workers / WORKERS_A_SECOND)
        self._marks_due = now + (pause if self._held else 2 * pause)
        self._over = fence.why_over(self._plan.run.store, self._plan.generation)

    def _end_reason(self) -> Ended | None:
        if self._over is not None:
            return self._over
        if self._stops:
            return Ended(EndReason.INTERRUPTED, "the worker was asked to stop")
        now = Clock.monotonic()
        if self._limits.until is not None and now + self._spec_seconds() >= self._limits.until:
            return Ended(EndReason.INTERRUPTED, "the worker's time is nearly over, and no spec would end before")
        idle = self._limits.idle
        if idle is not None and not self._held and now - self._idle_since >= idle:
            return Ended(EndReason.INTERRUPTED, f"no rows were free for {idle:g} s")
        return self._failure_limit()

    def _spec_seconds(self) -> float:
        """What a spec may take: its timeout, if that is less than the worker's time; else the slowest seen."""
        self._slowest = max([self._slowest, *(held.slowest for held in self._held)])
        timeout = self._plan.file.run.timeout
        whole = (self._limits.until or 0.0) - self._began
        return timeout if timeout is not None and timeout < whole else self._slowest

    def _failure_limit(self) -> Ended | None:
        """Why the run must stop for its failures: those of finished ranges, and of the ones here."""
        plan = self._plan
        done, failed = self._claimer.board.counts
        done += plan.done + sum(held.done for held in self._held)
        failed += plan.failed + sum(held.failed for held in self._held)
        ended = None
        if plan.file.run.max_failures.exceeded(failed, done, plan.run.total):
            ended = Ended(EndReason.MAX_FAILURES, plan.file.run.max_failures.message(failed, done))
        elif self._canary and done >= CANARY:
            ended = self._ask_canary(done, failed)
        if ended is None:
            return None
        self._over = ended
        fence.end_generation(plan.run, plan.generation, self._over.reason, self._over.detail)
        return self._over

    def _ask_canary(self, done: int, failed: int) -> Ended | None:
        """Why the run must stop, where its first specs all failed alike; looks at their parts, a few times at most."""
        if failed < done:
            self._canary = False
            return None
        if Clock.monotonic() < self._canary_due:
            return None
        self._canary_due = Clock.monotonic() + CANARY_SECONDS
        look = self._progress.read()
        self._canary = look.done < CANARY
        why = self._progress.canary(look)
        return None if why is None else Ended(EndReason.CANARY, why)

    def _withdraw(self, ended: Ended) -> None:
        """Begin no more rows of any claim; those that run may end within the grace time."""
        wanted = 2 if self._stops > 1 else 1
        if self._withdrawn >= wanted:
            return
        self._withdrawn = wanted
        grace = self._plan.file.run.grace if wanted == 1 else 0.0
        if ended.reason is EndReason.CANCELLED:
            grace = min(grace, CANCEL_GRACE)
        elif self._limits.until is not None and not self._stops:
            grace = max(0.0, self._limits.until - Clock.monotonic())
        if wanted == 1:
            self._listener(Draining(self.running, grace))
        for held in self._held:
            held.withdraw(grace)

    def give_back(self) -> bool:
        """Give back what is held, as far as the storage answers. Whether no claim depends on this worker any more."""
        with suppress(StoreError):
            for held in self._held:
                self._claimer.note(held.claim, Step.FREE)
            return True
        return False
