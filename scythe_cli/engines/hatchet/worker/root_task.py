"""The root task: has a generation fanned out, follows its directory, repairs what the engine lost, and gathers.

Input: a payload that names a run. Output: its final tables. All its state is in the directory: if it is killed, the
next one continues from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, covers, cut_at_blocks, halves, read_ranges, write_ranges
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.gather_process import gather_generation
from scythe_cli.engines.generation.lost_rows import write_lost
from scythe_cli.engines.hatchet.names import tag
from scythe_cli.engines.hatchet.worker.worker_context import children_of
from scythe_cli.errors import EngineError, KeyExists, NotFinishedError
from scythe_cli.run import lease, state
from scythe_cli.run.engine import EndReason
from scythe_cli.supervisor.failure_limits import CANARY, has_canary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.generation.progress import GenerationProgress, Snapshot
    from scythe_cli.engines.hatchet.names import TaskPayload
    from scythe_cli.engines.hatchet.worker.worker_context import WorkerContext
    from scythe_cli.run.engine import WorkerSeen

LOOK_SECONDS = 0.5
QUIET_SECONDS = 5.0
"""Without progress for so long, ask the engine what is under way."""
LOST_SECONDS = 20.0
"""With nothing under way for so long, rows are lost: the engine's counts lag by some seconds."""
STUCK_SECONDS = 60.0
"""With lanes idle and tasks queued for so long, the engine has forgotten them."""
REPAIRS = 3
SHRINK = 16
"""Each round over the same rows enqueues leaves so much smaller."""
LEASE_SECONDS = 1.0


async def follow(context: WorkerContext, payload: TaskPayload) -> dict[str, Any]:
    """See the module. Returns the address of each final table, or why the generation ended early."""
    if context.draining is not None:
        await context.hand_back_when_draining()
    plan, progress = await context.plan(payload)
    async with _held(context, plan):
        try:
            return await _Root(context, plan, progress, payload).run()
        except asyncio.CancelledError:
            if (over := fence.why_over(plan.run.store, plan.generation)) is not None:
                fence.end_generation(plan.run, plan.generation, over.reason, over.detail)
            raise


@contextlib.asynccontextmanager
async def _held(context: WorkerContext, plan: GenerationPlan) -> AsyncIterator[None]:
    """Hold the run's lease; wait for it where a root that died elsewhere still seems to hold it."""
    stack = contextlib.ExitStack()
    while True:
        try:
            await asyncio.to_thread(stack.enter_context, lease.hold(plan.run.store))
            break
        except NotFinishedError:
            if context.draining is not None:
                await context.hand_back_when_draining()
            await asyncio.sleep(LEASE_SECONDS)
    try:
        yield
    finally:
        stack.close()


