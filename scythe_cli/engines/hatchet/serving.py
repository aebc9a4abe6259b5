"""The tasks that a worker serves: their declarations, the node, and how children are enqueued.

Takes payloads of row numbers; a node leaves its children in the engine's queue and waits for none of them.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from scythe_cli.core.events import Notice
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.hatchet.engine import METADATA, NODE, ROOT, Api, Stretch, tag
from scythe_cli.engines.hatchet.plan import STORAGE, read_plan
from scythe_cli.engines.hatchet.progress import Progress
from scythe_cli.errors import EngineError, InputError, ScytheError
from scythe_cli.run import state as ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.hatchet.leaf_queue import Lanes
    from scythe_cli.engines.hatchet.plan import Plan
    from scythe_cli.run.engine import WorkerSeen
    from scythe_cli.storage.base import Store

LONG = timedelta(days=30)
RETRIES = 500
"""Each hand-over of a draining worker costs one."""
DRAIN_SECONDS = 2.5
"""The engine goes on assigning to a paused worker for a second or two: what is handed back sooner comes back here."""
SEEN_SECONDS = 2.0
PLANS = 32
RETRY_PAUSE = 30.0


class HandedBack(ScytheError):
    """This worker is leaving: the engine gives the task to another."""


@dataclass
class Serving:
    """What all tasks of one worker share.

    Attributes:
        hatchet: the client.
        storage: where this worker's runs live.
        name: the worker's.
        folder: for temporary files.
        lanes: by the leaf task's name.
        any_code: take leaves of runs whose code differs.
        listener: hears what becomes of leaves.
        draining: when the worker was asked to leave, on the monotonic clock.
        shared: when a leaf was last cut up for others, likewise.
    """

    hatchet: Hatchet
    storage: Store
    name: str
    folder: Path
    lanes: dict[str, Lanes]
    any_code: bool
    listener: Listener
    draining: float | None = None
    shared: float = 0.0
    gates: dict[str, asyncio.Lock] = field(default_factory=dict)
    _plans: OrderedDict[tuple[str, int], tuple[Plan, Progress]] = field(default_factory=OrderedDict)
    _seen: tuple[float, list[WorkerSeen]] = (0.0, [])

    @property
    def api(self) -> Api:
        """The engine's REST side."""
        return Api(self.hatchet)

    async def plan(self, payload: Stretch) -> tuple[Plan, Progress]:
        """The plan that a payload belongs to, and what is known of its progress."""
        key = (payload.run, payload.generation)
        if key not in self._plans:
            plan = await asyncio.to_thread(read_plan, self.storage, *key)
            self._plans[key] = (plan, Progress(plan))
            while len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    async def is_over(self, plan: Plan) -> bool:
        """Whether a generation was cancelled or has ended."""
        marks = [
            asyncio.to_thread(ledger.read_mark, plan.run.store, kind, plan.generation) for kind in ("cancel", "ended")
        ]
        return any(mark is not None for mark in await asyncio.gather(*marks))

    async def seen(self, plan: Plan) -> list[WorkerSeen]:
        """The workers that would take a plan's leaves; asked again every few seconds, none where the engine is away."""
        if time.monotonic() - self._seen[0] > SEEN_SECONDS:
            self._seen = (time.monotonic(), self._seen[1])
            try:
                found = await asyncio.to_thread(self.api.seen, plan.run.manifest.experiment_name, plan.labels)
                self._seen = (time.monotonic(), [worker for worker in found if worker.serves])
            except EngineError:
                pass
        return self._seen[1]

    def complain(self, message: str) -> None:
        """Say what went wrong, in the worker's own output."""
        self.listener(Notice(message))

    async def leave(self) -> None:
        """Wait until a task that is handed back lands elsewhere, then hand it back."""
        assert self.draining is not None  # noqa: S101 - only called then
        await asyncio.sleep(max(DRAIN_SECONDS - (time.monotonic() - self.draining), DRAIN_SECONDS / 5))
        raise HandedBack(f"worker {self.name} is leaving")

    async def spawn(self, plan: Plan, children: list[tuple[str, Stretch, str]]) -> None:
        """Enqueue children, each with its task's name and key; nobody waits for them.

        The same keys from the same task give the same children again. The synchronous call, in a thread that keeps the
        task's context, makes them ordinary children also of the durable root, whose log must not depend on the ledger.
        """
        from hatchet_sdk.types.labels import DesiredWorkerLabel

        labels = [DesiredWorkerLabel(key=key, value=value, required=True) for key, value in plan.labels.items()]
        storage = [label for label in labels if label.key == STORAGE]
        stubs = {name: self.hatchet.stubs.task(name=name, input_validator=Stretch) for name, _, _ in children}
        items = [
            stubs[name].create_bulk_run_item(
                payload,
                child_key=key,
                additional_metadata={METADATA: tag(plan)},
                desired_worker_labels=storage if name == NODE else labels,
            )
            for name, payload, key in children
        ]
        if items:
            await asyncio.to_thread(next(iter(stubs.values())).run_many, items, wait_for_result=False)


