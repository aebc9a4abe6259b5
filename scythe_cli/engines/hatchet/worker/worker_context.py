"""What all tasks of a worker share: its client, lanes and plans, and how a task enqueues its children.

Input: payloads of row numbers. A node puts its children into the engine's queue and waits for none of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scythe_cli.core.events import Notice
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.plan import read_plan
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.engines.hatchet.api import Api
from scythe_cli.engines.hatchet.labels import STORAGE
from scythe_cli.engines.hatchet.names import NODE, TaskPayload, metadata
from scythe_cli.errors import EngineError, ScytheError

if TYPE_CHECKING:
    from pathlib import Path

    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.leaf_runner import LeafRunner
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.run.engine import Ended, WorkerSeen
    from scythe_cli.storage.base import Store

DRAIN_SECONDS = 2.5
"""The engine assigns tasks to a paused worker for a second or two: a task that is returned sooner comes back."""
SEEN_SECONDS = 2.0
PLANS = 32


class HandedBack(ScytheError):
    """This worker is leaving: the engine gives the task to another."""


@dataclass
class WorkerContext:
    """What all tasks of one worker share.

    Attributes:
        hatchet: the client.
        storage: where this worker's runs live.
        name: the worker's.
        folder: for temporary files.
        runners: what runs leaves, by the leaf task's name.
        any_code: take leaves of runs whose code differs.
        listener: gets the events of leaves.
        draining: when the worker was asked to leave, on the monotonic clock.
        shared: when a leaf was last cut up for others, likewise.
    """

    hatchet: Hatchet
    storage: Store
    name: str
    folder: Path
    runners: dict[str, LeafRunner]
    any_code: bool
    listener: Listener
    draining: float | None = None
    shared: float = 0.0
    gates: dict[str, asyncio.Lock] = field(default_factory=dict)
    _plans: OrderedDict[tuple[str, int], tuple[GenerationPlan, GenerationProgress]] = field(default_factory=OrderedDict)
    _fences: dict[tuple[str, int], tuple[float, Ended | None]] = field(default_factory=dict)
    _seen: tuple[float, list[WorkerSeen]] = (0.0, [])

    @property
    def api(self) -> Api:
        """The engine's REST side."""
        return Api(self.hatchet)

    async def plan(self, payload: TaskPayload) -> tuple[GenerationPlan, GenerationProgress]:
        """The plan that a payload belongs to, and what is known of its progress."""
        key = (payload.run, payload.generation)
        if key not in self._plans:
            plan = await asyncio.to_thread(read_plan, self.storage, *key)
            self._plans[key] = (plan, GenerationProgress(plan))
            while len(self._plans) > PLANS:
                forgotten, _ = self._plans.popitem(last=False)
                self._fences.pop(forgotten, None)
        self._plans.move_to_end(key)
        return self._plans[key]

    async def why_over(self, plan: GenerationPlan, *, max_age: float = 0.0) -> Ended | None:
        """Why a generation must do nothing more, by the marks in the run's directory; None while it may work.

        Args:
            plan: the generation.
            max_age: seconds for which an earlier answer may be used again.
        """
        key = (plan.run.id, plan.generation)
        at, known = self._fences.get(key, (0.0, None))
        if known is None and time.monotonic() - at >= max_age:
            known = await asyncio.to_thread(fence.why_over, plan.run.store, plan.generation)
            self._fences[key] = (time.monotonic(), known)
        return known

    async def live_workers(self, plan: GenerationPlan) -> list[WorkerSeen]:
        """The workers that would take a plan's leaves.

        Asked again every few seconds, none if the engine does not answer.
        """
        if time.monotonic() - self._seen[0] > SEEN_SECONDS:
            self._seen = (time.monotonic(), self._seen[1])
            try:
                found = await asyncio.to_thread(self.api.live_workers, plan.run.manifest.experiment_name, plan.labels)
                self._seen = (time.monotonic(), [worker for worker in found if worker.serves])
            except EngineError:
                pass
        return self._seen[1]

    def warn(self, message: str) -> None:
        """Say what went wrong, in the worker's own output."""
        self.listener(Notice(message))

    async def hand_back_when_draining(self) -> None:
        """Wait until a task that is handed back lands elsewhere, then hand it back."""
        assert self.draining is not None  # noqa: S101 - only called then
        await asyncio.sleep(max(DRAIN_SECONDS - (time.monotonic() - self.draining), DRAIN_SECONDS / 5))
        raise HandedBack(f"worker {self.name} is stopping")

    async def spawn(self, plan: GenerationPlan, children: list[tuple[str, TaskPayload, str]]) -> None:
        """Enqueue children, each with its task's name and key; nobody waits for them.

        The same keys from the same task give the same children again. The synchronous call, in a thread that keeps the
        task's context, makes them ordinary children also of the durable root, whose log must not depend on the state.
        """
        from hatchet_sdk.types.labels import DesiredWorkerLabel

        labels = [DesiredWorkerLabel(key=key, value=value, required=True) for key, value in plan.labels.items()]
        storage = [label for label in labels if label.key == STORAGE]
        stubs = {name: self.hatchet.stubs.task(name=name, input_validator=TaskPayload) for name, _, _ in children}
        items = [
            stubs[name].create_bulk_run_item(
                payload,
                child_key=key,
                additional_metadata=metadata(plan, payload, name),
                desired_worker_labels=storage if name == NODE else labels,
            )
            for name, payload, key in children
        ]
        if items:
            await asyncio.to_thread(next(iter(stubs.values())).run_many, items, wait_for_result=False)


def children_of(plan: GenerationPlan, payload: TaskPayload) -> list[tuple[str, TaskPayload, str]]:
    """What a node enqueues: nodes, or leaves."""
    found = []
    for group in plan.children(Range(payload.first, payload.last), payload.depth):
        first, last = group[0].first, group[-1].last
        name = NODE if len(group) > 1 else plan.run.manifest.experiment_name
        child = payload.model_copy(update={"first": first, "last": last, "depth": payload.depth + 1, "tries": 0})
        found.append((name, child, f"{first}-{last}"))
    return found
