"""The REST calls the SDK makes: runs, counts, cancelling, replaying, workers, workflows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest

from .engine import Engine
from .guard import errors
from .records import Run, Status, Task, now
from .rest_views import Json, pagination, run_details, run_summary, serves, task_summary, worker_view

STABLE = "/api/v1/stable"
DEFAULT_LIMIT = 50


@dataclass(frozen=True)
class Filter:
    """Which runs are meant; several metadata pairs mean any of them, as in the engine."""

    since: datetime | None = None
    until: datetime | None = None
    statuses: frozenset[str] = frozenset()
    workflow_ids: frozenset[str] = frozenset()
    metadata: tuple[str, ...] = ()
    worker_id: str | None = None
    parent: str | None = None

    @classmethod
    def from_query(cls, request: web.Request) -> Filter:
        query = request.query
        return cls(
            since=_moment(query.get("since")),
            until=_moment(query.get("until")),
            statuses=frozenset(query.getall("statuses", [])),
            workflow_ids=frozenset(query.getall("workflow_ids", [])),
            metadata=tuple(query.getall("additional_metadata", [])),
            worker_id=query.get("worker_id"),
            parent=query.get("parent_task_external_id"),
        )

    @classmethod
    def from_json(cls, wish: Json) -> Filter:
        return cls(
            since=_moment(wish.get("since")),
            until=_moment(wish.get("until")),
            statuses=frozenset(wish.get("statuses") or []),
            workflow_ids=frozenset(wish.get("workflowIds") or []),
            metadata=tuple(wish.get("additionalMetadata") or []),
        )

    def takes(self, run: Run) -> bool:
        return (
            run.visible
            and (self.since is None or run.created >= self.since)
            and (self.until is None or run.created <= self.until)
            and (not self.statuses or run.shown_status.value in self.statuses)
            and (not self.workflow_ids or run.workflow.id in self.workflow_ids)
            and (not self.metadata or any(_has(run.metadata, pair) for pair in self.metadata))
            and (self.worker_id is None or any(task.worker_id == self.worker_id for task in run.tasks))
            and (self.parent is None or run.parent_task == self.parent)
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _has(metadata: Json, pair: str) -> bool:
    key, _, value = pair.partition(":")
    return str(metadata.get(key)) == value


class Rest:
    """Handlers over the engine; `app` is what the server serves."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        tenant = STABLE + "/tenants/{tenant}"
        return [
            web.get(f"{tenant}/workflow-runs", self.list_runs),
            web.get(f"{tenant}/workflow-runs/external-ids", self.list_ids),
            web.get(f"{tenant}/workflow-runs/count", self.count_runs),
            web.post(f"{tenant}/workflow-runs/trigger", self.trigger),
            web.get(STABLE + "/workflow-runs/{run}", self.get_run),
            web.get(STABLE + "/workflow-runs/{run}/status", self.get_status),
            web.get(STABLE + "/tasks/{task}", self.get_task),
            web.get(f"{tenant}/task-metrics", self.task_metrics),
            web.post(f"{tenant}/tasks/cancel", self.cancel),
            web.post(f"{tenant}/tasks/replay", self.replay),
            web.get("/api/v1/tenants/{tenant}/worker", self.list_workers),
            web.get("/api/v1/workers/{worker}", self.get_worker),
            web.patch("/api/v1/workers/{worker}", self.update_worker),
            web.get("/api/v1/tenants/{tenant}/workflows", self.list_workflows),
        ]

    def _matching(self, wanted: Filter) -> list[Run]:
        return [run for run in reversed(self._engine.runs.values()) if wanted.takes(run)]

    # -- runs ----------------------------------------------------------------------------------------------------

    async def list_runs(self, request: web.Request) -> web.Response:
        runs = self._matching(Filter.from_query(request))
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", DEFAULT_LIMIT))
        payloads = request.query.get("include_payloads", "true").lower() == "true"
        page = runs[offset : offset + limit]
        rows = [run_summary(run, self._engine.tenant, payloads=payloads) for run in page]
        return web.json_response({"rows": rows, "pagination": pagination(len(runs), offset, limit)})

    async def list_ids(self, request: web.Request) -> web.Response:
        return web.json_response([run.id for run in self._matching(Filter.from_query(request))])

    async def count_runs(self, request: web.Request) -> web.Response:
        return web.json_response({"count": len(self._matching(Filter.from_query(request)))})

    async def get_run(self, request: web.Request) -> web.Response:
        run = self._engine.runs.get(request.match_info["run"])
        if run is None or not run.visible:
            return errors("run not found", status=404)
        return web.json_response(run_details(run, self._engine.tenant))

    async def get_status(self, request: web.Request) -> web.Response:
        run = self._engine.runs.get(request.match_info["run"])
        if run is None or not run.visible:
            return errors("run not found", status=404)
        return web.json_response(run.shown_status.value)

    async def get_task(self, request: web.Request) -> web.Response:
        task = self._engine.tasks.get(request.match_info["task"])
        if task is None:
            return errors("task not found", status=404)
        return web.json_response(task_summary(task, self._engine.runs[task.run_id], self._engine.tenant))

    async def task_metrics(self, request: web.Request) -> web.Response:
        runs = self._matching(Filter.from_query(request))
        counts = Counter(run.shown_status for run in runs)
        rows: list[Json] = [{"status": status.value, "count": counts[status]} for status in sorted(Status)]
        evicted = sum(task.evicted and not task.status.final for task in _tasks(runs))
        for row in rows:
            if row["status"] == Status.RUNNING.value:
                row["runningDetailCount"] = {"evicted": evicted, "onWorker": row["count"] - evicted}
        return web.json_response(rows)

    async def trigger(self, request: web.Request) -> web.Response:
        body = await request.json()
        wish = TriggerWorkflowRequest(
            name=body["workflowName"],
            input=json.dumps(body["input"]),
            additional_metadata=json.dumps(body.get("additionalMetadata") or {}),
            priority=body.get("priority"),
        )
        if wish.name not in self._engine.workflows.by_name:
            return errors("internal server error", status=500)  # so the engine, after its own retries
        return web.json_response(run_details(self._engine.runs[self._engine.submit(wish)], self._engine.tenant))

    # -- many at once --------------------------------------------------------------------------------------------

    async def cancel(self, request: web.Request) -> web.Response:
        runs = self._meant(await request.json(), self._engine.settings.cancel_limit)
        for task in _tasks(runs):
            self._engine.cancel(task)
        return web.json_response({"ids": [run.id for run in runs]})

    async def replay(self, request: web.Request) -> web.Response:
        runs = self._meant(await request.json(), self._engine.settings.bulk_limit)
        for task in _tasks(runs):
            self._engine.replay(task)
        return web.json_response({"ids": [run.id for run in runs]})

    def _meant(self, body: Json, limit: int) -> list[Run]:
        """Runs by id (of the run or of its task), or the newest that match a filter."""
        if body.get("externalIds"):
            run_ids = {self._run_id(identifier) for identifier in body["externalIds"]}
            return [self._engine.runs[run_id] for run_id in run_ids if run_id in self._engine.runs]
        return self._matching(Filter.from_json(body.get("filter") or {}))[:limit]

    def _run_id(self, identifier: str) -> str:
        task = self._engine.tasks.get(identifier)
        return task.run_id if task else identifier

    # -- workers and workflows -----------------------------------------------------------------------------------

    async def list_workers(self, request: web.Request) -> web.Response:
        rows = [worker_view(worker) for worker in self._engine.fleet.workers.values()]
        return web.json_response({"rows": rows, "pagination": pagination(len(rows), 0, DEFAULT_LIMIT)})

    async def get_worker(self, request: web.Request) -> web.Response:
        worker = self._engine.fleet.workers.get(request.match_info["worker"])
        if worker is None:
            return errors("worker not found", status=404)
        flows = [flow for flow in self._engine.workflows.by_name.values() if serves(worker, flow)]
        return web.json_response(worker_view(worker, flows))

    async def update_worker(self, request: web.Request) -> web.Response:
        worker = self._engine.fleet.workers.get(request.match_info["worker"])
        if worker is None:
            return errors("worker not found", status=404)
        self._engine.fleet.pause(worker, paused=(await request.json()).get("isPaused", worker.paused))
        self._engine.wake()
        return web.json_response(worker_view(worker))

    async def list_workflows(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "").lower()  # part of a name will do, as in the engine
        rows = [
            {
                "metadata": {"id": flow.id, "createdAt": now().isoformat(), "updatedAt": now().isoformat()},
                "name": flow.name,
                "tenantId": self._engine.tenant,
            }
            for flow in self._engine.workflows.by_name.values()
            if name in flow.name.lower()
        ]
        return web.json_response({"rows": rows, "pagination": pagination(len(rows), 0, DEFAULT_LIMIT)})


def _tasks(runs: Iterable[Run]) -> list[Task]:
    return [task for run in runs for task in run.tasks]
