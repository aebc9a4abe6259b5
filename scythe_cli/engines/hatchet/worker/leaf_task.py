"""The leaf task: a stretch of one block's rows, from the queue to the store.

Input: a payload of row numbers. Output: an outcome for each row, or a record of where it cut off the rest and has
that enqueued. Leaves wait here, not in the lanes, until a lane may soon be free; only then do they look what is done.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.events import LeafFinished
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, covers
from scythe_cli.engines.generation.lost_rows import write_lost
from scythe_cli.engines.generation.plan import Split, read_split, write_split
from scythe_cli.engines.hatchet.worker.payload_check import check_leaf
from scythe_cli.engines.hatchet.worker.worker_context import HandedBack
from scythe_cli.errors import InputError, KeyExists, StoreError
from scythe_cli.run.compatibility import refuse_other_models
from scythe_cli.run.engine import Work
from scythe_cli.run.parts import PartWriter
from scythe_cli.run.state import write_mark
from scythe_cli.supervisor.run_progress import run_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scythe_cli.engines.generation.leaf_queue import Leaf
    from scythe_cli.engines.generation.leaf_runner import LeafRunner
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.generation.progress import GenerationProgress
    from scythe_cli.engines.hatchet.names import TaskPayload
    from scythe_cli.engines.hatchet.worker.worker_context import WorkerContext
    from scythe_cli.run.engine import WorkerSeen
    from scythe_cli.supervisor.run_progress import RunWork

PULSE = 0.1
TURN_SECONDS = 0.05
PATIENCE_SECONDS = 5.0
"""A leaf that waits for a lane for so long looks whether lanes idle elsewhere."""
LONG_LEAF = 120.0
"""Seconds of one lane beyond which a leaf is cut up while the engine cannot say who idles."""
SETTLE_SECONDS = 3.0
"""After cutting up a leaf, the engine needs so long to hand the pieces out."""
SHORT_LEAF = 2.0
"""Seconds of this worker's lanes below which nothing is cut off, even for lanes that idle elsewhere."""
PIECE_SECONDS = (1.0, 60.0)
"""Seconds of one lane that a piece lasts, at least and at most."""
FENCE_SECONDS = 2.0
"""A leaf that runs looks this often whether its generation may still work."""
SUSPECT_PIECES = 16
"""Pieces of a stretch over which a worker died."""
CAREFUL_TRIES = 2
"""Marked attempts at a single row, the last of them alone on its worker, before it counts as lost."""


async def run_leaf(context: WorkerContext, name: str, payload: TaskPayload, ctx: Any) -> dict[str, Any]:
    """Have the rows run, once a lane is near; see the module."""
    plan, progress = await context.plan(payload)
    check_leaf(payload, plan, name)
    runner = context.runners[name]
    await _check_code(context, plan, runner)
    work = _LeafTask(context, payload, plan=plan, progress=progress, runner=runner, ctx=ctx)
    try:
        return {"ok": 1, "rows": await work.run()}
    except HandedBack:
        return {"ok": 1, "rows": await work.requeue()}


async def _check_code(context: WorkerContext, plan: GenerationPlan, runner: LeafRunner) -> None:
    mine = runner.experiment.source_hash
    if plan.source_hash == mine:
        return
    message = (
        f"worker {context.name}: its code of {runner.experiment.name} differs from the run's ({mine[:12]} here, "
        f"{plan.source_hash[:12]} in the run); update the worker, or start it with --allow-changed-code"
    )
    if context.any_code:
        try:
            await asyncio.to_thread(refuse_other_models, plan.run, runner.experiment)
        except InputError as exc:
            message = f"worker {context.name}: {exc.message}"
        else:
            return
    with suppress(KeyExists):
        await asyncio.to_thread(write_mark, plan.run.store, Mark.REFUSED, plan.generation, {"why": message})
    context.warn(message)
    raise InputError(message)


