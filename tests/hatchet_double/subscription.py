"""One client's interest in the ends of runs: live ones at once, those that ended before at the next tick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hatchet_sdk.contracts import dispatcher_pb2 as v0

from .engine import Engine
from .records import Run, Status, now

MAX_PER_TICK = 1000


class Subscription:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted: dict[str, None] = {}  # in the order of asking
        self._out: asyncio.Queue[v0.WorkflowRunEvent | None] = asyncio.Queue()
        self._ticker = asyncio.create_task(self._tick())
        engine.on_finished.append(self._finished)

    async def read(self, requests: AsyncIterator[v0.SubscribeToWorkflowRunsRequest]) -> None:
        try:
            async for request in requests:
                self._wanted[request.workflow_run_id] = None
        finally:
            self._out.put_nowait(None)

    async def events(self) -> AsyncIterator[v0.WorkflowRunEvent]:
        while (event := await self._out.get()) is not None:
            yield event

    def close(self) -> None:
        self._ticker.cancel()
        self._engine.on_finished.remove(self._finished)

    def _finished(self, run: Run) -> None:
        if run.id in self._wanted:
            del self._wanted[run.id]
            self._out.put_nowait(end_of(run, self._engine.settings.result_limit))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._engine.settings.finished_tick)
            for run_id in list(self._wanted)[:MAX_PER_TICK]:
                run = self._engine.runs.get(run_id)
                if run is not None and run.status.final:
                    self._finished(run)


def end_of(run: Run, limit: int) -> v0.WorkflowRunEvent:
    """A finished run as a subscriber sees it: results larger than the limit are left out, and nobody says so."""
    event = v0.WorkflowRunEvent(
        workflow_run_id=run.id, event_type=v0.WORKFLOW_RUN_EVENT_TYPE_FINISHED, event_timestamp=now()
    )
    for task in run.tasks:
        outcome = event.results.add(task_run_external_id=task.id, task_name=task.spec.name, job_run_id=task.id)
        if task.status is Status.COMPLETED:
            outcome.output = task.output
        else:
            outcome.error = task.error
    if sum(len(outcome.output) + len(outcome.error) for outcome in event.results) > limit:
        del event.results[:]
    return event