@dataclass
class _Root:
    context: WorkerContext
    plan: GenerationPlan
    progress: GenerationProgress
    payload: TaskPayload
    done: int = -1
    moved: float = field(default_factory=time.monotonic)
    asked: float = 0.0
    nothing_since: float | None = None
    idle_since: float | None = None
    names: set[str] = field(default_factory=set)
    died: bool = False
    rounds: int = 0
    refused: int = 0
    canary: bool = False
    over: tuple[EndReason, str] | None = None

    async def run(self) -> dict[str, Any]:
        """Until every row has its outcome, or the generation must end."""
        over = await self.context.why_over(self.plan)
        if over is not None and over.reason != EndReason.DONE:
            return await self._stop(over.reason, over.detail)
        self.canary = has_canary(self.plan.generation, self.plan.todo, self.plan.file.run.max_failures)
        await self.context.spawn(self.plan, children_of(self.plan, self.payload))
        while True:
            began = time.monotonic()
            look = await asyncio.to_thread(self.progress.read)
            if ended := self.over or await self._end_reason(look):
                return await self._stop(*ended)
            if not look.missing and (tables := await self._gather()) is not None:
                return {"ok": 1, **tables}
            if self.context.draining is not None:
                await self.context.hand_back_when_draining()
            await self._repair_if_stuck(look)
            took = time.monotonic() - began
            await asyncio.sleep(max(LOOK_SECONDS, 3 * took))

    async def _end_reason(self, look: Snapshot) -> tuple[EndReason, str] | None:
        """Why the generation must end now, if it must."""
        plan = self.plan
        over = await asyncio.to_thread(fence.why_over, plan.run.store, plan.generation, fence.numbers_of(look.marks))
        if over is not None and over.reason != EndReason.DONE:
            return over.reason, over.detail
        limit, failed, finished = plan.file.run.max_failures, look.failed + plan.failed, look.done + plan.done
        if limit.exceeded(failed, finished, plan.run.total):
            return EndReason.MAX_FAILURES, limit.message(failed, finished)
        if self.canary and look.done >= CANARY:
            self.canary = False
            if why := await asyncio.to_thread(self.progress.canary, look):
                return EndReason.CANARY, why
        return None

    async def _stop(self, reason: EndReason, detail: str) -> dict[str, Any]:
        """End the generation and take back what is queued and running: the root itself with it."""
        await asyncio.to_thread(fence.end_generation, self.plan.run, self.plan.generation, reason, detail)
        with contextlib.suppress(EngineError):
            await asyncio.shield(asyncio.to_thread(self.context.api.cancel, tag(self.plan)))
        return {"ok": 1, "ended": reason.value}

    async def _gather(self) -> dict[str, str] | None:
        """The final tables; None when a part turned out unreadable and its rows are missing again, or this is over."""
        try:
            report = await asyncio.to_thread(gather_generation, self.plan)
        except NotFinishedError:
            return None
        await asyncio.to_thread(fence.end_generation, self.plan.run, self.plan.generation, EndReason.DONE)
        return report.tables

    # repairs

    async def _repair_if_stuck(self, look: Snapshot) -> None:
        """Where nothing moves, find out why, and enqueue again what the engine or a dead worker lost."""
        now = time.monotonic()
        if look.done != self.done:
            self.done, self.moved, self.rounds, self.refused = look.done, now, 0, 0
            self.nothing_since = self.idle_since = None
        if now - self.asked < QUIET_SECONDS:
            return
        self.asked = now
        try:
            queued, running = await asyncio.to_thread(self.context.api.counts, tag(self.plan))
        except EngineError:
            return
        seen = await self.context.live_workers(self.plan)
        names = {worker.name for worker in seen}
        self.died = self.died or bool(self.names - names)
        self.names = names
        if now - self.moved < QUIET_SECONDS:
            return
        if queued + running > 1:
            self.nothing_since = None
            await self._hurry(look, seen, queued, now)
            return
        self.nothing_since = self.nothing_since or now
        if now - self.nothing_since >= LOST_SECONDS or (self._was_refused(look) and self.refused):
            self.nothing_since = None
            await self._repair(look)

    async def _hurry(self, look: Snapshot, seen: list[WorkerSeen], queued: int, now: float) -> None:
        """Have idle lanes run what a dead worker held, or what the engine does not hand out."""
        idle = sum(max(0, worker.lanes - worker.busy) for worker in seen)
        if not idle or (queued and not self.idle_since):
            self.idle_since = now if idle else None
            return
        stuck = self.idle_since is not None and now - self.idle_since > STUCK_SECONDS
        if (self.died and not queued) or stuck:
            self.died, self.idle_since, self.moved = False, None, now
            self.rounds += 1
            size = max(1, layout.BLOCK // SHRINK**self.rounds)
            await self._enqueue(covers(look.missing, size), f"h{int(time.time())}")

    def _was_refused(self, look: Snapshot) -> bool:
        return f"refused-{self.plan.generation}" in look.marks

    async def _repair(self, look: Snapshot) -> None:
        """No task covers these rows: enqueue them in halves; after the third time they are lost."""
        if self._was_refused(look):
            self.refused += 1
            if self.refused >= REPAIRS:
                note = await asyncio.to_thread(state.read_mark, self.plan.run.store, Mark.REFUSED, self.plan.generation)
                self.over = (EndReason.STOPPED, str((note or {}).get("why", "refused")))
                return
            await self._enqueue(cut_at_blocks(look.missing), f"f{int(time.time())}")
            return
        before, number = await asyncio.to_thread(self._repaired, look.marks)
        missing = cut_at_blocks(look.missing)
        lost = [one for one in missing if _times(before, one) >= REPAIRS]
        again = [one for one in missing if _times(before, one) < REPAIRS]
        if lost:
            why = f"no task ran it to its end, {REPAIRS + 1} times"
            await asyncio.to_thread(write_lost, self.plan, lost, attempts=REPAIRS + 1, why=why)
        if again:
            note = {"rows": write_ranges(again)}
            with contextlib.suppress(KeyExists):
                await asyncio.to_thread(state.write_mark, self.plan.run.store, Mark.REPAIR, number, note)
            await self._enqueue([half for one in again for half in halves(one)], f"r{number}")

    def _repaired(self, marks: Iterable[str]) -> tuple[list[list[Range]], int]:
        """The rows of every repair so far, and the number of the next."""
        first = self.plan.generation * 10_000
        numbers = sorted(int(mark[7:]) for mark in marks if re.fullmatch(r"repair-\d+", mark))
        mine = [number for number in numbers if first <= number < first + 10_000]
        notes = [state.read_mark(self.plan.run.store, Mark.REPAIR, number) or {} for number in mine]
        return [read_ranges(note.get("rows", "")) for note in notes], max(mine, default=first - 1) + 1

    async def _enqueue(self, ranges: list[Range], key: str) -> None:
        name = self.plan.run.manifest.experiment_name
        children = [
            (name, self.payload.model_copy(update={"first": one.first, "last": one.last, "depth": 1}), f"{one}-{key}")
            for one in ranges
        ]
        await self.context.spawn(self.plan, children)


def _times(repairs: list[list[Range]], one: Range) -> int:
    """How many repairs covered some of a range."""
    return Counter(any(r.first <= one.last and r.last >= one.first for r in ranges) for ranges in repairs)[True]