class _LeafTask:
    def __init__(
        self,
        context: WorkerContext,
        payload: TaskPayload,
        *,
        plan: GenerationPlan,
        progress: GenerationProgress,
        runner: LeafRunner,
        ctx: Any,
    ) -> None:
        self._context = context
        self._plan = plan
        self._progress = progress
        self._runner = runner
        self._payload = payload
        self._name = plan.run.manifest.experiment_name
        self._one = Range(payload.first, payload.last)
        self._tries = payload.tries + ctx.retry_count
        self._came = time.monotonic()
        self._mark: tuple[str, bytes] | None = None  # to be written before the row runs; None once it was
        self._series = int(ctx.step_run_id.replace("-", "")[:6], 16) * 1000 + ctx.retry_count

    async def run(self) -> int:
        """Return how many rows got their outcome here. Raises `HandedBack` if others are to run them."""
        if self._context.draining is not None:
            await self._context.hand_back_when_draining()
        if await self._context.why_over(self._plan, max_age=FENCE_SECONDS) is not None:
            return 0
        if not await self._repeat_splits():
            return 0
        if self._tries:
            return await self._run_marked()
        return await self._run_when_lane_free(alone=False)

    async def requeue(self) -> int:
        """Queue the rows again for any free worker. Not a failure: that would make its rows suspects of a crash."""
        child = self._payload.model_copy(update={"first": self._one.first, "last": self._one.last})
        await self._context.spawn(self._plan, [(self._name, child, f"{self._one}-p{time.time_ns()}")])
        return 0

    async def _repeat_splits(self) -> bool:
        """Queue the rows that earlier attempts cut off, under the same keys. Returns whether any rows stay here."""
        while (split := await asyncio.to_thread(read_split, self._plan, self._one)) is not None:
            await self._enqueue(split.pieces)
            if split.keep is None:
                return False
            self._one = split.keep
        return True

    async def _enqueue(self, pieces: list[Range], *, tries: int = 0) -> None:
        children = [
            (self._name, self._payload.model_copy(update={"first": p.first, "last": p.last, "tries": tries}), str(p))
            for p in pieces
        ]
        await self._context.spawn(self._plan, children)

    async def _run_marked(self) -> int:
        """A worker died over this stretch, or handed it back: find out over which row, one step at a time."""
        todo = await asyncio.to_thread(self._progress.left_of, self._one)
        rows = sum(map(len, todo))
        if not rows or await self._context.why_over(self._plan) is not None:
            return 0
        if rows == 1:
            return await self._run_marked_row(todo[0])
        pieces = covers(todo, max(1, -(-rows // SUSPECT_PIECES)))
        await asyncio.to_thread(write_split, self._plan, self._one, Split(None, pieces))
        await self._enqueue(pieces, tries=int(all(len(piece) == 1 for piece in pieces)))
        return 0

    async def _run_marked_row(self, row: Range) -> int:
        """Run a single row with a mark that outlives this process; the last time, alone on this worker."""
        begun, died = await asyncio.to_thread(self._deaths, row.first)
        if died >= CAREFUL_TRIES:
            why = f"its worker died each time: {died + 1} workers died with it"
            await asyncio.to_thread(write_lost, self._plan, [row], attempts=died + 1, why=why)
            return 1
        store, generation = self._plan.run.store, self._plan.generation
        about = yaml_document.write({"worker": self._context.name, "at": time.time()}).encode()
        self._mark = (layout.attempt(row.first, generation, begun + 1), about)
        try:
            return await self._run_when_lane_free(alone=died + 1 == CAREFUL_TRIES)
        finally:
            if self._mark is None:  # a note of survival without its mark would count for the next attempt
                await asyncio.to_thread(store.write, layout.survived(row.first, generation, begun + 1), about)

    def _deaths(self, row: int) -> tuple[int, int]:
        """How many marked attempts at a row there were, and how many of them nobody survived."""
        generation = self._plan.generation
        keys = {entry.key for entry in self._plan.run.store.list(layout.CONTROL)}
        begun = next(n for n in itertools.count() if layout.attempt(row, generation, n + 1) not in keys)
        return begun, sum(layout.survived(row, generation, n + 1) not in keys for n in range(begun))

    async def _run_when_lane_free(self, *, alone: bool) -> int:
        """Wait for a lane to be near, look what is left, and have that run."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._gate(alone=alone))
            if await self._context.why_over(self._plan) is not None:
                return 0
            todo = await asyncio.to_thread(self._progress.left_of, self._one)
            if not todo:
                return 0
            base = await asyncio.to_thread(self._base)
            if self._mark is not None:
                mark, self._mark = self._mark, None
                await asyncio.to_thread(self._plan.run.store.write, *mark)
            leaf = self._runner.begin(
                base,
                self._one,
                todo,
                generation=self._plan.generation,
                settings=self._plan.file.run,
                series=self._series,
            )
            if not alone:
                await stack.aclose()
            return await self._watch(leaf)

    @asynccontextmanager
    async def _gate(self, *, alone: bool) -> AsyncIterator[None]:
        """Leaves go in one after the other, when the lanes are nearly out of work; alone, when all lanes are idle."""
        gates = self._context.gates
        wanted = gates.values() if alone else [gates[self._name]]
        async with AsyncExitStack() as stack:
            for gate in list(wanted):
                await self._enter(stack, gate)
            everyone = self._context.runners.values() if alone else [self._runner]
            while not all(runner.idle if alone else runner.needs_work for runner in everyone):
                await self._check_hand_back(alone=alone)
                await asyncio.sleep(TURN_SECONDS)
            yield

    async def _enter(self, stack: AsyncExitStack, gate: asyncio.Lock) -> None:
        waiting = asyncio.ensure_future(stack.enter_async_context(gate))
        try:
            while not (await asyncio.wait({waiting}, timeout=PULSE))[0]:
                await self._check_hand_back(alone=False)
        except BaseException:
            waiting.cancel()
            raise

    async def _check_hand_back(self, *, alone: bool) -> None:
        """Raise `HandedBack` when this worker leaves, or when we wait for long while lanes idle elsewhere."""
        if self._context.draining is not None:
            await self._context.hand_back_when_draining()
        if not alone and time.monotonic() - self._came > PATIENCE_SECONDS:
            self._came = time.monotonic()
            if self._idle_elsewhere(await self._context.live_workers(self._plan)):
                raise HandedBack("others are free")

    def _idle_elsewhere(self, seen: list[WorkerSeen]) -> int:
        return sum(max(0, one.lanes - one.busy) for one in seen if one.name != self._context.name)

    def _base(self) -> RunWork:
        """What the leaves of a run share, read once."""
        plan, runner = self._plan, self._runner

        def read() -> RunWork:
            work = Work(plan.run, runner.experiment, plan.file, plan.ranges, plan.generation, plan.done, plan.failed)
            writer = PartWriter(plan.run.store, generation=plan.generation, flush=0.0, threads=runner.threads)
            return run_work(work, writer, self._context.folder, worker=self._context.name)

        return runner.base((plan.run.id, plan.generation), read)

    async def _watch(self, leaf: Leaf) -> int:
        """Until the last outcome is in the store: cut off what others could do, return what this worker will not do."""
        over = asyncio.wrap_future(leaf.over)
        began, withdrawn = time.monotonic(), False
        try:
            while not (await asyncio.wait({over}, timeout=PULSE))[0]:
                if not withdrawn and (self._context.draining is not None or await self._is_over()):
                    withdrawn = True
                    self._runner.withdraw(leaf, grace=self._plan.file.run.grace)
                elif self._plan.adapts and not withdrawn and leaf.left and not self._tries:
                    await self._share(leaf)
        except asyncio.CancelledError:
            self._runner.withdraw(leaf, grace=self._plan.file.run.grace)
            over.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)
            raise
        over.result()
        seconds = time.monotonic() - began
        one, left = self._one, max(0, leaf.rows - leaf.work.done)
        self._context.listener(LeafFinished(self._plan.run.id, one.first, one.last, leaf.work.failed, seconds, left))
        if not leaf.complete:
            if await self._is_over():
                return leaf.work.done
            await self._context.hand_back_when_draining()
            raise HandedBack(self._context.name)
        return leaf.work.done

    async def _is_over(self) -> bool:
        """Whether the generation was cancelled or another one has begun, as the directory said a moment ago."""
        try:
            return await self._context.why_over(self._plan, max_age=FENCE_SECONDS) is not None
        except StoreError:  # unavailable: what runs continues
            return False

    async def _share(self, leaf: Leaf) -> None:
        """Cut off what lanes that idle elsewhere could do of a slow leaf, and have it enqueued."""
        cost, size, context = self._runner.queue.cost(leaf), self._runner.size, self._context
        if cost is None or cost * leaf.left / size < SHORT_LEAF or time.monotonic() - context.shared < SETTLE_SECONDS:
            return
        seen = await context.live_workers(self._plan)
        idle = self._idle_elsewhere(seen)
        if not seen and cost * leaf.left > LONG_LEAF:
            idle = 2 * size
        left = leaf.left
        keep = max(0, min(left * size // (size + idle), left - idle))
        if not idle or keep >= left:
            return
        context.shared = time.monotonic()
        rest = self._runner.cut(leaf, keep)
        if not rest:
            return
        least, most = PIECE_SECONDS
        rows = sum(map(len, rest))
        piece = int(min(max(cost * rows / (3 * idle), least), most) / cost)
        pieces = covers(rest, max(1, min(piece, -(-rows // idle), layout.BLOCK)))
        split = Split(Range(self._one.first, rest[0].first - 1), pieces)
        await asyncio.to_thread(write_split, self._plan, self._one, split)
        await self._enqueue(pieces)
        self._one = split.keep or self._one