def children_of(plan: Plan, payload: Stretch) -> list[tuple[str, Stretch, str]]:
    """What a node enqueues: nodes, or leaves."""
    found = []
    for group in plan.children(Range(payload.first, payload.last), payload.depth):
        first, last = group[0].first, group[-1].last
        name = NODE if len(group) > 1 else plan.run.manifest.experiment_name
        child = payload.model_copy(update={"first": first, "last": last, "depth": payload.depth + 1, "tries": 0})
        found.append((name, child, f"{first}-{last}"))
    return found


async def node(serving: Serving, payload: Stretch) -> dict[str, Any]:
    """Enqueue the children of a stretch and be done."""
    if serving.draining is not None:
        await serving.leave()
    plan, _ = await serving.plan(payload)
    if await serving.is_over(plan):
        return {"ok": 1, "children": 0}
    children = children_of(plan, payload)
    await serving.spawn(plan, children)
    return {"ok": 1, "children": len(children)}


def _settings(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "input_validator": Stretch,
        "schedule_timeout": LONG,
        "execution_timeout": LONG,
        "retries": RETRIES,
    }


def fan_tasks(hatchet: Hatchet, serving: Serving | None) -> list[Any]:
    """The root and the node; without a worker's side, for their declarations alone."""

    async def root(payload: Stretch, ctx: Any) -> dict[str, Any]:
        from scythe_cli.engines.hatchet.root_task import follow

        del ctx
        assert serving is not None  # noqa: S101 - a declaration is never run
        return await _answer(serving, lambda: follow(serving, payload), 0)

    async def inner(payload: Stretch, ctx: Any) -> dict[str, Any]:
        assert serving is not None  # noqa: S101 - a declaration is never run
        return await _answer(serving, lambda: node(serving, payload), ctx.retry_count)

    durable: Any = hatchet.durable_task
    ordinary: Any = hatchet.task
    return [durable(**_settings(ROOT), eviction_policy=None)(root), ordinary(**_settings(NODE))(inner)]


def leaf_task(hatchet: Hatchet, serving: Serving | None, name: str) -> Any:
    """The task of one experiment's leaves."""

    async def leaf(payload: Stretch, ctx: Any) -> dict[str, Any]:
        from scythe_cli.engines.hatchet.leaf_task import run_leaf

        assert serving is not None  # noqa: S101 - a declaration is never run
        return await _answer(serving, lambda: run_leaf(serving, name, payload, ctx), ctx.retry_count)

    ordinary: Any = hatchet.task
    return ordinary(**_settings(name))(leaf)


def declare(hatchet: Hatchet, leaf: str) -> None:
    """Make the tasks' names known to the engine, which forgets runs of unknown ones without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task in [*fan_tasks(hatchet, None), leaf_task(hatchet, None, leaf)]:
            hatchet._client.admin.put_workflow(task.to_proto())


async def _answer(serving: Serving, work: Callable[[], Any], retries: int) -> dict[str, Any]:
    """A task's result; what is wrong for good is not tried again, what may pass is, after a pause."""
    from hatchet_sdk import NonRetryableException

    try:
        result: dict[str, Any] = await work()
    except HandedBack:
        raise
    except InputError as exc:
        raise NonRetryableException(exc.message) from None
    except ScytheError as exc:
        serving.complain(exc.message)
        await asyncio.sleep(min(RETRY_PAUSE, 2.0 ** min(retries, 10)))
        raise
    return result
